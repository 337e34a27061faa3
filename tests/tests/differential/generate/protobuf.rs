//! Bodies of delimited messages, written field by field.
//!
//! A family without series is none of them: what upstream takes for its type, and whether it has a page from then on, is up
//! to chance, at each look anew (the README's table of what differs has ours).
//!
//! *Never:* whether a body is accepted.

use e2e::wire::{double, integer, message, text, varint};

use crate::random::Random;

use super::text::{KINDS, LABELS, named};

/// The types by their numbers.
const NUMBERS_OF_KINDS: [(&str, u64); 5] =
    [("counter", 0), ("gauge", 1), ("summary", 2), ("untyped", 3), ("histogram", 4)];

const VALUES: [&str; 8] = ["1", "1", "2", "2", "", "größe", "a\nb", "\"q\\"];

const NUMBERS: [f64; 10] =
    [0.0, 1.0, -1.5, 1e6, 1e-5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 123_456_789.0, 5e-324];

/// What is odd about a body, by a number that the code below tells; some are rarely seen in an answer, and so repeated.
const ODDITIES: [usize; 15] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 11, 12, 12];

/// A body; odd in so many of a hundred cases.
pub(super) fn body(random: &mut Random, odd: usize) -> Vec<u8> {
    let oddity = if random.percent(odd) { random.pick(&ODDITIES) } else { usize::MAX };
    let mut body = Vec::new();
    for _ in 0..random.below(3) + usize::from(oddity < 11) {
        let family = family(random, oddity);
        body.extend(varint(u64::try_from(family.len()).unwrap_or_default()));
        body.extend(family);
    }
    match oddity {
        11 if !body.is_empty() => body.truncate(random.below(body.len())),
        12 => body.extend(
            random
                .pick(&[&b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"[..], b"\x80", b"\x05\x0a", b"x 1\n"])
                .to_vec(),
        ),
        _ => {}
    }
    body
}

fn family(random: &mut Random, oddity: usize) -> Vec<u8> {
    let (mut name, mut kind) = named(random);
    match oddity {
        0 => kind = random.pick(&KINDS),
        6 | 10 if random.percent(70) => (name, kind) = ("h", "histogram"),
        _ => {}
    }
    if oddity == 1 {
        name = random.pick(&["", "a.b", "1x", "größe", "a b"]);
    }
    let number = NUMBERS_OF_KINDS.iter().find(|(known, _)| *known == kind).map_or(0, |(_, number)| *number);
    let mut out = Vec::new();
    if !(name.is_empty() && random.percent(50)) {
        text(&mut out, 1, name);
    }
    if random.percent(50) {
        text(&mut out, 2, random.pick(&["Help.", "Other help.", "", "a\\b\nc"]));
    }
    match oddity {
        2 => integer(&mut out, 3, random.pick(&[6, 7, 100])),
        // A type left out means counter.
        3 if kind == "counter" => {}
        _ => integer(&mut out, 3, number),
    }
    for place in 0..1 + random.below(2) {
        let metric = metric(random, kind, oddity, place);
        message(&mut out, 4, &metric);
    }
    if random.percent(10) {
        text(&mut out, 5, "seconds");
    }
    out
}

fn metric(random: &mut Random, kind: &str, oddity: usize, place: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut names = LABELS;
    random.shuffle(&mut names);
    let mut labels: Vec<(&str, &str)> =
        names.into_iter().take(random.below(3)).map(|name| (name, random.pick(&VALUES))).collect();
    // So that the series of a family are mostly different.
    labels.push(("p", if place == 0 { "0" } else { "1" }));
    match oddity {
        4 => labels.push((random.pick(&["a-b", "", "größe", "1a"]), "1")),
        5 => labels.extend([("d", "1"), ("d", random.pick(&["1", "2"]))]),
        6 => labels.push((random.pick(&["__a", "le", "le", "quantile"]), "1")),
        _ => {}
    }
    for (name, value) in labels {
        let mut pair = Vec::new();
        text(&mut pair, 1, name);
        text(&mut pair, 2, value);
        message(&mut out, 1, &pair);
    }
    let mut value = Vec::new();
    let field = match kind {
        "gauge" => 2,
        "counter" => 3,
        "summary" => 4,
        "untyped" => 5,
        _ => 7,
    };
    match kind {
        "summary" => {
            integer(&mut value, 1, random.next() % 100);
            double(&mut value, 2, random.pick(&NUMBERS));
            for quantile in [0.5, 0.9] {
                let mut pair = Vec::new();
                double(&mut pair, 1, quantile);
                double(&mut pair, 2, random.pick(&NUMBERS));
                message(&mut value, 3, &pair);
            }
        }
        "histogram" => histogram(random, &mut value, oddity),
        _ => {
            if random.percent(90) {
                double(&mut value, 1, random.pick(&NUMBERS));
            }
        }
    }
    match oddity {
        // No value, or that of another type.
        7 if random.percent(50) => {}
        7 => message(&mut out, if field == 2 { 5 } else { 2 }, &[]),
        _ => message(&mut out, field, &value),
    }
    if oddity == 8 {
        integer(&mut out, 6, random.next() % 3);
    }
    if oddity == 9 {
        text(&mut out, 99, "a field of the future");
    }
    out
}

fn histogram(random: &mut Random, out: &mut Vec<u8>, oddity: usize) {
    let is_native = oddity == 10 && random.percent(50);
    // As many as the native buckets hold.
    integer(out, 1, if is_native { 3 } else { random.next() % 100 });
    double(out, 2, random.pick(&NUMBERS));
    for (place, bound) in [0.1, 1.0, f64::INFINITY].into_iter().take(random.below(4)).enumerate() {
        let mut bucket = Vec::new();
        integer(&mut bucket, 1, u64::try_from(place).unwrap_or_default());
        double(&mut bucket, 2, bound);
        message(out, 3, &bucket);
    }
    if is_native {
        // Schema, zero threshold and count, one span with one bucket.
        integer(out, 5, 6);
        double(out, 6, 0.001);
        integer(out, 7, 1);
        message(out, 12, &[8, 0, 16, 1]);
        integer(out, 13, 4);
    } else if oddity == 10 {
        double(out, 4, 2.5);
    }
}
