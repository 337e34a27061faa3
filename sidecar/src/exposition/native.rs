//! The buckets of a native histogram, as bounds and counts: what its schema, spans and deltas stand for.
//!
//! Bucket `i` above zero reaches from `base^(i-1)` to `base^i`, the upper bound included, where `base` is
//! `2^(2^-schema)`; below zero it is the mirror image. The bound before infinity is the largest number there is.
//!
//! A span is only a claim: buckets are made from the counts that were sent, so their number is that of the counts,
//! and the longest span without counts costs one step. Bounds are computed; they may differ in the last digit from the
//! tables that others keep. Schemas other than the exponential ones have no buckets here.
//!
//! *Never:* classic buckets, how a bucket is written.

use super::{
    extra::{NativeBuckets, NativeHistogram},
    family::Count,
};

/// The schemas whose bounds are powers of a base.
pub const EXPONENTIAL: std::ops::RangeInclusive<i32> = -4..=8;

/// A bucket that is not empty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Which of its bounds belong to it.
    pub closed: Closed,
    /// Where it begins.
    pub lower: f64,
    /// Where it ends.
    pub upper: f64,
    /// How many observations are in it and in no other.
    pub count: Count,
}

/// Which bounds belong to a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The upper one: of a bucket above zero.
    Upper,
    /// The lower one: of a bucket below zero.
    Lower,
    /// Both: of the bucket of zero.
    Both,
}

/// The buckets of what counts as native: some span is there, and something is known about the schema.
#[must_use]
pub fn shown_buckets(native: &NativeHistogram) -> Option<Vec<Bucket>> {
    let has_spans = !native.negative.spans.is_empty() || !native.positive.spans.is_empty();
    if has_spans { buckets(native) } else { None }
}

/// The buckets that are not empty, from the lowest to the highest; `None` if nothing is known about the schema.
#[must_use]
pub fn buckets(native: &NativeHistogram) -> Option<Vec<Bucket>> {
    let NativeHistogram { schema, zero_threshold, zero_count, negative, positive } = native;
    if !EXPONENTIAL.contains(schema) {
        return None;
    }
    let mut buckets: Vec<_> = counted(negative)
        .map(|(index, count)| {
            let (lower, upper) = (-bound(index, *schema), -bound(index - 1, *schema));
            Bucket { closed: Closed::Lower, lower, upper, count }
        })
        .collect();
    buckets.reverse();
    let zero = Bucket { closed: Closed::Both, lower: -zero_threshold, upper: *zero_threshold, count: *zero_count };
    buckets.extend(Some(zero).filter(|zero| zero.count.as_f64() != 0.0));
    buckets.extend(counted(positive).map(|(index, count)| {
        let (lower, upper) = (bound(index - 1, *schema), bound(index, *schema));
        Bucket { closed: Closed::Upper, lower, upper, count }
    }));
    Some(buckets)
}

/// Index and count of each bucket of one side that is not empty, as long as there are counts.
fn counted(side: &NativeBuckets) -> impl Iterator<Item = (i64, Count)> {
    let mut counts = counts(side);
    let mut spans = side.spans.iter();
    let (mut index, mut left) = (0_i64, 0_u32);
    let all = std::iter::from_fn(move || {
        while left == 0 {
            let &(offset, length) = spans.next()?;
            index = index.saturating_add(offset.into());
            left = length;
        }
        let counted = (index, counts.next()?);
        index = index.saturating_add(1);
        left -= 1;
        Some(counted)
    });
    all.filter(|(_, count)| count.as_f64() != 0.0)
}

/// The count of each bucket. A sum of differences that falls below zero is no count, and stands as zero.
fn counts(side: &NativeBuckets) -> impl Iterator<Item = Count> {
    let mut sum = 0_i64;
    let whole = side.deltas.iter().map(move |delta| {
        sum = sum.saturating_add(*delta);
        Count::Integer(u64::try_from(sum).unwrap_or_default())
    });
    let floats = side.counts.iter().map(|count| Count::Float(*count));
    let is_float = !side.counts.is_empty();
    floats.chain(whole.filter(move |_| !is_float))
}

/// The upper bound of the bucket with that index above zero.
fn bound(index: i64, schema: i32) -> f64 {
    let size = 1_i64 << schema.unsigned_abs();
    if schema < 0 {
        return scaled(1.0, index.saturating_mul(size));
    }
    let within = index.rem_euclid(size) as f64 / size as f64;
    scaled(within.exp2(), index.div_euclid(size))
}

/// `number * 2^exponent` for a number from 1 to below 2; the largest number instead of 2^1024.
fn scaled(number: f64, exponent: i64) -> f64 {
    if exponent == 1024 && number == 1.0 {
        return f64::MAX;
    }
    if 1024 <= exponent {
        return f64::INFINITY;
    }
    if exponent < -1080 {
        return 0.0;
    }
    // In two steps, of which only the second can leave what a normal number holds: it is rounded once.
    let half = exponent / 2;
    number * power_of_two(half) * power_of_two(exponent - half)
}

/// `2^exponent` for an exponent of a normal number.
fn power_of_two(exponent: i64) -> f64 {
    f64::from_bits(u64::try_from(exponent + 1023).unwrap_or_default() << 52)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    fn side(spans: &[(i32, u32)], deltas: &[i64]) -> NativeBuckets {
        NativeBuckets { spans: spans.to_vec(), deltas: deltas.to_vec(), counts: Vec::new() }
    }

    fn positive(schema: i32, spans: &[(i32, u32)], deltas: &[i64]) -> NativeHistogram {
        NativeHistogram { schema, positive: side(spans, deltas), ..NativeHistogram::default() }
    }

    #[track_caller]
    fn check(native: &NativeHistogram, expected: &str) {
        let mut found = String::new();
        for Bucket { closed, lower, upper, count } in buckets(native).unwrap() {
            let (left, right) = match closed {
                Closed::Upper => ('(', ']'),
                Closed::Lower => ('[', ')'),
                Closed::Both => ('[', ']'),
            };
            write!(found, "{left}{lower},{upper}{right}={} ", count.as_f64()).unwrap();
        }
        assert_eq!(found.trim_end(), expected);
    }

    #[test]
    fn spans_skip_buckets_and_deltas_add_up() {
        check(&positive(0, &[(0, 2), (1, 1)], &[1, 1, -1]), "(0.5,1]=1 (1,2]=2 (4,8]=1");
        check(&positive(0, &[(-2, 1), (0, 0), (3, 1)], &[4, 1]), "(0.125,0.25]=4 (2,4]=5");
    }

    #[test]
    fn the_schema_says_how_wide_buckets_are() {
        check(
            &positive(1, &[(1, 3)], &[1, 0, 0]),
            "(1,1.4142135623730951]=1 (1.4142135623730951,2]=1 (2,2.8284271247461903]=1",
        );
        check(&positive(2, &[(0, 1)], &[3]), "(0.8408964152537145,1]=3");
        check(&positive(8, &[(256, 1)], &[3]), "(1.9945921121709402,2]=3");
        check(&positive(-1, &[(0, 2)], &[1, 0]), "(0.25,1]=1 (1,4]=1");
        check(&positive(-4, &[(1, 1)], &[1]), "(1,65536]=1");
    }

    #[test]
    fn negative_buckets_come_first_then_zero() {
        let native = NativeHistogram {
            schema: 0,
            zero_threshold: 0.25,
            zero_count: Count::Integer(7),
            negative: side(&[(1, 2)], &[1, 1]),
            positive: side(&[(1, 1)], &[3]),
        };
        check(&native, "[-4,-2)=2 [-2,-1)=1 [-0.25,0.25]=7 (1,2]=3");
    }

    #[test]
    fn empty_buckets_are_left_out() {
        check(&positive(0, &[(0, 4)], &[1, -1, 0, 2]), "(0.5,1]=1 (4,8]=2");
        check(&NativeHistogram::default(), "");
    }

    #[test]
    fn float_counts_are_taken_as_they_are() {
        let mut native = positive(0, &[(0, 3)], &[]);
        native.positive.counts = vec![0.5, 0.0, 2.5];
        native.zero_count = Count::Float(0.25);
        check(&native, "[-0,0]=0.25 (0.5,1]=0.5 (2,4]=2.5");
    }

    #[test]
    fn the_ends_of_what_a_number_holds_are_reached() {
        let (largest, half) = (f64::MAX, 2.0_f64.powi(1023));
        check(&positive(0, &[(1024, 2)], &[1, 0]), &format!("({half},{largest}]=1 ({largest},inf]=1"));
        let before = 2.0_f64.powi(1008);
        check(&positive(-4, &[(64, 2)], &[1, 0]), &format!("({before},{largest}]=1 ({largest},inf]=1"));
        assert_eq!(bound(-1074, 0), f64::from_bits(1));
        assert_eq!(bound(-1022, 0), f64::MIN_POSITIVE);
        assert_eq!((bound(-1100, 0), bound(i64::MAX, -4), bound(i64::MIN, 8)), (0.0, f64::INFINITY, 0.0));
    }

    #[test]
    fn huge_spans_make_no_more_buckets_than_there_are_counts() {
        check(&positive(0, &[(0, u32::MAX), (0, u32::MAX)], &[1, 0]), "(0.5,1]=1 (1,2]=1");
        let lost = vec![(i32::MAX, 0); 100_000];
        check(&positive(8, &lost, &[1]), "");
        check(
            &positive(3, &[(i32::MIN, 1), (i32::MIN, 1)], &[i64::MAX, i64::MAX]),
            &format!("(0,0]={0} (0,0]={0}", i64::MAX as f64),
        );
        check(&positive(0, &[(0, 2)], &[i64::MIN, 1]), "");
    }

    #[test]
    fn nothing_is_made_up_for_schemas_that_are_not_exponential() {
        for schema in [-53, -5, 9, i32::MIN, i32::MAX] {
            assert_eq!(buckets(&positive(schema, &[(0, 1)], &[1])), None, "{schema}");
        }
    }
}
