//! What the benchmark runs: ours and the bare server as cargo builds them, the reference, and wrk.
//!
//! *Never:* how they are run.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::ensure;

use crate::{
    measuring::build::build,
    parts::{Parts, package},
    reference,
};

const WRK: &str = "wrk";

/// The programs, built and found.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) ours: PathBuf,
    pub(super) bare: PathBuf,
    pub(super) reference: PathBuf,
    pub(super) wrk: PathBuf,
}

// === impl Programs ===

impl Programs {
    /// Builds with cargo's profile of that name, and downloads what is not here.
    pub(super) fn ready(profile: &str) -> anyhow::Result<Self> {
        // One by one: together they would be built with each other's features.
        let (ours, bare) = (build("sidecar", "sidegate", profile)?, build("bare", "bare", profile)?);
        Ok(Self { ours, bare, reference: reference::find_or_download()?, wrk: wrk()? })
    }
}

/// wrk, of the path or taken out of Debian's package.
fn wrk() -> anyhow::Result<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    let installed = env::split_paths(&folders).map(|folder| folder.join(WRK)).find(|file| file.is_file());
    match installed {
        Some(installed) => Ok(installed),
        None => Parts::locate()?.find_or_make(WRK, WRK, unpack_wrk),
    }
}

/// It comes with a shared library, so what is called is a script that names its folder.
fn unpack_wrk(folder: &Path) -> anyhow::Result<()> {
    package::unpack(&["wrk", "libluajit-5.1-2"], &folder.join("unpacked"))?;
    let script = "#!/bin/sh\nhere=$(dirname \"$0\")/unpacked/usr\n\
                  LD_LIBRARY_PATH=$(echo \"$here\"/lib/*-linux-gnu) exec \"$here/bin/wrk\" \"$@\"\n";
    std::fs::write(folder.join(WRK), script)?;
    let made = Command::new("chmod").arg("+x").arg(folder.join(WRK)).status()?;
    ensure!(made.success(), "chmod: {made}");
    Ok(())
}
