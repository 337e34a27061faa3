//! From a seed to a sequence of requests.
//!
//! Few names, labels and values, so that groups get in each other's way. Most requests are ordinary, some are odd, some
//! are broken; how many is a matter of the sequence's mood, so that some build up a state and others do not.
//!
//! *Never:* answers: the same seed makes the same sequence.

mod path;
mod protobuf;
mod text;

use crate::{
    codings,
    random::Random,
    request::{Coding, ContentType, Request},
};

const LONGEST: usize = 60;
const SHORTEST: usize = 30;

const TEXT_TYPES: [Option<&str>; 12] = [
    None,
    None,
    None,
    Some("text/plain; version=0.0.4"),
    Some("text/plain"),
    Some("application/x-www-form-urlencoded"),
    Some("application/octet-stream"),
    Some("nonsense"),
    Some("application/vnd.google.protobuf"),
    Some("application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily"),
    Some("application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=text"),
    Some("application/vnd.google.protobuf; proto=io.prometheus.client.metricfamily; encoding=delimited"),
];

const PROTOBUF_TYPES: [&str; 5] = [
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
    "application/vnd.google.protobuf; encoding=delimited; proto=io.prometheus.client.MetricFamily",
    "Application/Vnd.Google.Protobuf;PROTO=io.prometheus.client.MetricFamily;Encoding=delimited",
    "application/vnd.google.protobuf; proto=\"io.prometheus.client.MetricFamily\"; encoding=\"delimited\"; q=1;",
    "application/vnd.google.protobuf ; proto=io.prometheus.client.MetricFamily ; encoding=delimited; escaping=values",
];

/// How many of a hundred requests are odd, in which respect.
#[derive(Clone, Copy)]
pub(super) struct Mood {
    path: usize,
    body: usize,
    coding: usize,
}

const MOODS: [Mood; 4] = [
    Mood { path: 0, body: 5, coding: 2 },
    Mood { path: 3, body: 25, coding: 3 },
    Mood { path: 12, body: 8, coding: 8 },
    Mood { path: 40, body: 40, coding: 20 },
];

/// The sequence of a seed.
pub(crate) fn sequence(seed: u64) -> Vec<Request> {
    let random = &mut Random::of(seed);
    let mood = random.pick(&MOODS);
    let length = SHORTEST + random.below(LONGEST - SHORTEST + 1);
    let mut requests: Vec<Request> = Vec::with_capacity(length);
    while requests.len() < length {
        let pushes: Vec<&Request> = requests.iter().filter(|request| request.is_push()).collect();
        let next = match pushes.as_slice() {
            pushes @ [_, ..] if random.percent(12) => again(random, pushes),
            _ => request(random, mood),
        };
        requests.push(next);
    }
    requests
}

/// A push as a job makes it that runs again: mostly the last one, with other numbers.
fn again(random: &mut Random, pushes: &[&Request]) -> Request {
    let back = if random.percent(60) { 0 } else { random.below(pushes.len()) };
    let mut request = pushes[pushes.len() - 1 - back].clone();
    // An encoded body is a body of its own.
    if request.coding == Coding::None && !request.is_protobuf() {
        request.body = text::renumbered(random, &request.body);
    }
    request
}

fn request(random: &mut Random, mood: Mood) -> Request {
    match random.below(100) {
        0..42 => push(random, mood, "POST"),
        42..78 => push(random, mood, "PUT"),
        78..90 => Request::new("DELETE", path::group(random, mood.path)),
        90..93 => push(random, mood, "DELETE"),
        _ => other(random, mood),
    }
}

/// Anything but a push or a deletion as they should be.
fn other(random: &mut Random, mood: Mood) -> Request {
    let methods = ["GET", "GET", "HEAD", "OPTIONS", "PATCH", "post", "Put", "POST", "DELETE", "PUT", "PROPFIND"];
    let method = random.pick(&methods);
    let target = if random.percent(50) { path::group(random, mood.path) } else { path::fixed(random, mood.path) };
    let mut request = Request::new(method, target);
    if random.percent(20) {
        request.coding = Coding::Gzip;
        request.body = text::body(random, 0);
    } else if random.percent(10) {
        request.coding = Coding::Damaged(Vec::new());
    }
    request
}

fn push(random: &mut Random, mood: Mood, method: &'static str) -> Request {
    let mut request = Request::new(method, path::group(random, mood.path));
    if random.percent(22) {
        request.content_type = ContentType { value: Some(random.pick(&PROTOBUF_TYPES)), is_protobuf: true };
        request.body = protobuf::body(random, mood.body.max(20));
    } else {
        request.content_type = ContentType { value: random.pick(&TEXT_TYPES), is_protobuf: false };
        request.body = if random.percent(4) { Vec::new() } else { text::body(random, mood.body) };
    }
    request.chunked = random.percent(8);
    request.coding = coding(random, mood.coding, &request.body);
    request
}

fn coding(random: &mut Random, odd: usize, body: &[u8]) -> Coding {
    if random.percent(6) {
        return Coding::Gzip;
    }
    if !random.percent(odd) {
        return Coding::None;
    }
    match random.below(8) {
        0 => Coding::GzipNamed(random.pick(&["GZIP", "Gzip", "gZip"])),
        1 => Coding::Deflate,
        2 => Coding::Zstd,
        3 => Coding::SnappyBlock,
        4 => Coding::Claimed(random.pick(&["br", "x-gzip", "gzip, gzip", "gzip,deflate", "nonsense", "compress"])),
        5 => Coding::Claimed(random.pick(&["identity", "gzip", ""])),
        _ => Coding::Damaged(damaged(random, codings::gzip(body))),
    }
}

/// Gzip that is cut short, or has a wrong byte, or more behind it.
fn damaged(random: &mut Random, mut bytes: Vec<u8>) -> Vec<u8> {
    let at = random.below(bytes.len());
    match random.below(4) {
        0 => bytes.truncate(at),
        // Not in the head, most of which means nothing.
        1 => bytes[at.max(10)] ^= 1,
        2 => bytes.push(0x55),
        _ => bytes.clear(),
    }
    bytes
}
