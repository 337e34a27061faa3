//! The text format 0.0.4.
//!
//! Reading follows the Pushgateway, and is wider on purpose at the ends of lines: they may be CRLF, and the last line
//! needs none. It is stricter where upstream reads on by accident: a label is given once, `le` and `quantile` too, a
//! bucket has an `le` and a quantile line a `quantile`, both numbers, and no other line has them; the whole body is
//! UTF-8. Names in quotes may be any text without U+0000 where the caller allows it, and have to be of the classic
//! alphabet otherwise.
//!
//! Writing is canonical: the same families give the same bytes, buckets and quantiles in the order given. Suffixes come behind the name that was escaped, and
//! inside the quotes where there are some: else a reader would not find them to be parts of the family.
//!
//! *Never:* protobuf, HTTP, who asked.

pub(super) mod decode;
mod encode;
pub(super) mod error;
pub(super) mod number;
pub(super) mod writing;

pub use decode::{decode, decode_within};
pub use encode::{encode, write_header, write_series};
pub use error::{Malformed, TextError};
pub use number::write_number;
