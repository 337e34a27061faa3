//! The real curl, called as guides call it.

use std::{
    io::Write,
    net::SocketAddr,
    process::{Command, Stdio},
};

/// Runs curl with these arguments, of which those that start with `/` are paths of the process there; returns status
/// and body.
pub(crate) fn curl(to: SocketAddr, args: &[&str], stdin: &str) -> (u16, String) {
    // Neither the user's settings nor a proxy, and the status behind the body.
    let mut command = Command::new("curl");
    command.args(["--disable", "--silent", "--show-error", "--noproxy", "*", "--max-time", "20"]);
    command.args(["--write-out", "\n%{http_code}"]);
    command.args(
        args.iter().map(|arg| if arg.starts_with('/') { format!("http://{to}{arg}") } else { (*arg).to_owned() }),
    );
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child =
        command.spawn().unwrap_or_else(|error| panic!("these tests need curl (apt-get install curl): {error}"));
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "curl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    let answer = String::from_utf8(output.stdout).unwrap();
    let (body, status) = answer.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}
