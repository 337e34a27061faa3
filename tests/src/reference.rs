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

use crate::{
    image::Image,
    parts::{Parts, package},
};

/// The version that everything is compared with; the newest that a package registry has as a program.
pub const VERSION: &str = "1.5.1";

/// The name of the reference's image in a cluster of ours.
pub const IMAGE: &str = "localhost/pushgateway:1.5.1";

const PROGRAM: &str = "prometheus-pushgateway";

/// The program of the reference, downloaded if need be.
///
/// # Errors
/// When it is not there and cannot be had: without Debian's tools, or without a network.
pub fn find_or_download() -> anyhow::Result<PathBuf> {
    ensure!(cfg!(target_os = "linux"), "the reference is a Debian package, which needs Linux");
    Parts::locate()?.find_or_make(PROGRAM, &format!("{PROGRAM}-{VERSION}"), unpack)
}

/// The reference as an image, with the libraries it is linked to.
///
/// # Errors
/// When it cannot be had, or nobody can tell its libraries.
pub fn image() -> anyhow::Result<Image> {
    let program = find_or_download()?;
    let mut image = Image::of_program(IMAGE, "pushgateway", &program);
    let output = Command::new("ldd").arg(&program).output().context("ldd")?;
    let libraries = String::from_utf8(output.stdout)?;
    let paths = libraries.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from);
    image.files.extend(paths.map(|path| (path.display().to_string().trim_start_matches('/').to_owned(), path.clone())));
    Ok(image)
}

fn unpack(folder: &Path) -> anyhow::Result<()> {
    let unpacked = folder.join("unpacked");
    package::unpack(&[&format!("{PROGRAM}={VERSION}*")], &unpacked)?;
    fs::rename(unpacked.join("usr/bin").join(PROGRAM), folder.join(PROGRAM))?;
    Ok(fs::remove_dir_all(unpacked)?)
}
