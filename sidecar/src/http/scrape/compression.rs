//! How a page is compressed: `Accept-Encoding` in, a coding out.
//!
//! As upstream has it, a page is compressed only for who weighs that more than none at all, and `*` means none. Of two
//! codings that weigh the same, zstd is taken: it costs less here and there, and who names it can read it. The levels
//! are the fastest ones, since most scrapers are near.
//!
//! *Never:* what is on the page.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

/// The fastest level of zstd that is not one of its emergency levels.
const ZSTD_LEVEL: i32 = 1;

/// How a page can be compressed; of two of one weight, the later is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Zstd,
}

// === impl Coding ===

impl Coding {
    const ALL: [Self; 2] = [Self::Gzip, Self::Zstd];

    /// The name in headers.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// What the reader wants; `None` for the page as it is.
    pub(super) fn accepted(accept: &str) -> Option<Self> {
        let weight = |names: &[&str]| {
            let choices = accept.split(',').map(weighed);
            choices.filter(|(name, _)| names.iter().any(|it| it.eq_ignore_ascii_case(name))).fold(0.0, most)
        };
        let plain = weight(&["identity", "*"]);
        let codings = Self::ALL.into_iter().map(|coding| (coding, weight(&[coding.name()])));
        let best = codings.max_by(|(_, left), (_, right)| left.total_cmp(right));
        best.filter(|(_, weight)| plain < *weight).map(|(coding, _)| coding)
    }

    /// `None` if it cannot be done, which is no reason not to answer.
    pub(super) fn apply(self, pieces: &[Bytes]) -> Option<(Self, Bytes)> {
        let compressed = match self {
            Self::Gzip => gzip(pieces),
            Self::Zstd => zstd(pieces),
        };
        compressed.ok().map(|bytes| (self, bytes.into()))
    }
}

/// A name and its weight; one that cannot be read weighs nothing.
fn weighed(choice: &str) -> (&str, f64) {
    let mut parts = choice.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    (name, weight.map_or(Ok(1.0), str::parse).unwrap_or(0.0))
}

fn most(heaviest: f64, (_, weight): (&str, f64)) -> f64 {
    heaviest.max(weight)
}

fn gzip(pieces: &[Bytes]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    pieces.iter().try_for_each(|piece| encoder.write_all(piece))?;
    encoder.finish()
}

fn zstd(pieces: &[Bytes]) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
    let length = pieces.iter().map(Bytes::len).sum::<usize>();
    // So that the window is no larger than the page.
    encoder.set_pledged_src_size(u64::try_from(length).ok())?;
    pieces.iter().try_for_each(|piece| encoder.write_all(piece))?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(accept: &str, expected: Option<Coding>) {
        assert_eq!(Coding::accepted(accept), expected, "{accept}");
    }

    #[test]
    fn a_coding_is_chosen_where_it_weighs_more_than_identity() {
        for yes in ["gzip", "gzip, deflate, br", "identity;q=0.5, gzip", "GZIP;q=0.1", "deflate , gzip;q=0.2"] {
            check(yes, Some(Coding::Gzip));
        }
        for no in ["", "deflate", "*", "gzip;q=0", "gzip, identity", "gzip;q=0.5, *", "gzip;q=x", "zstd;q=0, zst"] {
            check(no, None);
        }
    }

    #[test]
    fn the_heavier_coding_is_chosen_and_zstd_of_two_equal_ones() {
        // What Prometheus 3 sends with zstd, and browsers.
        for equal in ["zstd,gzip", "gzip, zstd", "gzip, deflate, br, zstd", "zstd; q=0.5, gzip; q=0.5, *;q=0.1"] {
            check(equal, Some(Coding::Zstd));
        }
        check("zstd;q=0.5, gzip", Some(Coding::Gzip));
        check("zstd;q=0, gzip;q=0.1", Some(Coding::Gzip));
        check("zstd;q=NaN, gzip;q=0.1", Some(Coding::Gzip));
    }
}
