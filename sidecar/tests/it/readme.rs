//! Tables of the README that tests hold to.

use std::{collections::BTreeSet, fs, path::Path};

/// How long the second column may be, in characters: what happens here is said in a line.
const LONGEST: usize = 160;

/// Fails unless the first column of the table below a heading names just these rows, each once, and
/// each row has all its columns filled.
#[track_caller]
pub(crate) fn check_table(heading: &str, rows: &[&str]) {
    let lines = table(heading);
    let mut written = Vec::new();
    for line in &lines {
        let [name, here, ..] = &line[..] else { panic!("{heading}: expected two columns or more in {line:?}") };
        assert!(here.chars().count() <= LONGEST, "{heading}: expected at most {LONGEST} characters in {here:?}");
        written.push(name.as_str());
    }

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

/// The rows of the table below a heading, each of as many columns as its head, none of them empty.
#[track_caller]
pub(crate) fn table(heading: &str) -> Vec<Vec<String>> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let start = format!("\n## {heading}\n");
    let (_, section) = readme.split_once(&start).unwrap_or_else(|| panic!("no section {heading:?} in the README"));
    let section = section.split("\n## ").next().unwrap();
    let mut lines = section.lines().filter(|line| line.starts_with('|')).map(cells);
    let columns = lines.next().unwrap().len();
    // Behind the head of the table is its rule.
    let lines: Vec<Vec<_>> = lines.skip(1).map(|line| line.into_iter().map(str::to_owned).collect()).collect();
    for line in &lines {
        assert_eq!(line.len(), columns, "{heading}: expected {columns} columns in {line:?}");
        assert!(line.iter().all(|cell| !cell.is_empty()), "{heading}: expected no empty cell in {line:?}");
    }
    lines
}

/// Fails unless there is a test of that name, `FILE.rs::name` below the crate's folder.
#[track_caller]
pub(crate) fn check_test(row: &str, test: &str) {
    let (file, function) = test.split_once("::").unwrap();
    let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let lines: String = source.lines().map(|line| format!("{}\n", line.trim_start())).collect();
    assert!(lines.contains(&format!("#[test]\nfn {function}()")), "{row}: {test} is not there");
}

/// What is between the bars of a line.
fn cells(line: &str) -> Vec<&str> {
    let inner = line.strip_prefix('|').and_then(|line| line.strip_suffix('|'));
    let inner = inner.unwrap_or_else(|| panic!("expected a bar at both ends of {line:?}"));
    inner.split('|').map(str::trim).collect()
}
