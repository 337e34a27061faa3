//! How many parts a message has, told by its bytes before it is read: once it is read, a bucket of two bytes takes more
//! than a hundred.
//!
//! Bytes that are no message are counted up to where they stop to make sense; reading them finds the fault.
//!
//! *Never:* what the parts say.

/// The field of a family that holds its metrics.
pub(super) const METRICS: u64 = 4;

/// The field of a metric that holds its labels.
pub(super) const LABELS: u64 = 1;

/// The messages that have parts, and what is repeated without being a message.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Counter,
    Summary,
    Histogram,
    Bucket,
    Exemplar,
    Metric,
    /// Has no parts of its own.
    Leaf,
    /// Varints without tags.
    Varints,
    /// Doubles without tags.
    Doubles,
}

/// A field of a message.
struct Field<'a> {
    number: u64,
    /// Where the field has a length.
    bytes: Option<&'a [u8]>,
}

struct Fields<'a>(&'a [u8]);

/// How often a field comes in a message.
pub(super) fn count(message: &[u8], number: u64) -> usize {
    Fields(message).filter(|field| field.number == number).count()
}

/// How many buckets, quantiles, spans, deltas, counts, exemplars and labels of these there are in a metric.
pub(super) fn inside_value(metric: &[u8]) -> usize {
    parts(Kind::Metric, metric)
}

fn parts(kind: Kind, message: &[u8]) -> usize {
    let varints = |bytes: &[u8]| bytes.iter().filter(|byte| **byte < 0x80).count();
    match kind {
        Kind::Leaf => 0,
        Kind::Varints => varints(message),
        Kind::Doubles => message.len() / 8,
        Kind::Counter | Kind::Summary | Kind::Histogram | Kind::Bucket | Kind::Exemplar | Kind::Metric => {
            let inner = Fields(message).filter_map(|field| Some((part(kind, field.number)?, field.bytes)));
            inner.map(|(part, bytes)| part.weight(kind, bytes)).sum()
        }
    }
}

/// What a field holds of which there may be many.
fn part(kind: Kind, field: u64) -> Option<Kind> {
    match (kind, field) {
        (Kind::Metric, 3) => Some(Kind::Counter),
        (Kind::Metric, 4) => Some(Kind::Summary),
        (Kind::Metric, 7) => Some(Kind::Histogram),
        (Kind::Histogram, 3) => Some(Kind::Bucket),
        (Kind::Counter, 2) | (Kind::Histogram, 16) | (Kind::Bucket, 3) => Some(Kind::Exemplar),
        (Kind::Summary, 3) | (Kind::Histogram, 9 | 12) | (Kind::Exemplar, 1) => Some(Kind::Leaf),
        (Kind::Histogram, 10 | 13) => Some(Kind::Varints),
        (Kind::Histogram, 11 | 14) => Some(Kind::Doubles),
        _ => None,
    }
}

// === impl Kind ===

impl Kind {
    /// What this part of a message counts, with its own parts. The value of a metric is none of many.
    fn weight(self, of: Self, bytes: Option<&[u8]>) -> usize {
        let inside = bytes.map_or(0, |bytes| parts(self, bytes));
        match (of, self, bytes) {
            (Self::Metric, _, _) | (_, Self::Varints | Self::Doubles, Some(_)) => inside,
            _ => 1 + inside,
        }
    }
}

// === impl Fields ===

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(bytes)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let tag = self.varint()?;
        let mut bytes = None;
        match tag & 7 {
            0 => {
                self.varint()?;
            }
            1 => {
                self.take(8)?;
            }
            2 => {
                let length = self.varint()?;
                bytes = Some(self.take(length)?);
            }
            // A group begins or ends; what is in it is not ours.
            3 | 4 => {}
            5 => {
                self.take(4)?;
            }
            _ => return None,
        }
        Some(Field { number: tag >> 3, bytes })
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::exposition::protobuf::message;

    #[test]
    fn the_parts_of_a_value_are_counted_as_deep_as_they_go() {
        let labels = vec![message::LabelPair::default(); 3];
        let exemplar = message::Exemplar { labels: labels.clone(), ..message::Exemplar::default() };
        let bucket = message::Bucket { exemplar: Some(exemplar.clone()), ..message::Bucket::default() };
        let histogram = message::Histogram {
            buckets: vec![bucket, message::Bucket::default()],
            positive_spans: vec![message::Span::default(); 2],
            positive_deltas: vec![1, -1000, 1],
            negative_counts: vec![0.5; 4],
            exemplars: vec![exemplar.clone()],
            ..message::Histogram::default()
        };
        let quantiles = vec![message::Quantile::default(); 5];
        let metric = message::Metric {
            labels: labels.clone(),
            histogram: Some(histogram),
            summary: Some(message::Summary { quantiles, ..message::Summary::default() }),
            counter: Some(message::Counter { exemplar: Some(exemplar), ..message::Counter::default() }),
            ..message::Metric::default()
        };
        let bytes = metric.encode_to_vec();
        assert_eq!(count(&bytes, LABELS), 3);
        assert_eq!(inside_value(&bytes), (1 + 4 + 1) + 2 + 3 + 4 + 4 + 5 + 4);
        // Cut off, it has fewer.
        let cut = bytes.get(..bytes.len() / 2).unwrap();
        assert!(inside_value(cut) < inside_value(&bytes));
    }

    #[test]
    fn numbers_count_alike_in_a_row_and_one_by_one() {
        // Three deltas: with a tag each, then in a row behind one tag, the last one of two bytes.
        let apart = [0x68, 1, 0x68, 1, 0x68, 0x81, 1];
        let packed = [0x6a, 4, 1, 1, 0x81, 1];
        assert_eq!((parts(Kind::Histogram, &apart), parts(Kind::Histogram, &packed)), (3, 3));
    }

    #[test]
    fn bytes_that_are_no_message_have_no_end_and_no_parts() {
        for bytes in [&[0xff; 20][..], &[0x22, 0xff, 0xff, 0xff, 0xff, 0x0f], &[0x27], &[0x21, 1], &[]] {
            assert_eq!(count(bytes, METRICS), 0);
        }
    }
}
