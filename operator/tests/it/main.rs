//! What can only be seen with the sidecar's own code on the other side.

#![expect(clippy::unwrap_used, reason = "in a test, a failure is to be loud")]

mod contract;
mod race;
