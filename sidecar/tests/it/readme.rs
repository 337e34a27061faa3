//! Tables of the README that tests hold to.

use std::{collections::BTreeSet, fs, path::Path};

/// Fails unless the first column of the table below a heading names just these rows, each once.
#[track_caller]
pub(crate) fn check_table(heading: &str, rows: &[&str]) {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let start = format!("\n## {heading}\n");
    let (_, section) = readme.split_once(&start).unwrap_or_else(|| panic!("no section {heading:?} in the README"));
    let section = section.split("\n## ").next().unwrap();
    // The first two lines are the head of the table.
    let lines: Vec<_> = section.lines().filter(|line| line.starts_with('|')).skip(2).collect();
    let written: Vec<_> = lines.iter().map(|line| line.split(" | ").next().unwrap()[1..].trim()).collect();

    let (tested, shown): (BTreeSet<_>, BTreeSet<_>) =
        (rows.iter().copied().collect(), written.iter().copied().collect());
    let untested: Vec<_> = shown.difference(&tested).collect();
    let unwritten: Vec<_> = tested.difference(&shown).collect();
    assert!(
        untested.is_empty() && unwritten.is_empty(),
        "{heading}: not tested {untested:?}, not written {unwritten:?}"
    );
    assert_eq!((tested.len(), shown.len()), (rows.len(), written.len()), "{heading}: a name comes twice");
}
