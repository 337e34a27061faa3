//! The committed YAML, here and in the chart, is what the types make.
//!
//! `SIDEGATE_BLESS=1 cargo test -p crds` rewrites both.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is right")]

use std::{env, fs, path::Path};

#[track_caller]
fn check(file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let made = crds::custom_resource_definition_yaml().unwrap();
    if env::var_os("SIDEGATE_BLESS").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == made, "{} is old: run `SIDEGATE_BLESS=1 cargo test -p crds`", path.display());
}

#[test]
fn the_committed_yaml_is_made_from_the_types() {
    check("pushgroups.yaml");
}

#[test]
fn the_yaml_in_the_chart_is_made_from_the_types() {
    check("../charts/sidegate/files/pushgroups.yaml");
}
