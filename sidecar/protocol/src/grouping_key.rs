//! A grouping key, and the URL path that names it.
//!
//! The path is `/metrics/job/JOB` and then name and value of each further label; a name with the suffix `@base64` has
//! its value in base64. Rules are the Pushgateway's, with these deliberate differences: the path is cut at `/`
//! *before* it is decoded, so `%2F` is data; an empty part is an empty value; `+` is read as `-` in base64; a label
//! named twice, reserved, or not UTF-8 is refused with a sentence.
//!
//! *Never:* HTTP types, routers, bodies, what is stored under a key.

use std::{collections::BTreeMap, fmt};

use base64::{
    Engine as _,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{
    endpoints::METRICS_PATH,
    excerpt::Excerpt,
    label_set::{LabelSet, is_label_name, is_reserved},
    series::{INSTANCE_LABEL, JOB_LABEL},
};

/// What a path has behind a name whose value is in base64.
const BASE64_SUFFIX: &str = "@base64";

/// How to make base64 that a path can carry; refused keys end with it.
const BASE64_ADVICE: &str = "make it with `base64 -w0 | tr '+/' '-_'`";

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

/// The labels that name a group: `job`, never empty, and any others.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupingKey {
    labels: LabelSet,
}

/// Why something is no grouping key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupingKeyError {
    /// The path does not start with `/metrics/job/` or `/metrics/job@base64/`.
    NotAGroupPath,
    /// The job's value is empty, or there is no label `job`.
    EmptyJob,
    /// A name without a value at the end; the labels' part of the path.
    OddParts(String),
    /// No label name; as written.
    BadName(String),
    /// The label is named twice, or `job` is named again.
    Duplicate(String),
    /// A value that is not base64: label and value as written.
    BadBase64 {
        /// The label's name.
        name: String,
        /// The value as written.
        value: String,
    },
    /// A `%` in a value that is no escape; the label's name.
    BadEscape(String),
    /// A value that is not UTF-8 once decoded; the label's name.
    NotUtf8(String),
}

// === impl GroupingKey ===

impl GroupingKey {
    /// Reads a path as it was sent, still percent-encoded, without query and without route prefix.
    ///
    /// # Errors
    /// The first fault from the left.
    pub fn from_path(path: &str) -> Result<Self, GroupingKeyError> {
        let after = path.strip_prefix(METRICS_PATH).and_then(|rest| rest.strip_prefix('/'));
        let after = after.ok_or(GroupingKeyError::NotAGroupPath)?;
        let (fixed, rest) = after.split_once('/').ok_or(GroupingKeyError::NotAGroupPath)?;
        let fixed = decode_percent(JOB_LABEL, fixed)?;
        if fixed.strip_suffix(BASE64_SUFFIX).unwrap_or(&fixed) != JOB_LABEL {
            return Err(GroupingKeyError::NotAGroupPath);
        }
        let (job, labels) = match rest.split_once('/') {
            Some((job, labels)) => (job, Some(labels)),
            None => (rest, None),
        };
        let (_, job) = decode_pair(&fixed, job)?;

        let mut key = BTreeMap::from([(JOB_LABEL.to_owned(), job)]);
        if let Some(labels) = labels.filter(|labels| !labels.is_empty()) {
            let mut parts = labels.split('/');
            while let Some(name) = parts.next() {
                let value = parts.next().ok_or_else(|| GroupingKeyError::OddParts(labels.to_owned()))?;
                let name = percent_decode_str(name).decode_utf8_lossy();
                let (name, value) = decode_pair(&name, value)?;
                if key.insert(name.clone(), value).is_some() {
                    return Err(GroupingKeyError::Duplicate(name));
                }
            }
        }
        Self::from_labels(key.into_iter().collect())
    }

    /// Takes labels as a key.
    ///
    /// # Errors
    /// Without a job, or with a name that a key cannot have.
    pub fn from_labels(labels: LabelSet) -> Result<Self, GroupingKeyError> {
        if let Some((name, _)) = labels.iter().find(|(name, _)| !is_label_name(name) || is_reserved(name)) {
            return Err(GroupingKeyError::BadName(name.to_owned()));
        }
        match labels.get(JOB_LABEL) {
            None | Some("") => Err(GroupingKeyError::EmptyJob),
            Some(_) => Ok(Self { labels }),
        }
    }

    /// The path that names this key, percent-encoded, without route prefix: [`Self::from_path`] reads it back.
    ///
    /// Values that are empty or hold `/`, and the path steps `.` and `..`, are written in base64, so that the path
    /// means the same to every Pushgateway and passes every proxy.
    #[must_use]
    pub fn to_path(&self) -> String {
        let mut path = METRICS_PATH.to_owned();
        let others = self.labels.iter().filter(|(name, _)| *name != JOB_LABEL);
        for (name, value) in std::iter::once((JOB_LABEL, self.job())).chain(others) {
            path.push('/');
            path.push_str(name);
            if value.is_empty() || value.contains('/') || value == "." || value == ".." {
                let encoded = if value.is_empty() { "=".to_owned() } else { BASE64.encode(value) };
                path.push_str(BASE64_SUFFIX);
                path.push('/');
                path.push_str(&encoded);
            } else {
                path.push('/');
                path.extend(utf8_percent_encode(value, ENCODED));
            }
        }
        path
    }

    /// The job's value.
    #[must_use]
    pub fn job(&self) -> &str {
        self.labels.get(JOB_LABEL).unwrap_or_default()
    }

    /// All labels of the key, `job` included.
    #[must_use]
    pub fn labels(&self) -> &LabelSet {
        &self.labels
    }

    /// The labels that the group's push times are exposed with: those of the key, and `instance=""` where the key
    /// has none. Two keys may share them (`{job="a"}` and `{job="a",instance=""}`).
    #[must_use]
    pub fn exposed_labels(&self) -> LabelSet {
        let mut labels = self.labels.clone();
        if !labels.contains(INSTANCE_LABEL) {
            labels.insert(INSTANCE_LABEL, "");
        }
        labels
    }
}

/// Prints the key as its label block.
impl fmt::Display for GroupingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.labels.fmt(f)
    }
}

/// A name without its suffix and the value it stands for; the name is decoded, the value is as sent.
fn decode_pair(name: &str, value: &str) -> Result<(String, String), GroupingKeyError> {
    let bare = name.strip_suffix(BASE64_SUFFIX);
    let plain = bare.unwrap_or(name);
    if !is_label_name(plain) || is_reserved(plain) {
        return Err(GroupingKeyError::BadName(plain.to_owned()));
    }
    if bare.is_none() {
        return Ok((plain.to_owned(), decode_percent(plain, value)?));
    }
    let value = decode_percent(plain, value)?;
    let unpadded = value.trim_end_matches('=').replace('+', "-");
    let bytes = BASE64
        .decode(unpadded)
        .map_err(|_| GroupingKeyError::BadBase64 { name: plain.to_owned(), value: value.clone() })?;
    let value = String::from_utf8(bytes).map_err(|_| GroupingKeyError::NotUtf8(plain.to_owned()))?;
    Ok((plain.to_owned(), value))
}

fn decode_percent(name: &str, part: &str) -> Result<String, GroupingKeyError> {
    let is_escape = |after: &str| 1 < after.len() && after.bytes().take(2).all(|digit| digit.is_ascii_hexdigit());
    if !part.split('%').skip(1).all(is_escape) {
        return Err(GroupingKeyError::BadEscape(name.to_owned()));
    }
    let decoded = percent_decode_str(part).decode_utf8();
    decoded.map(|text| text.into_owned()).map_err(|_| GroupingKeyError::NotUtf8(name.to_owned()))
}

// === impl GroupingKeyError ===

impl fmt::Display for GroupingKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAGroupPath => {
                write!(f, "expected {METRICS_PATH}/job/JOB or {METRICS_PATH}/job@base64/JOB, found another path")
            }
            Self::EmptyJob => f.write_str("job name is required: expected a value for `job`, found an empty one"),
            Self::OddParts(labels) => write!(
                f,
                "odd number of components in label string {:?}: expected a value after each label name; \
                 a value that holds `/` has to be in base64, {BASE64_ADVICE}",
                Excerpt::of(labels)
            ),
            Self::BadName(name) => write!(
                f,
                "improper label name {:?}: expected a letter or `_`, then letters, digits and `_`, \
                 and no `__` at the start",
                Excerpt::of(name)
            ),
            Self::Duplicate(name) => {
                write!(f, "expected each label once in the grouping key, found {:?} again", Excerpt::of(name))
            }
            Self::BadBase64 { name, value } => write!(
                f,
                "invalid base64 encoding for label {:?}: expected the URL-safe alphabet, found {:?}; \
                 {BASE64_ADVICE}",
                Excerpt::of(name),
                Excerpt::of(value)
            ),
            Self::BadEscape(name) => write!(
                f,
                "expected two hexadecimal digits after each `%` in the value of label {:?}, found something else; \
                 `%` itself is `%25`",
                Excerpt::of(name)
            ),
            Self::NotUtf8(name) => {
                write!(f, "expected UTF-8 as value of label {:?}, found other bytes", Excerpt::of(name))
            }
        }
    }
}

impl std::error::Error for GroupingKeyError {}

#[cfg(test)]
mod tests;
