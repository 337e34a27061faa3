//! The protobuf format: messages `io.prometheus.client.MetricFamily`, each with its length before it.
//!
//! Reading follows the Pushgateway: unknown fields are ignored, missing ones are zero, a type left out means counter,
//! repeated numbers may be packed, the later of two families of one name is the one that counts, and a family may be
//! empty. It is stricter where upstream lets a body in that breaks the page: a family has a name and a known type, a
//! metric has the value its type asks for, a bound is not NaN, a label is given once. Names have to be of the classic
//! alphabet.
//!
//! Writing is canonical, and gives back everything that was read but `unit` and a help that is present and empty.
//! Not supported yet: UTF-8 names, the `text` and `compact-text` forms.
//!
//! *Never:* text, HTTP, who asked.

mod decode;
mod encode;
mod error;
mod message;

pub use decode::decode;
pub use encode::{encode, write_family};
pub use error::{Malformed, ProtobufError};

#[cfg(test)]
mod tests;
