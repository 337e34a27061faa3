//! A grouping key, and the URL path that names it.
//!
//! The path is `/metrics/job/JOB` and then name and value of each further label; a name with the suffix `@base64` has
//! its value in base64. Rules are the Pushgateway's, with these deliberate differences: the path is cut at `/`
//! *before* it is decoded, so `%2F` is data; an empty part is an empty value; `+` is read as `-` in base64; a label
//! named twice, reserved, or not UTF-8 is refused with a sentence, also where a name is reserved only once unescaped.
//!
//! *Never:* HTTP types, routers, bodies, what is stored under a key.

mod error;
mod path;
mod unescape;

use std::fmt;

use crate::{
    label_set::{LabelSet, NameValidation, is_reserved},
    series::{INSTANCE_LABEL, JOB_LABEL},
};
pub use error::GroupingKeyError;

/// The labels that name a group: `job`, and any others.
///
/// Only a key that was read from labels, literally, or where a job may be missing, has an empty `job`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupingKey {
    labels: LabelSet,
}

/// How the label names of a path are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathNames {
    /// Of the classic alphabet, as written.
    #[default]
    Legacy,
    /// Any text; a name that starts with `U__` is unescaped.
    Utf8,
    /// Any text, as written: the way [`GroupingKey::to_path`] writes them. The job may be empty.
    Literal,
}

// === impl GroupingKey ===

impl GroupingKey {
    /// Reads a path as it was sent, still percent-encoded, without query and without route prefix.
    ///
    /// # Errors
    /// The first fault from the left; an empty job after all others, but for [`PathNames::Literal`].
    pub fn from_path(path: &str, names: PathNames) -> Result<Self, GroupingKeyError> {
        let key = Self { labels: path::read(path, names)? };
        if key.job().is_empty() && names != PathNames::Literal { Err(GroupingKeyError::EmptyJob) } else { Ok(key) }
    }

    /// Reads a path where a job may be missing: `/metrics` and `/metrics/NAME/VALUE…` are keys with an empty job, and
    /// a path that starts with the job may leave it empty.
    ///
    /// # Errors
    /// The first fault from the left.
    pub fn from_path_without_job(path: &str, names: PathNames) -> Result<Self, GroupingKeyError> {
        path::read_without_job(path, names).map(|labels| Self { labels })
    }

    /// Takes labels as a key. Names may be any text; the job may be empty.
    ///
    /// # Errors
    /// Without a job, or with a name that is empty or reserved.
    pub fn from_labels(labels: LabelSet) -> Result<Self, GroupingKeyError> {
        let refused = |name: &str| !NameValidation::Utf8.allows_label(name) || is_reserved(name);
        if let Some((name, _)) = labels.iter().find(|(name, _)| refused(name)) {
            return Err(GroupingKeyError::BadUtf8Name(name.to_owned()));
        }
        if labels.contains(JOB_LABEL) { Ok(Self { labels }) } else { Err(GroupingKeyError::EmptyJob) }
    }

    /// The path that names this key, percent-encoded, without route prefix. [`Self::from_path`] reads it back with
    /// [`PathNames::Literal`], and with [`PathNames::Legacy`] where names are classic and the job is not empty.
    ///
    /// Values that are empty or hold `/`, and the path steps `.` and `..`, are written in base64, so that the path
    /// means the same to every Pushgateway and passes every proxy. So are values of names that are path steps
    /// themselves or end like a name whose value is in base64: only one suffix is taken off.
    #[must_use]
    pub fn to_path(&self) -> String {
        self.to_path_for(PathNames::Literal)
    }

    /// The same for whoever reads names that way: with [`PathNames::Utf8`], a name that starts with `U__` is written in
    /// its `U__` form, so that it is not taken for the form of another. What `names` does not allow cannot be read back.
    #[must_use]
    pub fn to_path_for(&self, names: PathNames) -> String {
        path::write(self, names)
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

#[cfg(test)]
mod tests;
