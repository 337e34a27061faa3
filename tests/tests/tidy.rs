//! What the compiler does not hold: the map of files, the arrows between crates, the words of the README.
//!
//! *Never:* behaviour.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is right")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The most lines a file may have.
const LIMIT: usize = 600;

const CRATES: [&str; 6] = ["sidecar/protocol", "sidecar", "crds", "operator", "tests", "tests/bare"];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All sources of the workspace, by path from its root.
fn sources() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = repository();
    let mut found = Vec::new();
    for folder in CRATES.iter().flat_map(|name| ["src", "tests", "benches"].map(|part| root.join(name).join(part))) {
        if folder.is_dir() {
            walk(&folder, &mut found);
        }
    }
    assert!(50 < found.len(), "expected the sources of the workspace, found {found:?}");
    found.into_iter().map(|path| path.strip_prefix(&root).unwrap().to_owned()).collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(repository().join(path)).unwrap()
}

/// Whether a file stands on its own: cargo knows it without a `mod`.
fn is_root(path: &Path) -> bool {
    let name = path.file_name().unwrap();
    let folder = path.parent().unwrap();
    let in_folder = |name: &str| folder.file_name().is_some_and(|found| found == name);
    let crate_tests =
        in_folder("tests") && folder.parent().is_some_and(|parent| CRATES.iter().any(|one| parent == Path::new(one)));
    name == "lib.rs" || name == "main.rs" || in_folder("bin") || crate_tests
}

/// Where the `mod` line of a file has to be.
fn parents(path: &Path) -> Vec<PathBuf> {
    let folder = path.parent().unwrap();
    let roots = ["lib.rs", "main.rs"].map(|name| folder.join(name));
    roots.into_iter().chain([folder.with_extension("rs")]).filter(|path| repository().join(path).is_file()).collect()
}

#[test]
fn every_file_says_what_it_owns() {
    for path in sources() {
        let text = read(&path);
        assert!(text.starts_with("//! "), "{}: expected `//!` as first line", path.display());
    }
}

#[test]
fn no_file_is_longer_than_the_limit() {
    for path in sources() {
        let lines = read(&path).lines().count();
        assert!(lines <= LIMIT, "{} has {lines} lines: find its second idea", path.display());
    }
}

#[test]
fn every_file_is_a_module_of_its_crate() {
    for path in sources() {
        assert!(!path.ends_with("mod.rs"), "{}: the face of foo/ is foo.rs", path.display());
        if is_root(&path) {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap();
        let declared = |text: String| {
            text.lines().any(|line| {
                let line = line.trim().strip_suffix(';').unwrap_or_default();
                line.rsplit(' ').next() == Some(name) && line.split(' ').any(|word| word == "mod")
            })
        };
        assert!(
            parents(&path).into_iter().map(|parent| read(&parent)).any(declared),
            "{} is in no module",
            path.display()
        );
    }
}

/// What a crate is made of, as cargo resolves it.
fn dependencies(package: &str) -> Vec<String> {
    let arguments = ["tree", "--package", package, "--edges", "normal", "--prefix", "none", "--format", "{p}"];
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(repository()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[track_caller]
fn check_arrows(package: &str, never: &[&str]) {
    let found = dependencies(package);
    assert_eq!(found.first().map(String::as_str), Some(package));
    for name in never {
        assert!(!found.iter().any(|found| found == name), "{package} depends on {name}");
    }
}

#[test]
fn the_arrows_between_crates_hold() {
    check_arrows("protocol", &["tokio", "http", "axum", "kube", "kube-core", "serde", "clap"]);
    check_arrows("sidecar", &["crds", "kube", "kube-core", "k8s-openapi", "operator", "prometheus-client"]);
    check_arrows("crds", &["tokio", "kube-client", "operator", "sidecar", "protocol"]);
    check_arrows("operator", &["sidecar", "e2e"]);
    check_arrows("e2e", &["sidecar", "operator"]);
}

/// A crate with sharp edges is named in one file.
#[test]
fn prometheus_parse_is_named_in_one_file() {
    let users = sources().into_iter().filter(|path| read(path).contains("prometheus_parse"));
    let users: Vec<_> = users.filter(|path| !path.ends_with("tidy.rs")).collect();
    assert_eq!(users, [Path::new("operator/src/sidecar/push_times.rs")]);
}

#[test]
fn the_commands_of_the_readme_exist() {
    let readme = read(Path::new("README.md"));
    let aliases = read(Path::new(".cargo/config.toml"));
    for command in ["cargo demo", "cargo test --workspace"] {
        assert!(readme.contains(command), "README.md does not name `{command}`");
    }
    let named = readme.lines().map(str::trim).filter_map(|line| line.strip_prefix("cargo "));
    for command in named.filter_map(|line| line.split(' ').next()) {
        let known = ["bench", "build", "test", "run", "install"].contains(&command);
        assert!(known || aliases.contains(&format!("\n{command} =")), "README.md names `cargo {command}`");
    }
    assert!(read(Path::new(".ci/run")).contains("cargo test --workspace"));
}

/// Nothing that only this or that machine has.
#[test]
fn only_the_chosen_entries_stand_at_the_top() {
    let chosen = [
        "Cargo.toml",
        "Cargo.lock",
        "operator",
        "sidecar",
        "crds",
        "charts",
        "tests",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "target",
    ];
    for entry in fs::read_dir(repository()).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        assert!(name.starts_with('.') || chosen.contains(&name.as_str()), "{name} has no place at the top");
    }
}
