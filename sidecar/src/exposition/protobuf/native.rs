//! Which native histograms contradict themselves: Prometheus refuses the whole page for one of them, or worse.
//!
//! Spans are only claims, and may claim billions of buckets: what is done here costs what was sent.
//!
//! *Never:* what the buckets stand for, sums and classic buckets.

use crate::exposition::{
    extra::{NativeBuckets, NativeHistogram},
    family::Count,
    native::EXPONENTIAL,
};

/// What does not fit the rest of a native histogram.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Contradiction {
    /// Buckets of which nobody can say where they are.
    #[error("expected a schema from -4 to 8, found {0}")]
    Schema(i32),
    /// A bucket of zero with no width.
    #[error("expected a zero threshold of at least 0, found {0}")]
    ZeroThreshold(f64),
    /// Buckets that count in another way than the histogram.
    #[error("expected deltas beside a whole count and counts beside a float that is not 0, found both or the other")]
    Mixed,
    /// A span that goes back.
    #[error("expected no span with a negative offset but the first, found {0}")]
    Offset(i32),
    /// Spans of other buckets than those that are there.
    #[error("expected {claimed} deltas or counts, as many as its spans have buckets, found {found}")]
    Buckets {
        /// By the spans.
        claimed: u64,
        /// What there is.
        found: usize,
    },
    /// A bucket that holds less than nothing, or too much for a sum.
    #[error("expected buckets that hold from 0 to 9223372036854775807 observations, found one of {0}")]
    Bucket(String),
    /// Another count than that of all buckets.
    #[error("expected a count of {held}, which its buckets hold, found {count}")]
    Count {
        /// By the buckets.
        held: u128,
        /// By the histogram.
        count: u64,
    },
}

/// Looks for the first contradiction, given count and sum of all observations. Observations that are no number are in no
/// bucket, and make the sum none.
pub(super) fn check(native: &NativeHistogram, count: Count, sum: f64) -> Result<(), Contradiction> {
    let NativeHistogram { schema, zero_threshold, zero_count, negative, positive } = native;
    if !EXPONENTIAL.contains(schema) {
        return Err(Contradiction::Schema(*schema));
    }
    if zero_threshold.is_nan() || *zero_threshold < 0.0 {
        return Err(Contradiction::ZeroThreshold(*zero_threshold));
    }
    // As readers tell: one of the two counts is a float that is not 0.
    let is_float = [count, *zero_count].iter().any(|count| matches!(count, Count::Float(count) if 0.0 < *count));
    let held = [negative, positive].into_iter().map(|side| self::held(side, is_float));
    let held = held.sum::<Result<u128, _>>()?;
    // Floats need not add up to the last digit.
    let (Count::Integer(count), Count::Integer(zero)) = (count, *zero_count) else { return Ok(()) };
    let held = held + u128::from(zero);
    let fits = if sum.is_nan() { held <= u128::from(count) } else { held == u128::from(count) };
    if fits { Ok(()) } else { Err(Contradiction::Count { held, count }) }
}

/// How many observations the buckets of one side hold; 0 where they count in floats.
fn held(side: &NativeBuckets, is_float: bool) -> Result<u128, Contradiction> {
    let NativeBuckets { spans, deltas, counts } = side;
    let (found, other) = if is_float { (counts.len(), deltas.len()) } else { (deltas.len(), counts.len()) };
    if other != 0 {
        return Err(Contradiction::Mixed);
    }
    if let Some((offset, _)) = spans.iter().skip(1).find(|(offset, _)| *offset < 0) {
        return Err(Contradiction::Offset(*offset));
    }
    let claimed = spans.iter().map(|(_, length)| u64::from(*length)).sum();
    if u64::try_from(found) != Ok(claimed) {
        return Err(Contradiction::Buckets { claimed, found });
    }
    if let Some(count) = counts.iter().find(|count| **count < 0.0) {
        return Err(Contradiction::Bucket(count.to_string()));
    }
    let (mut bucket, mut held) = (0_i64, 0);
    for delta in deltas {
        let sum = i128::from(bucket) + i128::from(*delta);
        bucket = i64::try_from(sum).map_err(|_| Contradiction::Bucket(sum.to_string()))?;
        held += u128::try_from(bucket).map_err(|_| Contradiction::Bucket(sum.to_string()))?;
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(spans: &[(i32, u32)], deltas: &[i64], counts: &[f64]) -> NativeBuckets {
        NativeBuckets { spans: spans.to_vec(), deltas: deltas.to_vec(), counts: counts.to_vec() }
    }

    fn positive(spans: &[(i32, u32)], deltas: &[i64], counts: &[f64]) -> NativeHistogram {
        NativeHistogram { positive: side(spans, deltas, counts), ..NativeHistogram::default() }
    }

    #[track_caller]
    fn refuses(native: &NativeHistogram, count: Count, sentence: &str) {
        assert_eq!(check(native, count, 1.0).unwrap_err().to_string(), sentence);
        let (positive, negative) = (native.negative.clone(), native.positive.clone());
        let mirrored = NativeHistogram { positive, negative, ..native.clone() };
        assert_eq!(check(&mirrored, count, 1.0).unwrap_err().to_string(), sentence);
    }

    #[test]
    fn what_senders_write_agrees_with_itself() {
        let (whole, float) = (Count::Integer, Count::Float);
        let rows = [
            (positive(&[(-3, 2), (0, 0), (5, 1)], &[3, -3, 1], &[]), whole(4)),
            (positive(&[(-3, 2)], &[], &[0.5, f64::NAN]), float(0.25)),
            // With nothing in it, but native.
            (positive(&[(0, 0)], &[], &[]), whole(0)),
            (positive(&[(0, 0)], &[], &[]), float(0.0)),
            (NativeHistogram { zero_threshold: 0.001, ..NativeHistogram::default() }, whole(0)),
            (NativeHistogram { zero_count: float(0.5), ..positive(&[(1, 1)], &[], &[2.0]) }, float(0.0)),
        ];
        for (native, count) in rows {
            assert_eq!(check(&native, count, 1.0), Ok(()), "{native:?}");
        }
        // More observations than are in buckets: some were no numbers.
        let native = positive(&[(-3, 1)], &[3], &[]);
        assert_eq!(check(&native, whole(9), f64::NAN), Ok(()));
        assert!(check(&native, whole(2), f64::NAN).is_err());
        refuses(&native, whole(9), "expected a count of 3, which its buckets hold, found 9");
    }

    #[test]
    fn a_contradiction_is_named() {
        let (whole, float) = (Count::Integer, Count::Float);
        for schema in [-53, -5, 9] {
            let native = NativeHistogram { schema, ..positive(&[(0, 1)], &[1], &[]) };
            refuses(&native, whole(1), &format!("expected a schema from -4 to 8, found {schema}"));
        }
        for zero_threshold in [-0.5, f64::NAN] {
            let native = NativeHistogram { zero_threshold, ..NativeHistogram::default() };
            let sentence = format!("expected a zero threshold of at least 0, found {zero_threshold}");
            refuses(&native, whole(1), &sentence);
        }
        let mixed =
            "expected deltas beside a whole count and counts beside a float that is not 0, found both or the other";
        refuses(&positive(&[(0, 1)], &[1], &[1.0]), whole(1), mixed);
        refuses(&positive(&[(0, 1)], &[1], &[1.0]), float(1.0), mixed);
        refuses(&positive(&[(0, 1)], &[1], &[]), float(1.0), mixed);
        refuses(&positive(&[(0, 1)], &[], &[0.0]), float(0.0), mixed);
        let offset = "expected no span with a negative offset but the first, found -1";
        refuses(&positive(&[(-5, 1), (-1, 1)], &[1, 0], &[]), whole(2), offset);
        let buckets = |claimed: u64, found: usize| {
            format!("expected {claimed} deltas or counts, as many as its spans have buckets, found {found}")
        };
        refuses(&positive(&[(0, 2)], &[1], &[]), whole(1), &buckets(2, 1));
        refuses(&positive(&[], &[1], &[]), whole(1), &buckets(0, 1));
        refuses(&positive(&[(0, 1)], &[], &[1.0, 2.0]), float(3.0), &buckets(1, 2));
        let huge = positive(&[(0, u32::MAX), (0, u32::MAX)], &[1], &[]);
        refuses(&huge, whole(1), &buckets(2 * u64::from(u32::MAX), 1));
        let bucket = |found: &str| {
            format!("expected buckets that hold from 0 to 9223372036854775807 observations, found one of {found}")
        };
        refuses(&positive(&[(0, 2)], &[1, -2], &[]), whole(1), &bucket("-1"));
        refuses(&positive(&[(0, 2)], &[i64::MAX, 1], &[]), whole(1), &bucket("9223372036854775808"));
        refuses(&positive(&[(0, 1)], &[], &[-0.5]), float(1.0), &bucket("-0.5"));
        let count = "expected a count of 3, which its buckets hold, found 2";
        refuses(&positive(&[(0, 2)], &[1, 1], &[]), whole(2), count);
        let zero = NativeHistogram { zero_count: whole(1), ..positive(&[(0, 1)], &[2], &[]) };
        refuses(&zero, whole(2), count);
    }
}
