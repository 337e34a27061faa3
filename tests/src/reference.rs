//! The reference: a real Pushgateway, taken out of Debian's package without installing it.
//!
//! It is looked for like the parts of a cluster: in the folders that the user names, else in the cache, which is filled
//! from the package once.
//!
//! *Never:* what is asked of it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

use crate::parts::{Parts, progress};

/// The version that everything is compared with; the newest that a package registry has as a program.
pub const VERSION: &str = "1.5.1";

const PROGRAM: &str = "prometheus-pushgateway";

/// The program of the reference, downloaded if need be.
///
/// # Errors
/// When it is not there and cannot be had: without Debian's tools, or without a network.
pub fn find_or_download() -> anyhow::Result<PathBuf> {
    ensure!(cfg!(target_os = "linux"), "the reference is a Debian package, which needs Linux");
    Parts::locate()?.find_or_make(PROGRAM, &format!("{PROGRAM}-{VERSION}"), unpack)
}

fn unpack(folder: &Path) -> anyhow::Result<()> {
    let download = || {
        let package = format!("{PROGRAM}={VERSION}*");
        let mut apt = Command::new("apt-get");
        apt.current_dir(folder).args(["download", &package]);
        progress::run(&format!("downloading the Debian package {PROGRAM} {VERSION}"), &mut apt)
    };
    // A fresh machine has no package lists.
    download().or_else(|_| {
        progress::run("reading Debian's package lists", Command::new("apt-get").arg("update"))?;
        download()
    })?;
    let files = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    let package = files.into_iter().map(|file| file.path()).find(|file| file.extension().is_some_and(|it| it == "deb"));
    let package = package.with_context(|| format!("expected a package in {}, found none", folder.display()))?;
    let unpacked = folder.join("unpacked");
    progress::run("unpacking it", Command::new("dpkg").arg("-x").arg(&package).arg(&unpacked))?;
    fs::rename(unpacked.join("usr/bin").join(PROGRAM), folder.join(PROGRAM))?;
    fs::remove_dir_all(unpacked)?;
    Ok(fs::remove_file(package)?)
}
