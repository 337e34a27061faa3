//! The law of grouping keys: however a path is read, its key is printed as a path that names the same.
//!
//! *Never:* what is stored under a key.

use protocol::{
    GroupingKey, GroupingKeyError, LabelSet, PathNames,
    label_set::{is_label_name, parse_block},
};

use super::is_short;

/// Path → key → path → key, and key → label block → labels.
pub fn grouping_key(path: &[u8]) {
    let path = String::from_utf8_lossy(path);
    for names in [PathNames::Legacy, PathNames::Utf8, PathNames::Literal] {
        let key = GroupingKey::from_path(&path, names);
        let key_or_none = GroupingKey::from_path_without_job(&path, names);
        if let Ok(key) = &key {
            assert_eq!(key_or_none.as_ref(), Ok(key), "{names:?}");
        }
        if let (Ok(key), PathNames::Legacy) = (&key, names) {
            assert_eq!(GroupingKey::from_path(&path, PathNames::Literal).as_ref(), Ok(key));
        }
        [key, key_or_none].into_iter().for_each(is_printed_or_refused);
    }
}

fn is_printed_or_refused(key: Result<GroupingKey, GroupingKeyError>) {
    let key = match key {
        Ok(key) => key,
        Err(error) => return is_short(&error.to_string()),
    };
    let printed = key.to_path();
    assert!(printed.is_ascii() && !printed.contains("//"), "{printed:?}");
    assert!(!printed.split('/').any(|part| [".", ".."].contains(&part)), "{printed:?}");
    assert_eq!(GroupingKey::from_path(&printed, PathNames::Literal).as_ref(), Ok(&key), "{printed:?}");
    let is_classic = key.labels().iter().all(|(name, _)| is_label_name(name));
    if is_classic && !key.job().is_empty() {
        assert_eq!(GroupingKey::from_path(&printed, PathNames::Legacy).as_ref(), Ok(&key), "{printed:?}");
    }
    assert_eq!(GroupingKey::from_labels(key.labels().clone()).as_ref(), Ok(&key));
    let block = key.to_string();
    let read = parse_block(&block).unwrap_or_else(|error| panic!("{block:?}: {error}"));
    assert_eq!((read.metric_name, read.rest), (None, ""), "{block:?}");
    assert_eq!(&LabelSet::from_iter(read.labels), key.labels(), "{block:?}");
}
