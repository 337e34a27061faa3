//! Says what is being built or installed and how long it takes: one line that counts on a terminal, else two lines.
//!
//! *Never:* what the command does.

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use crate::wait;

/// Runs a command to its end; its output is shown only when it fails.
#[expect(clippy::disallowed_methods, reason = "the time is shown to a person")]
pub(crate) fn run(what: &str, command: &mut Command) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut out = io::stderr();
    let terminal = out.is_terminal();
    if !terminal {
        writeln!(out, "{what} ...")?;
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("{what}: {:?}", command.get_program()))?;
    let errors = child.stderr.take().context("stderr is piped")?;
    let errors = std::thread::spawn(move || io::read_to_string(errors).unwrap_or_default());
    let status = wait::blocking(what, Duration::from_secs(3600), || {
        if terminal {
            write!(out, "\r{what} ... {:.0?} ", Duration::from_secs(start.elapsed().as_secs()))?;
            out.flush()?;
        }
        Ok(child.try_wait()?)
    })?;
    let end = if terminal { "\r" } else { "" };
    writeln!(out, "{end}{what}: {:.1} s", start.elapsed().as_secs_f64())?;
    if !status.success() {
        bail!("{what}: {status}\n{}", errors.join().unwrap_or_default());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_fails_tells_what_it_wrote() {
        let error = run("failing", Command::new("sh").args(["-c", "echo because >&2; exit 3"])).unwrap_err();
        assert_eq!(error.to_string(), "failing: exit status: 3\nbecause\n");
        run("succeeding", &mut Command::new("true")).unwrap();
    }
}
