//! What the rows ask about a request, read without ours: paths part by part, bodies line by line.
//!
//! *Never:* answers.

use crate::{
    codings,
    request::{ORIGIN, Request},
};

const PREFIXES: [&[u8]; 3] = [b"/metrics/job@base64/", b"/metrics/job%40base64/", b"/metrics/job/"];

/// The fixed start and the job's and labels' parts of a group's path, as sent.
fn parts(request: &Request) -> Option<(&'static [u8], Vec<Vec<u8>>)> {
    let path = request.path();
    let (prefix, rest) = PREFIXES.iter().find_map(|prefix| Some((*prefix, path.strip_prefix(*prefix)?)))?;
    Some((prefix, rest.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect()))
}

fn is_base64(name: &[u8]) -> bool {
    codings::percent_decoded(name).ends_with(b"@base64")
}

/// The request with other values: `change` gets the part of the name, that of the value, and whether it is the last.
fn with_values(request: &Request, change: impl Fn(&mut Vec<u8>, &mut Vec<u8>, bool)) -> Option<Request> {
    let (prefix, mut parts) = parts(request)?;
    let mut job_name = prefix.split(|byte| *byte == b'/').nth(2)?.to_vec();
    let is_last = |at: usize| at + 1 == parts.len();
    let last: Vec<bool> = (0..parts.len()).map(is_last).collect();
    change(&mut job_name, parts.first_mut()?, last[0]);
    let labels = parts.get_mut(1..)?;
    for (pair, is_last) in labels.chunks_exact_mut(2).zip(last[1..].chunks_exact(2)) {
        let [name, value] = pair else { continue };
        if name.is_empty() {
            return None;
        }
        change(name, value, is_last[1]);
    }
    let query = request.target.iter().position(|byte| *byte == b'?').map_or(&b""[..], |at| &request.target[at..]);
    let origin = if request.target.starts_with(ORIGIN) { ORIGIN } else { b"" };
    let target = [origin, b"/metrics/", &job_name[..], b"/", &parts.join(&b'/'), query].concat();
    (target != request.target).then(|| Request { target, ..request.clone() })
}

pub(crate) fn with_odd_values_in_base64(request: &Request) -> Option<Request> {
    with_values(request, |name, value, is_last| {
        let decoded = codings::percent_decoded(value);
        if is_base64(name) {
            if value.is_empty() && !is_last {
                value.push(b'=');
            }
        } else if decoded == b"." || decoded == b".." || decoded.contains(&b'/') || (value.is_empty() && !is_last) {
            name.extend(b"@base64");
            *value = codings::base64(&decoded, true);
            if value.is_empty() {
                value.push(b'=');
            }
        }
    })
}

pub(crate) fn with_base64_for_urls(request: &Request) -> Option<Request> {
    with_values(request, |name, value, _| {
        if is_base64(name) {
            let decoded = codings::percent_decoded(value);
            if decoded.contains(&b'+') {
                *value = decoded.iter().map(|byte| if *byte == b'+' { b'-' } else { *byte }).collect();
                *value = codings::percent(value, |byte| byte == b'%');
            }
        }
    })
}

pub(crate) fn with_plain_line_ends(request: &Request) -> Option<Request> {
    let text = request.text()?;
    let mut body = text.to_vec();
    let mut at = 0;
    body.retain(|byte| {
        at += 1;
        *byte != b'\r' || text.get(at) != Some(&b'\n')
    });
    (body.len() != text.len()).then(|| Request { body, ..request.clone() })
}

pub(crate) fn with_last_line_ended(request: &Request) -> Option<Request> {
    let text = request.text()?;
    let last = text.split(|byte| *byte == b'\n').next_back()?;
    let is_blank = last.iter().all(|byte| b" \t".contains(byte));
    (!is_blank).then(|| Request { body: [text, b"\n"].concat(), ..request.clone() })
}

/// Names and values as sent, the job first; a name without a value is left out.
fn pairs(request: &Request) -> Vec<(Vec<u8>, Vec<u8>)> {
    let Some((prefix, parts)) = parts(request) else { return Vec::new() };
    let job = prefix.split(|byte| *byte == b'/').nth(2).unwrap_or_default().to_vec();
    let mut parts = [job].into_iter().chain(parts);
    let mut pairs = Vec::new();
    while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
        pairs.push((codings::percent_decoded(&name), codings::percent_decoded(&value)));
    }
    pairs
}

/// The names of all labels, without the suffix for base64.
pub(crate) fn names(request: &Request) -> Vec<Vec<u8>> {
    let bare = |name: Vec<u8>| name.strip_suffix(b"@base64").map_or(name.clone(), <[u8]>::to_vec);
    pairs(request).into_iter().map(|(name, _)| bare(name)).collect()
}

pub(crate) fn names_a_label_twice(request: &Request) -> bool {
    let names = names(request);
    names.iter().enumerate().any(|(at, name)| names[..at].contains(name))
}

pub(crate) fn has_binary_value(request: &Request) -> bool {
    pairs(request).into_iter().any(|(name, value)| {
        let value = if name.ends_with(b"@base64") { codings::base64_decoded(&value) } else { value };
        std::str::from_utf8(&value).is_err()
    })
}

pub(crate) fn has_line_feed_in_base64(request: &Request) -> bool {
    let broken = |value: &[u8]| value.iter().any(|byte| b"\r\n".contains(byte));
    pairs(request).into_iter().any(|(name, value)| name.ends_with(b"@base64") && broken(&value))
}

/// Whether the path would be a group's if its start were decoded.
pub(crate) fn fixed_part_is_escaped(request: &Request) -> bool {
    let decoded = Request { target: codings::percent_decoded(request.path()), ..request.clone() };
    parts(request).is_none() && (parts(&decoded).is_some() || decoded.target == b"/metrics")
}

pub(crate) fn is_group(request: &Request) -> bool {
    parts(request).is_some()
}

/// Whether a part is empty or a step, the last one too, or the letter case is not the usual one.
pub(crate) fn is_unclean(request: &Request) -> bool {
    let decoded = codings::percent_decoded(request.path());
    let is_respelled = decoded.to_ascii_lowercase() != decoded;
    is_respelled || decoded.split(|byte| *byte == b'/').skip(1).any(|part| [&b""[..], b".", b".."].contains(&part))
}

pub(crate) fn has_nothing_after_job(request: &Request) -> bool {
    parts(request).is_some_and(|(_, parts)| parts == [b""])
}

pub(crate) fn has_bad_escape(request: &Request) -> bool {
    let path = request.path();
    (0..path.len()).any(|at| path[at] == b'%' && codings::escape_at(path, at).is_none())
}

/// Whether a name, or the part that has no value, holds an escaped slash.
pub(crate) fn has_slash_in_name(request: &Request) -> bool {
    let Some((_, parts)) = parts(request) else { return false };
    parts.iter().skip(1).step_by(2).any(|name| codings::percent_decoded(name).contains(&b'/'))
}

/// Read as upstream does: decoded as a whole, and then cut.
pub(crate) fn has_undecodable_job(request: &Request) -> bool {
    let path = codings::percent_decoded(request.path());
    let job = path.strip_prefix(b"/metrics/job@base64/").and_then(|rest| rest.split(|byte| *byte == b'/').next());
    matches!(request.method, "PUT" | "POST" | "DELETE") && job.is_some_and(undecodable)
}

fn undecodable(value: &[u8]) -> bool {
    let end = value.iter().rposition(|byte| *byte != b'=').map_or(0, |at| at + 1);
    let digits: Vec<u8> = value[..end].iter().copied().filter(|byte| !b"\r\n".contains(byte)).collect();
    digits.len() % 4 == 1 || !digits.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
}
