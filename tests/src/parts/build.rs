//! Building a part from its Go module into the cache, and installing Debian packages.
//!
//! A part appears in the cache whole or not at all; two processes that want the same one build it once.
//!
//! *Never:* where a part is looked for.

use std::{
    fmt::Write as _,
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{GoPart, progress};

/// What the recipe of Prometheus' page is written for.
const PNPM: &str = "pnpm@10.34.9";

const SOURCES: [&str; 3] = ["go.mod", "go.sum", "main.go"];

/// A short hash of what decides how a part comes out, besides its version.
pub(super) fn fingerprint(part: &GoPart) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    for file in SOURCES.map(|file| module(part).join(file)) {
        if file.exists() {
            hash.update(fs::read(&file).with_context(|| file.display().to_string())?);
        }
    }
    hash.update(part.link);
    let mut text = String::new();
    for byte in hash.finalize().iter().take(4) {
        write!(text, "{byte:02x}")?;
    }
    Ok(text)
}

/// Builds a part into a folder of the cache.
pub(super) fn build(part: &GoPart, folder: &Path) -> anyhow::Result<()> {
    once(folder, |fresh| {
        let mut go = Command::new("go");
        go.current_dir(module(part)).env("CGO_ENABLED", "0").env("GOFLAGS", "-buildvcs=false -trimpath");
        go.args(["build", "-ldflags", &format!("-s -w {}", part.link), "-o"]).arg(fresh).args(part.packages);
        progress::run(&format!("building {} {}", part.name, part.version), &mut go)?;
        for program in part.programs {
            ensure!(fresh.join(program).is_file(), "expected go build to make {program}, found no such file");
        }
        if let Some(first) = part.programs.first() {
            for name in part.links {
                symlink(first, fresh.join(name))?;
            }
        }
        match part.files {
            Some((name, files)) => copy_folder(&module_source(part, name)?.join(files), &fresh.join("files")),
            None => Ok(()),
        }
    })
}

/// Builds Prometheus' page into a folder of the cache, by the recipe that its module brings.
pub(super) fn build_page(part: &GoPart, folder: &Path) -> anyhow::Result<()> {
    once(folder, |fresh| {
        let sources = fresh.with_extension("sources");
        if sources.exists() {
            fs::remove_dir_all(&sources)?;
        }
        copy_folder(&module_source(part, "github.com/prometheus/prometheus")?.join("web/ui"), &sources)?;
        let pnpm = |what: &str, arguments: &[&str]| {
            let mut npm = Command::new("npm");
            npm.current_dir(&sources).args(["exec", "--yes", PNPM, "--", "--filter", "@prometheus-io/mantine-ui..."]);
            progress::run(&format!("{what} of Prometheus' page"), npm.args(arguments))
        };
        pnpm("installing the packages", &["install", "--frozen-lockfile"])?;
        pnpm("building the script", &["run", "build"])?;
        fs::remove_dir(fresh)?;
        fs::rename(sources.join("mantine-ui/dist"), fresh)?;
        Ok(fs::remove_dir_all(sources)?)
    })
}

/// Fills a folder of the cache: whole or not at all, and by one process.
pub(super) fn once(folder: &Path, fill: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let cache = folder.parent().context("the cache has a folder per part")?;
    fs::create_dir_all(cache).with_context(|| cache.display().to_string())?;
    let lock = File::create(folder.with_added_extension("lock"))?;
    lock.lock().context("waiting for another process that builds the same part")?;
    if folder.exists() {
        return Ok(());
    }
    let fresh = folder.with_added_extension("building");
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    fs::create_dir_all(&fresh)?;
    fill(&fresh)?;
    fs::rename(&fresh, folder).with_context(|| folder.display().to_string())
}

/// Installs Debian packages.
pub(super) fn install_packages(packages: &[&str]) -> anyhow::Result<()> {
    let apt = |arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
        apt
    };
    progress::run("reading Debian's package lists", &mut apt(&["update"]))?;
    let mut install = vec!["install", "--yes", "--no-install-recommends"];
    install.extend(packages);
    progress::run(&format!("installing {}", packages.join(", ")), &mut apt(&install))
}

fn module(part: &GoPart) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster").join(part.name)
}

/// The folder of a module that the part requires, downloaded if need be.
fn module_source(part: &GoPart, name: &str) -> anyhow::Result<PathBuf> {
    let mut go = Command::new("go");
    go.current_dir(module(part)).args(["mod", "download", "-json", name]);
    let output = go.output().context("go mod download")?;
    if !output.status.success() {
        bail!("go mod download {name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    let folder = answer.get("Dir").and_then(Value::as_str).context("expected go mod download to name a folder")?;
    Ok(PathBuf::from(folder))
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let (entry, to) = entry.map(|entry| (entry.path(), to.join(entry.file_name())))?;
        if entry.is_dir() { copy_folder(&entry, &to)? } else { fs::write(to, fs::read(entry)?)? }
    }
    Ok(())
}
