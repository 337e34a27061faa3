//! OpenMetrics 1.0 as text.
//!
//! Reading takes what OpenMetrics allows and, since other gateways read such a body as the text format 0.0.4, what is
//! allowed there: a missing `# EOF`, blank lines, several blanks, other comments, CRLF, samples without a type, a
//! counter whose `TYPE` line has its full name, `untyped`. It is strict where the meaning would be unclear. Families
//! are named as Prometheus names their samples: the counter `x` with its sample `x_total` is the family `x_total`.
//! Beyond that it does not look: negative counters, buckets that do not add up, states without a label for the state,
//! a unit that is no suffix of the name, and exemplars outside their bucket are taken as they come.
//!
//! Writing keeps the names of all samples as they are in the other formats. So a counter without `_total` is
//! `unknown`, and so is one whose short name another family has; a gauge histogram passes as a histogram. A parser that
//! insists on the letter of the standard refuses what nobody can mend: a family beside the counter or histogram `x`
//! that is named `x_created`, a `NaN` or negative value in a counter, count or sum, counts with fractions, buckets that
//! do not add up, a sum beside a bucket below zero, a quantile outside 0 to 1. Prometheus reads all of that.
//!
//! Not supported: native histograms, for which 1.0 has no words; they are shown with the one bucket they have in text.
//!
//! *Never:* HTTP, who asked, other families than the one at hand.

mod decode;
mod encode;
mod error;
mod seconds;

pub use decode::{decode, decode_within};
pub use encode::{END, encode, write_family};
pub use error::{Malformed, OpenMetricsError};

/// So many characters may be in the label names and values of an exemplar.
const MOST_EXEMPLAR_CHARACTERS: usize = 128;
