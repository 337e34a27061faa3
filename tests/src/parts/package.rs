//! Debian packages, downloaded and unpacked without installing them.
//!
//! *Never:* what is in them.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, ensure};

use super::progress;

/// Unpacks packages into a new folder. A package may be named with a version, as `apt-get` takes it.
pub(crate) fn unpack(packages: &[&str], folder: &Path) -> anyhow::Result<()> {
    fs::create_dir(folder).with_context(|| folder.display().to_string())?;
    let download = || {
        let mut apt = Command::new("apt-get");
        apt.current_dir(folder).arg("download").args(packages);
        progress::run(&format!("downloading the Debian packages {}", packages.join(", ")), &mut apt)
    };
    // A fresh machine has no package lists.
    download().or_else(|_| {
        progress::run("reading Debian's package lists", Command::new("apt-get").arg("update"))?;
        download()
    })?;
    let files = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    let found: Vec<_> = files.into_iter().map(|file| file.path()).collect();
    ensure!(found.len() == packages.len(), "expected {packages:?} in {}, found {found:?}", folder.display());
    for package in found {
        progress::run("unpacking", Command::new("dpkg").arg("-x").arg(&package).arg(folder))?;
        fs::remove_file(&package).with_context(|| package.display().to_string())?;
    }
    Ok(())
}
