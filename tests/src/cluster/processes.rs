//! The cluster's processes, as this machine's kernel shows them: to end one, to stop it for a while, or to look around in
//! its network.
//!
//! *Never:* processes of anything else.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

/// The process of one of the cluster's own programs, which all work in its folder.
pub(super) fn of_cluster(state: &Path, program: &str) -> anyhow::Result<u32> {
    find(program, |process| fs::read_link(process.join("cwd")).is_ok_and(|folder| folder == state))
        .with_context(|| format!("expected {program} to run in {}", state.display()))
}

/// The process of a program in a pod, by the pod's UID.
pub(super) fn of_pod(uid: &str, program: &str) -> anyhow::Result<u32> {
    find(program, |process| fs::read_to_string(process.join("cgroup")).is_ok_and(|groups| groups.contains(uid)))
        .with_context(|| format!("expected {program} to run in the pod with the UID {uid}"))
}

/// Sends a signal by its name, such as `KILL`.
pub(super) fn signal(process: u32, name: &str) -> anyhow::Result<()> {
    let status = Command::new("kill").args(["-s", name, &process.to_string()]).status()?;
    ensure!(status.success(), "kill -s {name} {process}: {status}");
    Ok(())
}

/// A command that runs in the network of a process.
pub(super) fn in_network_of(process: u32, command: &[&OsStr]) -> Command {
    let mut nsenter = Command::new("nsenter");
    nsenter.arg("--net").arg("--target").arg(process.to_string()).args(command);
    nsenter
}

fn find(program: &str, is_it: impl Fn(&Path) -> bool) -> Option<u32> {
    let runs = |process: &PathBuf| {
        // As it was called: several programs are one file.
        let command = fs::read(process.join("cmdline")).unwrap_or_default();
        let called = command.split(|byte| *byte == 0).next().unwrap_or_default();
        Path::new(OsStr::from_bytes(called)).file_name() == Some(OsStr::new(program))
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    let found = processes.filter(runs).find(|process| is_it(process))?;
    found.file_name()?.to_str()?.parse().ok()
}
