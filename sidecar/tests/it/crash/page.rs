//! The page of the process, taken apart into groups.

use std::collections::BTreeMap;

/// What there is.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Of the test's job, by the label `key`.
    pub(super) groups: BTreeMap<String, Found>,
    /// Series of the process itself.
    pub(super) own: Vec<(String, f64)>,
}

/// A group on the page.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The value of the only series that each family has.
    pub(super) families: BTreeMap<String, f64>,
    pub(super) push_time: f64,
    pub(super) failure_time: f64,
}

// === impl Page ===

impl Page {
    #[track_caller]
    pub(super) fn read(text: &str) -> Self {
        let mut page = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let value: f64 = value.parse().unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let key =
                labels.strip_prefix("instance=\"\",job=\"crash\",key=\"").and_then(|rest| rest.strip_suffix("\"}"));
            match key {
                Some(key) => page.groups.entry(key.to_owned()).or_default().take(name, value),
                None => {
                    let is_own = ["process_", "pushgateway_", "sidegate_"].iter().any(|own| name.starts_with(own));
                    assert!(is_own, "nobody pushed {line}");
                    page.own.push((series.to_owned(), value));
                }
            }
        }
        page
    }
}

// === impl Found ===

impl Found {
    fn take(&mut self, name: &str, value: f64) {
        match name {
            "push_time_seconds" => self.push_time = value,
            "push_failure_time_seconds" => self.failure_time = value,
            _ => {
                let twice = self.families.insert(name.to_owned(), value);
                assert!(twice.is_none(), "{name} comes twice");
            }
        }
    }
}
