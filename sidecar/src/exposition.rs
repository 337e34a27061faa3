//! The exposition format: what a pusher sends and what a scraper gets, and the values between the two.
//!
//! Values are [`MetricFamily`] and what is in it ([`family`], [`extra`]); [`text`] is the text format 0.0.4,
//! [`openmetrics`] its successor and [`protobuf`] that of delimited messages, all in both directions; [`negotiate`]
//! tells which one is meant; [`measurement`] names families another way.
//! This folder depends on `protocol` alone, so that it can leave the crate on the day a second user appears.
//!
//! *Never:* HTTP, groups, the store.

pub mod escaping;
pub mod extra;
pub mod family;
pub mod limits;
pub mod measurement;
pub mod native;
pub mod negotiate;
pub mod openmetrics;
pub mod outline;
pub mod protobuf;
pub mod text;

pub use escaping::Escaping;
pub use extra::{Created, Extra};
pub use family::{Count, FamilyHead, Histogram, Kind, Metric, MetricFamily, MetricRef, Summary, Value};
pub use limits::{Excess, Limit, Limits};
pub use negotiate::Format;
