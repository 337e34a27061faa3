//! Who was not let in, and which files could not be read again.
//!
//! *Never:* why, beyond the word; who it was.

use std::collections::BTreeMap;

/// Why a request was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AuthRefusal {
    /// The token is good, but not for this.
    Forbidden,
    Missing,
    TooOften,
    /// There is no good token file.
    Unavailable,
    Unknown,
}

/// A file that is read again when it has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ReloadedFile {
    Tokens,
    WebConfig,
}

/// Counts by word.
#[derive(Debug, Default)]
pub(super) struct AccessCounts {
    pub(super) refused: BTreeMap<AuthRefusal, u64>,
    pub(super) reload_failures: BTreeMap<ReloadedFile, u64>,
}

// === impl AuthRefusal ===

impl AuthRefusal {
    const ALL: [Self; 5] = [Self::Forbidden, Self::Missing, Self::TooOften, Self::Unavailable, Self::Unknown];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden",
            Self::Missing => "missing",
            Self::TooOften => "too_often",
            Self::Unavailable => "unavailable",
            Self::Unknown => "unknown",
        }
    }
}

// === impl ReloadedFile ===

impl ReloadedFile {
    const ALL: [Self; 2] = [Self::Tokens, Self::WebConfig];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::WebConfig => "web_config",
        }
    }
}

// === impl AccessCounts ===

impl AccessCounts {
    /// Each reason with its count.
    pub(super) fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        AuthRefusal::ALL.iter().map(|why| (why.label(), self.refused.get(why).copied().unwrap_or_default()))
    }

    /// Each file with its count.
    pub(super) fn reload_failures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ReloadedFile::ALL.iter().map(|file| (file.label(), self.reload_failures.get(file).copied().unwrap_or_default()))
    }
}
