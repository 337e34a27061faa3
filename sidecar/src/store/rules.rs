//! What holds for every push to a store: a plain value, given when the store is made.
//!
//! *Never:* flags, groups.

use std::time::Duration;

use super::limits::Limits;

/// The rules of a store. The default is upstream's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// What becomes of timestamps.
    pub timestamps: Timestamps,
    /// How old a group may grow whose last accepted push did not say so itself; `None` for ever.
    pub stale_after: Option<Duration>,
    /// Whether a group stays, however old, until a scrape has shown its last push; see [`Store::scraped`].
    ///
    /// [`Store::scraped`]: super::Store::scraped
    pub keeps_unseen: bool,
    /// How much may be stored.
    pub limits: Limits,
}

/// What becomes of the timestamps of a push. Push times never have one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timestamps {
    /// A push that has any is refused.
    #[default]
    Reject,
    /// They are dropped, and the push is taken.
    Strip,
    /// They are kept and shown.
    Honor,
}
