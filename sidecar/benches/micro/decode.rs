//! From bytes to families, and from a path to a key.
//!
//! *Never:* the store.

use bytes::Bytes;
use divan::{Bencher, counter::BytesCount};
use protocol::{GroupingKey, NameValidation, PathNames};
use sidecar::exposition::{openmetrics, protobuf, text};

use crate::bodies;

const SERIES: [usize; 2] = [10, 1_000];

#[divan::bench(args = SERIES)]
fn text(bencher: Bencher<'_, '_>, series: usize) {
    let body = bodies::text(series, 0);
    bencher.counter(BytesCount::of_slice(&body)).bench(|| text::decode(&body, NameValidation::Legacy));
}

#[divan::bench(args = SERIES)]
fn openmetrics(bencher: Bencher<'_, '_>, series: usize) {
    let body = bodies::openmetrics(series);
    bencher.counter(BytesCount::of_slice(&body)).bench(|| openmetrics::decode(&body, NameValidation::Legacy));
}

#[divan::bench(args = SERIES)]
fn protobuf(bencher: Bencher<'_, '_>, series: usize) {
    let body = Bytes::from(bodies::protobuf(series));
    bencher.counter(BytesCount::of_slice(&body)).bench(|| protobuf::decode(&body));
}

#[divan::bench(args = ["/metrics/job/nightly-backup/instance/worker-7", "/metrics/job@base64/L3Zhci90bXA/instance/a%20b"])]
fn key(path: &str) -> GroupingKey {
    GroupingKey::from_path(path, PathNames::Literal).unwrap()
}
