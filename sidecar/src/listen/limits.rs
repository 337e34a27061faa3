//! What a connection may take, as a plain value.
//!
//! *Never:* flags, sockets.

use std::time::Duration;

/// The limits of connections; `None` is no limit. The default is that of the process alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionLimits {
    /// How many at once. Those of pushers and those of scrapers are counted apart where they have listeners of their
    /// own.
    pub(crate) connections: Option<usize>,
    /// How long a head may take from its first byte on, and a new connection until that.
    pub(crate) header_time: Option<Duration>,
    /// How long a connection may be without a request, or an answer without a byte of it being taken.
    pub(crate) idle_time: Option<Duration>,
    /// Largest head, in bytes.
    pub(crate) header_bytes: Option<usize>,
}

// === impl ConnectionLimits ===

impl ConnectionLimits {
    /// No limits.
    #[cfg(test)]
    pub(crate) const NONE: Self = Self { connections: None, header_time: None, idle_time: None, header_bytes: None };
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: Some(4096),
            header_time: Some(Duration::from_secs(10)),
            idle_time: Some(Duration::from_secs(300)),
            header_bytes: Some(1024 * 1024),
        }
    }
}
