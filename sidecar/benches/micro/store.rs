//! A push into the store, and the page after it.
//!
//! *Never:* formats of bodies.

use std::io::Write as _;

use divan::Bencher;
use flate2::{Compression, write::GzEncoder};
use protocol::GroupingKey;
use sidecar::{
    clock::UnixSeconds,
    exposition::Escaping,
    store::{Change, Store, Verdict},
};

use crate::bodies;

const GROUPS: [usize; 2] = [0, 10_000];

/// Series of a group.
const SERIES: usize = 10;

fn put(group: usize, round: usize) -> Change {
    Change::replace(GroupingKey::from_labels(bodies::key(group)).unwrap(), bodies::families(SERIES, round))
}

fn submit(store: &Store, change: Change) {
    assert_eq!(store.submit(change, UnixSeconds(1_800_000_000.5)), Verdict::Done);
}

fn filled(groups: usize) -> Store {
    let store = Store::new();
    (0..groups).for_each(|group| submit(&store, put(group, 0)));
    store
}

/// The group is there, with other values.
#[divan::bench(args = GROUPS)]
fn submit_again(bencher: Bencher<'_, '_>, groups: usize) {
    let store = filled(groups.max(1));
    let mut round = 0;
    let change = || {
        round += 1;
        put(0, round % 2)
    };
    bencher.with_inputs(change).bench_local_values(|change| submit(&store, change));
}

#[divan::bench(args = GROUPS)]
fn submit_new(bencher: Bencher<'_, '_>, groups: usize) {
    let store = filled(groups);
    let mut group = groups;
    let change = || {
        group += 1;
        put(group, 0)
    };
    bencher.with_inputs(change).bench_local_values(|change| submit(&store, change));
}

#[divan::bench(args = [100, 10_000])]
fn page_after_a_change(bencher: Bencher<'_, '_>, groups: usize) {
    let store = filled(groups);
    let mut round = 0;
    let change = || {
        round += 1;
        submit(&store, put(groups / 2, round % 2));
    };
    bencher.with_inputs(change).bench_local_values(|()| store.page(Escaping::default()));
}

/// The fastest level, as pages are compressed.
#[divan::bench(args = [100, 10_000])]
fn gzip_page(bencher: Bencher<'_, '_>, groups: usize) {
    let page = filled(groups).page(Escaping::default());
    bencher.bench(|| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&page.text()).unwrap();
        encoder.finish().unwrap()
    });
}
