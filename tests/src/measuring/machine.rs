//! The machine that figures are from, in a sentence.
//!
//! *Never:* the figures.

use std::{fs, process::Command, thread};

use crate::binaries;

/// What it is, how ours was built, and from what.
pub(crate) fn described(profile: &str) -> anyhow::Result<String> {
    let cores = thread::available_parallelism()?;
    let model = model(&fs::read_to_string("/proc/cpuinfo")?);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let rustc = said(Command::new("rustc").arg("--version"));
    let commit =
        said(Command::new("git").args(["describe", "--always", "--dirty"]).current_dir(binaries::repository()));
    let kernel = kernel.trim();
    Ok(format!("{cores} cores of {model}, Linux {kernel}; {rustc}, profile {profile}; ours at {commit}"))
}

fn model(cpuinfo: &str) -> String {
    let name = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or_else(|| "an unknown model".to_owned(), |(_, name)| name.to_owned())
}

/// The first line of what a program says.
pub(crate) fn said(command: &mut Command) -> String {
    let output = command.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let line = output.ok().and_then(|output| output.lines().next().map(str::to_owned));
    line.unwrap_or_else(|| "an unknown version".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_that_of_the_first_core() {
        assert_eq!(model("processor\t: 0\nmodel name\t: A 1 @ 2 GHz\nmodel name\t: B\n"), "A 1 @ 2 GHz");
        assert_eq!(model("processor\t: 0\n"), "an unknown model");
    }
}
