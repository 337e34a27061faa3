//! The path of a grouping key, in both directions.
//!
//! *Never:* whether a key without a job is welcome.

use base64::{
    Engine as _,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{
    GroupingKey, GroupingKeyError, PathNames,
    unescape::{escape, unescape},
};
use crate::{
    endpoints::METRICS_PATH,
    label_set::{LabelSet, NameValidation, is_label_name, is_reserved},
    series::JOB_LABEL,
};

/// What a path has behind a name whose value is in base64.
const BASE64_SUFFIX: &str = "@base64";

/// Padding is optional and unused bits are ignored: clients differ in both.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// What stands in a path as it is: all that RFC 3986 calls unreserved.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Labels as a path gives them.
type Labels = Vec<(String, String)>;

/// Reads a path that starts with the job, which may be empty.
pub(super) fn read(path: &str, names: PathNames) -> Result<LabelSet, GroupingKeyError> {
    let after = path.strip_prefix(METRICS_PATH).and_then(|rest| rest.strip_prefix('/'));
    let (fixed, rest) = after.and_then(split_job).ok_or(GroupingKeyError::NotAGroupPath)?;
    read_job(&fixed, rest, names)
}

/// Reads a path that may start with any label, or have none.
pub(super) fn read_without_job(path: &str, names: PathNames) -> Result<LabelSet, GroupingKeyError> {
    let after = path.strip_prefix(METRICS_PATH).ok_or(GroupingKeyError::NotBelowMetrics)?;
    let after =
        if after.is_empty() { after } else { after.strip_prefix('/').ok_or(GroupingKeyError::NotBelowMetrics)? };
    if let Some((fixed, rest)) = split_job(after) {
        return read_job(&fixed, rest, names);
    }
    let mut labels = Labels::new();
    read_labels(&mut labels, after, names)?;
    if labels.iter().all(|(name, _)| name != JOB_LABEL) {
        labels.push((JOB_LABEL.to_owned(), String::new()));
    }
    Ok(labels.into_iter().collect())
}

/// The path that [`read`] reads back with the same names, as far as they allow what is in the key.
pub(super) fn write(key: &GroupingKey, names: PathNames) -> String {
    let mut path = METRICS_PATH.to_owned();
    let others = key.labels.iter().filter(|(name, _)| *name != JOB_LABEL);
    for (name, value) in std::iter::once((JOB_LABEL, key.job())).chain(others) {
        path.push('/');
        let written = match names {
            PathNames::Utf8 => escape(name),
            PathNames::Legacy | PathNames::Literal => name.into(),
        };
        path.extend(utf8_percent_encode(&written, ENCODED));
        if is_in_base64(name, value) {
            path.push_str(BASE64_SUFFIX);
            path.push('/');
            path.push_str(&if value.is_empty() { "=".to_owned() } else { BASE64.encode(value) });
        } else {
            path.push('/');
            path.extend(utf8_percent_encode(value, ENCODED));
        }
    }
    path
}

fn is_in_base64(name: &str, value: &str) -> bool {
    let is_step = |part: &str| part == "." || part == "..";
    value.is_empty() || value.contains('/') || is_step(value) || is_step(name) || name.ends_with(BASE64_SUFFIX)
}

/// The name of the job as written and what follows its slash, where a path starts with the job.
fn split_job(after: &str) -> Option<(String, &str)> {
    let (fixed, rest) = after.split_once('/')?;
    let fixed = percent_decode_str(fixed).decode_utf8().ok()?;
    let is_job = fixed.strip_suffix(BASE64_SUFFIX).unwrap_or(&fixed) == JOB_LABEL;
    is_job.then(|| (fixed.into_owned(), rest))
}

fn read_job(fixed: &str, rest: &str, names: PathNames) -> Result<LabelSet, GroupingKeyError> {
    let (job, rest) = match rest.split_once('/') {
        Some((job, labels)) => (job, labels),
        None => (rest, ""),
    };
    let job = value(JOB_LABEL, job, fixed != JOB_LABEL)?;
    let mut labels = vec![(JOB_LABEL.to_owned(), job)];
    read_labels(&mut labels, rest, names)?;
    Ok(labels.into_iter().collect())
}

fn read_labels(labels: &mut Labels, written: &str, names: PathNames) -> Result<(), GroupingKeyError> {
    let mut parts = written.split('/').skip(usize::from(written.is_empty()));
    while let Some(name_part) = parts.next() {
        let value_part = parts.next().ok_or_else(|| GroupingKeyError::OddParts(written.to_owned()))?;
        let (name, is_base64) = name(name_part, names)?;
        let value = value(&name, value_part, is_base64)?;
        labels.push((name, value));
    }
    labels.sort_by(|(left, _), (right, _)| left.cmp(right));
    match labels.windows(2).find(|pair| matches!(pair, [(left, _), (right, _)] if left == right)) {
        Some([(name, _), ..]) => Err(GroupingKeyError::Duplicate(name.clone())),
        Some(_) | None => Ok(()),
    }
}

/// The name that a part stands for, and whether its value is in base64.
fn name(part: &str, names: PathNames) -> Result<(String, bool), GroupingKeyError> {
    if !has_whole_escapes(part) {
        return Err(GroupingKeyError::BadEscape(part.to_owned()));
    }
    let decoded = percent_decode_str(part).decode_utf8();
    let is_utf8 = decoded.is_ok();
    let decoded = decoded.unwrap_or_else(|_| percent_decode_str(part).decode_utf8_lossy());
    let bare = decoded.strip_suffix(BASE64_SUFFIX);
    let written = bare.unwrap_or(&decoded);
    let name = match names {
        PathNames::Legacy if is_label_name(written) && !is_reserved(written) => written.to_owned(),
        PathNames::Legacy => return Err(GroupingKeyError::BadName(written.to_owned())),
        PathNames::Utf8 => unescape(written).unwrap_or_else(|| written.to_owned()),
        PathNames::Literal => written.to_owned(),
    };
    if !is_utf8 || !NameValidation::Utf8.allows_label(&name) || is_reserved(&name) {
        return Err(GroupingKeyError::BadUtf8Name(written.to_owned()));
    }
    Ok((name, bare.is_some()))
}

/// Whether each `%` is followed by two digits: to the decoder, one that is not stands for itself.
fn has_whole_escapes(part: &str) -> bool {
    let is_escape = |after: &str| 1 < after.len() && after.bytes().take(2).all(|digit| digit.is_ascii_hexdigit());
    part.split('%').skip(1).all(is_escape)
}

/// The value that a part stands for.
fn value(name: &str, part: &str, is_base64: bool) -> Result<String, GroupingKeyError> {
    if !has_whole_escapes(part) {
        return Err(GroupingKeyError::BadEscape(name.to_owned()));
    }
    let not_utf8 = || GroupingKeyError::NotUtf8(name.to_owned());
    let value = percent_decode_str(part).decode_utf8().map_err(|_| not_utf8())?;
    if !is_base64 {
        return Ok(value.into_owned());
    }
    let unpadded = value.trim_end_matches('=').replace('+', "-");
    let bytes = BASE64
        .decode(unpadded)
        .map_err(|_| GroupingKeyError::BadBase64 { name: name.to_owned(), value: value.into_owned() })?;
    String::from_utf8(bytes).map_err(|_| not_utf8())
}
