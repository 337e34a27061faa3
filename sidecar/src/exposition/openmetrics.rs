//! OpenMetrics, until it is there: a stand-in that reads and writes the text format.
//!
//! *Never:* anything of its own.

use protocol::NameValidation;

use super::{
    escaping::Escaping,
    family::{FamilyHead, MetricFamily, MetricRef},
    text::{self, TextError},
};

/// What comes after the last family.
pub const END: &str = "# EOF\n";

/// Reads a body.
///
/// # Errors
/// The first fault.
pub fn decode(body: &[u8], names: NameValidation) -> Result<Vec<MetricFamily>, TextError> {
    text::decode(body, names)
}

/// Writes one family, its metrics in the order given.
pub fn write_family<'a>(
    out: &mut String,
    head: FamilyHead<'_>,
    metrics: impl IntoIterator<Item = MetricRef<'a>>,
    escaping: Escaping,
) {
    text::write_header(out, head, escaping);
    metrics.into_iter().for_each(|metric| text::write_series(out, head.name, metric, escaping));
}
