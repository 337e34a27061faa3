//! What is known of the build, in one place for all who tell it.
//!
//! *Never:* who tells it, and under which names.

/// The version of the release.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The branch it was built from; not known.
pub(crate) const BRANCH: &str = "";

/// The commit it was built from; not known.
pub(crate) const REVISION: &str = "";
