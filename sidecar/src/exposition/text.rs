//! The text format 0.0.4.
//!
//! Reading follows the Pushgateway, and is wider on purpose in two places: lines may end in CRLF, and the last line
//! needs no line feed. It is stricter where upstream reads on by accident: a label is given once, `le` and
//! `quantile` too, a bucket has an `le` and a quantile line a `quantile`, the whole body is UTF-8. Names in quotes are read, but have to be of
//! the classic alphabet. Not supported yet: UTF-8 names, OpenMetrics and with it exemplars.
//!
//! Writing is canonical: the same families give the same bytes.
//!
//! *Never:* protobuf, HTTP, who asked.

pub(super) mod decode;
mod encode;
pub(super) mod error;
pub(super) mod number;

pub use decode::decode;
pub use encode::{encode, write_header, write_series};
pub use error::{Malformed, TextError};
pub use number::write_number;
