//! The admission webhook: which pods get a sidecar, what it is like, and the patch that puts it in.
//!
//! A pod asks with the label or annotation `sidegate.dev/inject`, the label first: `true` is the oldest `PushGroup`
//! whose selector matches the pod, a name is that `PushGroup`, `false` or nothing is no sidecar. What stands in the way
//! (host network, Windows, a Pushgateway of its own, a port that is taken, a value nobody understands) skips the pod with
//! a reason; a fault of ours admits it unchanged with a warning. Nothing a pod says ever refuses it.
//!
//! [`webhook`] is the edge; [`inject`] is pure, with [`decide`], [`container`] and its [`arguments`], [`volumes`] and
//! [`limit_range`], [`ephemeral_storage`], [`environment`], and [`patch`], and the same pod gives the same bytes.
//!
//! *Never:* what happens to a pod after admission.

pub mod arguments;
pub mod bad_value;
pub mod container;
pub mod decide;
pub mod environment;
pub mod ephemeral_storage;
pub mod groups;
pub mod inject;
pub mod limit_range;
pub mod limit_ranges;
pub mod malformed;
pub mod namespaces;
pub mod overrides;
pub mod patch;
pub mod pod;
pub mod ports;
pub mod quantity;
pub mod resources;
pub mod version;
pub mod volumes;
pub mod warning;
pub mod webhook;

#[cfg(test)]
mod goldens;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod raw_json;
