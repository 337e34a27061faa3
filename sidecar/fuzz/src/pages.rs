//! The laws of the pages: what the store takes can be read in every format and under every escaping scheme; all formats
//! show the same; a series comes once; and what a scheme has to leave out is counted.
//!
//! *Never:* what was pushed, HTTP.

use axum::body::Bytes;
use protocol::{GroupingKey, LabelSet, NameValidation};
use sidecar::{
    clock::UnixSeconds,
    exposition::{
        Escaping, MetricFamily, openmetrics,
        protobuf::{self, ProtobufForm},
        text,
    },
    store::{Change, Rules, Store, Timestamps, Verdict},
};

use super::outline::{kinds, outlines};

/// What a scheme shows: how many series, and how many it leaves out.
type Sums = (usize, usize);

/// The label that further keys have beside the job. All but one scheme make them the same.
const FURTHER: [(&str, &str); 2] = [("a.b", "1"), ("a_b", "1")];

/// Whether the store takes them; what it takes makes pages that can be read.
pub fn are_taken(families: &[MetricFamily]) -> bool {
    let store = Store::with(Rules { timestamps: Timestamps::Honor, ..Rules::default() });
    let push = |labels: LabelSet| {
        let key = GroupingKey::from_labels(labels).unwrap();
        store.submit(Change::replace(key, families.to_vec()), UnixSeconds(1.0))
    };
    let verdict = push([("job", "j")].into_iter().collect());
    pages_read_back(&store, &[Escaping::Underscores]);
    if verdict != Verdict::Done {
        return false;
    }
    for label in FURTHER {
        push([("job", "j"), label].into_iter().collect());
    }
    pages_read_back(&store, &[Escaping::Underscores, Escaping::Dots, Escaping::Values]);
    true
}

fn pages_read_back(store: &Store, schemes: &[Escaping]) {
    let (all, hidden) = page_reads_back(store, Escaping::AllowUtf8);
    assert_eq!(hidden, 0);
    for escaping in schemes {
        let (shown, hidden) = page_reads_back(store, *escaping);
        assert_eq!(shown + hidden, all, "{escaping:?}");
    }
}

fn page_reads_back(store: &Store, escaping: Escaping) -> Sums {
    let names = if escaping == Escaping::AllowUtf8 { NameValidation::Utf8 } else { NameValidation::Legacy };
    let page = store.page(escaping);
    let bytes = page.text();
    let printed = std::str::from_utf8(&bytes).unwrap();
    let read = text::decode(&bytes, names).unwrap_or_else(|error| panic!("{escaping:?}: {error}:\n{printed}"));
    is_same(text::encode(&read).as_bytes(), &bytes, escaping);
    for family in &read {
        let is_twice = family.metrics.windows(2).any(|pair| pair[0].labels == pair[1].labels);
        assert!(!is_twice, "{escaping:?}: {printed}");
    }

    let newer = openmetrics_page(store, escaping);
    let as_newer = openmetrics::decode(newer.as_bytes(), names);
    let as_newer = as_newer.unwrap_or_else(|error| panic!("{escaping:?}: {error}:\n{newer}"));
    is_same(openmetrics::encode(&as_newer).as_bytes(), newer.as_bytes(), escaping);
    assert_eq!(outlines(&as_newer), outlines(&read), "{escaping:?}: {newer}");

    let messages = messages(store, escaping);
    let as_messages = protobuf::decode(&messages).unwrap();
    is_same(&protobuf::encode(&as_messages), &messages, escaping);
    assert_eq!(outlines(&as_messages), outlines(&read), "{escaping:?}");
    assert_eq!(kinds(&as_messages), kinds(&read), "{escaping:?}");

    (read.iter().map(|family| family.metrics.len()).sum(), page.hidden)
}

/// Escaped labels stand where those they were stood, so that what is printed again has only the same bytes.
fn is_same(again: &[u8], page: &[u8], escaping: Escaping) {
    let sorted = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes.sort_unstable();
        bytes
    };
    let is_same = again == page || (escaping != Escaping::AllowUtf8 && sorted(again) == sorted(page));
    let shown = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(is_same, "{escaping:?}:\n{}\nbecame\n{}", shown(page), shown(again));
}

fn openmetrics_page(store: &Store, escaping: Escaping) -> String {
    let page = store.openmetrics_page(escaping);
    format!("{}{}", std::str::from_utf8(&page.text()).unwrap(), openmetrics::END)
}

fn messages(store: &Store, escaping: Escaping) -> Bytes {
    let mut messages = Vec::new();
    for family in &store.snapshot(escaping, |_| true).families {
        let (head, metrics) = (family.head(), family.metrics());
        protobuf::write_family(&mut messages, head, metrics, escaping, ProtobufForm::Delimited);
    }
    messages.into()
}
