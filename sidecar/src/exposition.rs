//! The exposition format: what a pusher sends and what a scraper gets, and the values between the two.
//!
//! Values are [`MetricFamily`] and what is in it ([`family`]); [`text`] is the text format 0.0.4 in both directions.
//! This folder depends on `protocol` alone, so that it can leave the crate on the day a second user appears.
//!
//! *Never:* HTTP, groups, the store.

pub mod family;
pub mod text;

pub use family::{Count, Histogram, Kind, Metric, MetricFamily, Summary, Value};
