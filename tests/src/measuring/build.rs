//! Programs of ours, built by cargo with a profile of its.
//!
//! *Never:* how they are run.

use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::binaries;

/// Builds a program and says where it is.
pub(crate) fn build(package: &str, program: &str, profile: &str) -> anyhow::Result<PathBuf> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(binaries::repository()).args(["build", "--package", package, "--bin", program]);
    cargo.args(["--profile", profile, "--message-format", "json-render-diagnostics"]);
    let output = cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("cargo")?;
    ensure!(output.status.success(), "cargo build --package {package}: {}", output.status);
    let messages = output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let made =
        messages.filter_map(|message: Value| Some(PathBuf::from(message.get("executable")?.as_str()?))).next_back();
    made.with_context(|| format!("expected cargo to say where {program} is, found nothing"))
}
