//! Talking to one sidecar: reading when its groups were pushed, and removing one that has not moved since.
//!
//! *Never:* Kubernetes, what is stale.

pub mod client;
pub mod push_times;
