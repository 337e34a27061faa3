//! What a pushed body is but for its numbers, so that a push that says the same as the one before it need not be read.
//!
//! Jobs push the same series again and again, with other numbers. An outline is a keyed hash of all that stands
//! between the numbers of a body. Where two bodies have one outline they have the same lines, names and labels, and
//! what was found out about the first is true of the second.
//!
//! Only bodies of plain numbers have an outline: no timestamps, no exemplars, no histograms, no summaries, no names in
//! quotes.
//!
//! *Never:* what is stored, whether a body fits to it.

mod protobuf;
mod text;

use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use super::{
    Format,
    family::{Metric, MetricFamily, Value},
};

/// Makes outlines that can be compared: the key of the hash is its own, so that nobody else can find two bodies of one.
#[derive(Clone, Debug, Default)]
pub struct Outliner(RandomState);

/// A body that may have been pushed before.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlined<'a> {
    /// The same for bodies that differ in their numbers alone.
    pub outline: u64,
    /// The numbers, in the order of the body.
    pub numbers: Vec<f64>,
    /// The name in front of each.
    names: Vec<&'a str>,
}

/// An outline in the making.
#[derive(Debug)]
struct Draft<'a, H> {
    body: &'a [u8],
    hash: H,
    /// Up to where the body is in the hash.
    hashed: usize,
    numbers: Vec<f64>,
    names: Vec<&'a str>,
}

// === impl Outliner ===

impl Outliner {
    /// Bodies of two formats never have one outline.
    fn draft<'a>(&self, format: Format, body: &'a [u8]) -> Draft<'a, impl Hasher + use<>> {
        let mut hash = self.0.build_hasher();
        format.hash(&mut hash);
        Draft { body, hash, hashed: 0, numbers: Vec::new(), names: Vec::new() }
    }
}

// === impl Draft ===

impl<'a, H: Hasher> Draft<'a, H> {
    /// Takes down a number and where it stands. In text a zero has no sign, so one with a sign is not plain.
    fn number(&mut self, number: f64, start: usize, end: usize) -> Option<()> {
        if number == 0.0 && number.is_sign_negative() {
            return None;
        }
        self.hash.write(self.body.get(self.hashed..start)?);
        self.hashed = end;
        self.numbers.push(number);
        Some(())
    }

    fn finish(mut self) -> Option<Outlined<'a>> {
        self.hash.write(self.body.get(self.hashed..)?);
        let Self { numbers, names, hash, .. } = self;
        (!numbers.is_empty()).then(|| Outlined { outline: hash.finish(), numbers, names })
    }
}

// === impl Outlined ===

impl Outlined<'_> {
    /// Whether these families, as they were read from the body, are its numbers in their order and nothing else.
    #[must_use]
    pub fn is_of(&self, families: &[MetricFamily]) -> bool {
        let mut samples = self.names.iter().zip(&self.numbers);
        let mut is_next = |family: &MetricFamily, metric: &Metric| {
            let plain = match &metric.value {
                Value::Number(number) if metric.timestamp.is_none() && metric.extra.is_none() => *number,
                Value::Number(_) | Value::Summary(_) | Value::Histogram(_) => return false,
            };
            samples.next().is_some_and(|(name, number)| {
                **name == *family.name && (plain.to_bits() == number.to_bits() || plain.is_nan() && number.is_nan())
            })
        };
        let are_same = families.iter().all(|family| family.metrics.iter().all(|metric| is_next(family, metric)));
        are_same && samples.next().is_none()
    }
}

#[cfg(test)]
mod tests;
