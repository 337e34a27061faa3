//! Targets: of groups in every spelling, and of everything else that a gateway serves.
//!
//! *Never:* whether a path is served.

use crate::{codings, random::Random, request::ORIGIN};

const JOBS: [&str; 2] = ["j", "k"];

const ODD_VALUES: [&str; 26] = [
    ">>>",
    ">>>",
    "",
    "",
    " ",
    "a b",
    "a/b",
    "/",
    "//",
    "größe",
    "x=y,z",
    "\"q\"",
    "{b}",
    "1+1",
    "50%",
    ".",
    "..",
    "a?b#c",
    "line\nfeed",
    "back\\slash",
    "~~?>>>",
    "日本",
    "<tag>",
    "`^|",
    "=",
    "a:b@c",
];

const ODD_NAMES: [&str; 20] = [
    "le",
    "le",
    "a%2Fb",
    "a%2fb",
    "job",
    "a",
    "__a",
    "_",
    "1a",
    "a-b",
    "a.b",
    "",
    "größe",
    "a@base64@base64",
    "@base64",
    "a@BASE64",
    "le",
    "quantile",
    "U__a",
    "a:b",
];

/// Ordinary names and values of further labels; the first list is the most ordinary.
const ORDINARY: [&[(&str, &str)]; 9] = [
    &[],
    &[],
    &[],
    &[("a", "1")],
    &[("a", "2")],
    &[("a", "1"), ("b", "2")],
    &[("b", "2"), ("a", "1")],
    &[("instance", "i")],
    &[("b", "x y")],
];

/// The path of a group; odd in so many of a hundred cases.
pub(super) fn group(random: &mut Random, odd: usize) -> Vec<u8> {
    if !random.percent(odd) {
        let mut path = b"/metrics".to_vec();
        let job = if random.percent(70) { JOBS[0] } else { JOBS[1] };
        ordinary_pair(random, &mut path, "job", job);
        for (name, value) in random.pick(&ORDINARY) {
            ordinary_pair(random, &mut path, name, value);
        }
        return path;
    }
    let mut path = if random.percent(80) { b"/metrics".to_vec() } else { random.pick(&FIXED_TYPO).to_vec() };
    let job = if random.percent(60) { JOBS[0] } else { random.pick(&ODD_VALUES) };
    odd_pair(random, &mut path, "job", job);
    for _ in 0..random.below(3) {
        let name = if random.percent(75) { random.pick(&["a", "b", "instance"]) } else { random.pick(&ODD_NAMES) };
        let value = if random.percent(40) { random.pick(&["1", "2", "i"]) } else { random.pick(&ODD_VALUES) };
        odd_pair(random, &mut path, name, value);
    }
    match random.below(16) {
        0 => path.push(b'/'),
        1 => path.extend(b"/a"),
        2 => path.extend(b"/a/"),
        3 => path.extend(b"?x=y/z"),
        4 => path.extend(b"//"),
        5 => path.extend(b"/./"),
        6 => return [ORIGIN, &group(random, 0)].concat(),
        8 => path.extend(b"/a%2Fb"),
        // Shown like the key without it.
        7 => return b"/metrics/job/j/instance@base64/=".to_vec(),
        _ => {}
    }
    if random.percent(6) {
        break_it(random, &mut path);
    }
    path
}

const FIXED_TYPO: [&[u8]; 6] = [b"/METRICS", b"/metrics/", b"//metrics", b"/metric", b"/%6Detrics", b"/./metrics"];

/// Other paths that a gateway knows, and some that it does not.
pub(super) fn fixed(random: &mut Random, odd: usize) -> Vec<u8> {
    let known = ["/metrics", "/metrics", "/-/healthy", "/-/ready", "/metrics?name[]=x"];
    let unknown = [
        "/metrics/",
        "/metrics/job",
        "/metrics/job/",
        "/metrics/jobs/x",
        "/nothing",
        "/metrics/a/b",
        "/-/healthy/",
        "/METRICS",
        "//metrics",
        "/-/HEALTHY",
        "/metrics/job@base64",
        "/metrics/job@base64/",
        "/metrics/x%zz",
        "/metrics/../metrics",
        "/-/nothing",
        "/%6Detrics",
        "/metrics/job@base64/=",
    ];
    let path: &str = if random.percent(odd.max(20)) { random.pick(&unknown) } else { random.pick(&known) };
    path.as_bytes().to_vec()
}

fn ordinary_pair(random: &mut Random, path: &mut Vec<u8>, name: &str, value: &str) {
    path.push(b'/');
    path.extend(name.as_bytes());
    if random.percent(15) {
        path.extend(b"@base64/");
        path.extend(codings::base64(value.as_bytes(), true));
    } else {
        path.push(b'/');
        path.extend(codings::percent(value.as_bytes(), |_| false));
    }
}

fn odd_pair(random: &mut Random, path: &mut Vec<u8>, name: &str, value: &str) {
    path.push(b'/');
    match random.below(12) {
        0 => path.extend(codings::percent(name.as_bytes(), |_| true)),
        1 => path.extend(name.to_ascii_uppercase().as_bytes()),
        _ => path.extend(name.as_bytes()),
    }
    if random.percent(45) {
        path.extend(random.pick(&[&b"@base64"[..], b"@base64", b"@base64", b"%40base64"]).to_vec());
        path.push(b'/');
        path.extend(base64_value(random, value));
        return;
    }
    path.push(b'/');
    match random.below(5) {
        // As an old client sends it.
        0 => path.extend(codings::percent(value.as_bytes(), |byte| byte == b'%' || byte == b'?' || byte == b'#')),
        1 => path.extend(codings::percent(value.as_bytes(), |_| true)),
        2 => path.extend(b"%ff"),
        _ => path.extend(codings::percent(value.as_bytes(), |byte| {
            !byte.is_ascii_alphanumeric() && !b".-_~".contains(&byte)
        })),
    }
}

fn base64_value(random: &mut Random, value: &str) -> Vec<u8> {
    let value = if random.percent(6) { &b"\xff\xfe"[..] } else { value.as_bytes() };
    let mut encoded = codings::base64(value, !random.percent(40));
    match random.below(12) {
        0..4 => {
            while !encoded.len().is_multiple_of(4) {
                encoded.push(b'=');
            }
        }
        4 => encoded.extend(b"===="),
        5 => encoded.extend(b"%3D"),
        6 => encoded.insert(random.below(encoded.len() + 1), random.pick(b"=!.A ")),
        7 => {
            let at = random.below(encoded.len() + 1);
            encoded.splice(at..at, *b"%0A");
        }
        8 => encoded.extend(b"%20"),
        _ => {}
    }
    if value.is_empty() && encoded.is_empty() && random.percent(80) {
        encoded.push(b'=');
    }
    encoded.iter().flat_map(|byte| if *byte == b' ' { b"%20".to_vec() } else { vec![*byte] }).collect()
}

/// Makes a target that is hardly one.
fn break_it(random: &mut Random, path: &mut Vec<u8>) {
    let at = 1 + random.below(path.len());
    match random.below(4) {
        0 => drop(path.splice(at..at, *b"%zz")),
        1 => drop(path.splice(at..at, *b"%")),
        2 => drop(path.splice(at..at, "ö".bytes())),
        _ => path.truncate(at.max(b"/metrics".len())),
    }
}
