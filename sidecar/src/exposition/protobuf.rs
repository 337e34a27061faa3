//! The protobuf format: messages `io.prometheus.client.MetricFamily`, each with its length before it.
//!
//! Reading follows the Pushgateway: unknown fields are ignored, missing ones are zero, a type left out means counter,
//! repeated numbers may be packed, the later of two families of one name is the one that counts, and a family may be
//! empty. It is stricter where upstream lets a body in that breaks the page: a family has a name and a known type, a
//! metric has the value its type asks for, a bound is not NaN, a native histogram agrees with itself, a label has a name
//! and is given once, and no name holds U+0000. Names may be any other text, as upstream has it whether or not UTF-8
//! names are on: they are escaped when a page is written.
//!
//! Writing is canonical: buckets come in the order of their bounds, a unit only where the name ends with it. All else
//! that was read is given back, but help that is present and empty. The two text forms are for people: how they are laid
//! out is no promise.
//!
//! *Never:* the text format, HTTP, who asked.

mod decode;
mod encode;
mod error;
mod message;
mod native;
mod parts;
mod text_form;

pub use decode::{decode, decode_within};
pub use encode::{ProtobufForm, encode, write_family};
pub use error::{Malformed, ProtobufError};
pub use native::Contradiction;

#[cfg(test)]
mod tests;
