//! The contract between the sidecar and everybody who talks to it without being a Pushgateway client.
//!
//! On one side stands the `sidecar`, which serves what is named here; on the other the `operator`, which reads push
//! times and removes groups, and writes the flags into the pods it injects. Whatever both have to spell the same way
//! lives here, in both directions: what one prints the other parses.
//!
//! | Module | Agrees on |
//! | --- | --- |
//! | [`label_set`] | label names, label values, the label block of the text format |
//! | [`grouping_key`] | a grouping key and the URL path that names it |
//! | [`series`] | the series that tell when a group was pushed |
//! | [`endpoints`] | paths, ports and headers |
//! | [`signed_request`] | what the operator signs before it may delete, and how it travels |
//! | [`trust`] | the file that tells a sidecar which operator keys are good |
//! | [`flags`] | the sidecar flags that the injector writes |
//! | [`last_word`] | the termination message about what nobody has seen |
//! | [`excerpt`] | how much of a found text a sentence repeats |
//!
//! *Never:* async, HTTP types, Kubernetes, serde, the clock, cryptography, metrics beyond the two push times.

pub mod endpoints;
pub mod excerpt;
pub mod flags;
pub mod grouping_key;
pub mod label_set;
pub mod last_word;
pub mod series;
pub mod signed_request;
pub mod trust;

pub use excerpt::Excerpt;
pub use grouping_key::{GroupingKey, GroupingKeyError, PathNames};
pub use label_set::{LabelError, LabelSet, NameValidation};
