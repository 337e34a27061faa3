//! Our two programs as cargo built them: beside this executable.
//!
//! Cargo tells an executable's path only to the tests of its own package, so we look where it puts them, and refuse
//! what is older than its sources.
//!
//! *Never:* building.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context as _, bail};

use crate::image::Image;

/// What builds both programs.
pub const BUILD_COMMAND: &str = "cargo build --package sidecar --package operator --bins";

/// The name of the sidecar's image in a cluster of ours.
pub const SIDECAR_IMAGE: &str = "localhost/sidegate:dev";

/// The name of the operator's image in a cluster of ours.
pub const OPERATOR_IMAGE: &str = "localhost/sidegate-operator:dev";

/// The images of both programs.
///
/// # Errors
/// When a program was not built, or is older than its sources.
pub fn images() -> anyhow::Result<[Image; 2]> {
    let sidegate = sidegate()?;
    let operator = operator()?;
    Ok([
        Image::of_program(SIDECAR_IMAGE, "sidegate", &sidegate),
        Image::of_program(OPERATOR_IMAGE, "sidegate-operator", &operator),
    ])
}

/// The program of the sidecar, which is also a gateway alone.
///
/// # Errors
/// When it was not built, or is older than its sources.
pub fn sidegate() -> anyhow::Result<PathBuf> {
    program("sidegate", &["sidecar/src", "sidecar/protocol/src"])
}

/// The program of the operator.
///
/// # Errors
/// When it was not built, or is older than its sources.
pub fn operator() -> anyhow::Result<PathBuf> {
    program("sidegate-operator", &["operator/src", "crds/src", "sidecar/protocol/src"])
}

/// The folder of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

fn program(name: &str, sources: &[&str]) -> anyhow::Result<PathBuf> {
    let own = env::current_exe()?;
    let folders = own.ancestors().skip(1).take(2);
    let file = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    let file = file.with_context(|| format!("expected {name} beside {}: run `{BUILD_COMMAND}`", own.display()))?;
    let built = fs::metadata(&file)?.modified()?;
    for source in sources {
        if let Some(newer) = newer_file(&repository().join(source), built)? {
            bail!("{} is older than {}: run `{BUILD_COMMAND}`", file.display(), newer.display());
        }
    }
    Ok(file)
}

fn newer_file(folder: &Path, than: SystemTime) -> anyhow::Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let newer = if entry.file_type()?.is_dir() {
            newer_file(&entry.path(), than)?
        } else {
            (than < entry.metadata()?.modified()?).then(|| entry.path())
        };
        // Tests beside the code do not change the program.
        if let Some(newer) = newer.filter(|newer| !newer.ends_with("tests.rs")) {
            return Ok(Some(newer));
        }
    }
    Ok(None)
}
