//! What a connection may take, as a plain value.
//!
//! *Never:* flags, sockets.

use std::time::Duration;

/// The limits of connections; `usize::MAX` and `None` are no limit. The default is that of the process alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionLimits {
    /// How many at once. Those of pushers and those of scrapers are counted apart where they have listeners of their
    /// own.
    pub(crate) connections: usize,
    /// How long a head may take from its first byte on, and a new connection until that.
    pub(crate) header_time: Option<Duration>,
    /// How long a connection may be without a request, or an answer without a byte of it being taken.
    pub(crate) idle_time: Option<Duration>,
    /// Largest head, in bytes.
    pub(crate) header_bytes: usize,
}

// === impl ConnectionLimits ===

impl ConnectionLimits {
    /// No limits.
    #[cfg(test)]
    pub(crate) const NONE: Self =
        Self { connections: usize::MAX, header_time: None, idle_time: None, header_bytes: usize::MAX };
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: 4096,
            header_time: Some(Duration::from_secs(10)),
            idle_time: Some(Duration::from_secs(300)),
            header_bytes: 1024 * 1024,
        }
    }
}
