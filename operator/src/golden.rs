//! Golden files: values as YAML beside the code, rewritten under `SIDEGATE_BLESS=1`.
//!
//! *Never:* outside tests.

use std::{env, fs, path::Path};

use serde::Serialize;

/// Compares a value with `tests/golden/NAME`.
#[track_caller]
pub(crate) fn check(name: &str, value: &impl Serialize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let made = serde_yaml::to_string(value).unwrap();
    if env::var_os("SIDEGATE_BLESS").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let known = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(made, known, "{}: SIDEGATE_BLESS=1 rewrites it", path.display());
}
