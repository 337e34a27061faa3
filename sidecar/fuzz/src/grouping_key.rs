//! The law of grouping keys: a path that names one is printed as a path that names the same.
//!
//! *Never:* what is stored under a key.

use protocol::{GroupingKey, LabelSet, PathNames, label_set::parse_block};

use super::is_short;

/// Path → key → path → key, and key → label block → labels.
pub fn grouping_key(path: &[u8]) {
    let path = String::from_utf8_lossy(path);
    let key = match read_path(&path) {
        Ok(key) => key,
        Err(sentence) => return is_short(&sentence),
    };
    let printed = key.to_path();
    assert!(printed.is_ascii() && !printed.contains("//"), "{printed:?}");
    assert_eq!(read_path(&printed).as_ref(), Ok(&key), "{printed:?}");
    assert_eq!(GroupingKey::from_labels(key.labels().clone()).as_ref(), Ok(&key));
    let block = key.to_string();
    let read = parse_block(&block).unwrap_or_else(|error| panic!("{block:?}: {error}"));
    assert_eq!((read.metric_name, read.rest), (None, ""), "{block:?}");
    assert_eq!(&LabelSet::from_iter(read.labels), key.labels(), "{block:?}");
}

/// The one place that says how a path is read.
fn read_path(path: &str) -> Result<GroupingKey, String> {
    GroupingKey::from_path(path, PathNames::Utf8).map_err(|error| error.to_string())
}
