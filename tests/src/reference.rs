//! The reference: a real Pushgateway, taken out of Debian's package without installing it.
//!
//! It is looked for like the parts of a cluster: in the folders that the user names, else in the cache, which is filled
//! from the package once.
//!
//! *Never:* what is asked of it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::ensure;

use crate::parts::{Parts, package};

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
    let unpacked = folder.join("unpacked");
    package::unpack(&[&format!("{PROGRAM}={VERSION}*")], &unpacked)?;
    fs::rename(unpacked.join("usr/bin").join(PROGRAM), folder.join(PROGRAM))?;
    Ok(fs::remove_dir_all(unpacked)?)
}
