//! Every encoding, by the compressors that clients use.

use std::io::Write;

use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use proptest::prelude::*;

use super::*;

const LIMIT: usize = 1 << 20;

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn raw_deflate(plain: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn snappy_stream(plain: &[u8]) -> Vec<u8> {
    let mut encoder = snap::write::FrameEncoder::new(Vec::new());
    encoder.write_all(plain).unwrap();
    encoder.into_inner().unwrap()
}

fn snappy_raw(plain: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(plain).unwrap()
}

fn zstd_at_once(plain: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(plain, 19).unwrap()
}

fn zstd_stream(plain: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

type Compressor = fn(&[u8]) -> Vec<u8>;

const ALL: [(&str, Encoding, Compressor); 7] = [
    ("gzip", Encoding::Gzip, gzip),
    ("zlib", Encoding::Deflate, zlib),
    ("raw deflate", Encoding::Deflate, raw_deflate),
    ("snappy stream", Encoding::Snappy, snappy_stream),
    ("snappy block", Encoding::Snappy, snappy_raw),
    ("zstd at once", Encoding::Zstd, zstd_at_once),
    ("zstd stream", Encoding::Zstd, zstd_stream),
];

#[test]
fn every_name_is_listed_and_found() {
    let names: Vec<_> = ACCEPTED.split(", ").map(|name| Encoding::from_name(name).unwrap()).collect();
    assert_eq!(names, Encoding::ALL);
    assert_eq!(Encoding::from_name("br"), None);
}

#[test]
fn the_limit_holds_to_the_byte_and_so_does_the_buffer() {
    let plain = vec![b'#'; LIMIT];
    for (name, encoding, compress) in ALL {
        let compressed = compress(&plain);
        let undone = encoding.undo(&compressed, LIMIT).unwrap();
        assert!(undone == plain, "{name}");
        assert!(undone.capacity() <= LIMIT + 1, "{name}: {}", undone.capacity());
        assert_eq!(encoding.undo(&compressed, LIMIT - 1), Err(Fault::TooLarge), "{name}");
    }
}

#[test]
fn a_body_cut_short_or_followed_by_more_is_malformed() {
    let plain: Vec<u8> = (0..50_000_u32).flat_map(|number| (number * number).to_le_bytes()).collect();
    for (name, encoding, compress) in ALL {
        let compressed = compress(&plain);
        for len in [1, 7, compressed.len() / 2, compressed.len() - 1] {
            let undone = encoding.undo(&compressed[..len], LIMIT);
            assert!(matches!(undone, Err(Fault::Malformed(_))), "{name} cut to {len}");
        }
        let followed = [&*compressed, b"more"].concat();
        assert!(matches!(encoding.undo(&followed, LIMIT), Err(Fault::Malformed(_))), "{name} followed by more");
    }
}

#[test]
fn a_body_in_deflate_says_which_end_is_wrong() {
    let fault = |body: &[u8]| match Encoding::Deflate.undo(body, LIMIT) {
        Err(Fault::Malformed(fault)) => fault,
        other => panic!("{other:?}"),
    };
    for compress in [zlib as Compressor, raw_deflate] {
        let compressed = compress(b"x 1\n");
        assert_eq!(fault(&[&*compressed, b"more"].concat()), "it goes on after its end");
        assert_eq!(fault(&compressed[..compressed.len() - 1]), "it ends too early");
    }
    assert_eq!(fault(b""), "it ends too early");
}

#[test]
fn several_in_a_row_are_one_where_the_format_says_so() {
    for (encoding, compress) in
        [(Encoding::Gzip, gzip as Compressor), (Encoding::Snappy, snappy_stream), (Encoding::Zstd, zstd_stream)]
    {
        let two = [compress(b"x 1\n"), compress(b"y 2\n")].concat();
        assert_eq!(encoding.undo(&two, LIMIT).unwrap(), b"x 1\ny 2\n", "{encoding}");
    }
}

#[test]
fn an_empty_body_is_empty_in_snappy_and_malformed_elsewhere() {
    assert_eq!(Encoding::Snappy.undo(b"", LIMIT), Ok(Vec::new()));
    for encoding in [Encoding::Gzip, Encoding::Deflate, Encoding::Zstd] {
        assert!(matches!(encoding.undo(b"", LIMIT), Err(Fault::Malformed(_))), "{encoding}");
    }
}

#[test]
fn a_size_that_is_only_announced_is_not_allocated() {
    // A block of 4 GiB less one byte, by its first bytes.
    assert_eq!(Encoding::Snappy.undo(b"\xff\xff\xff\xff\x0f\x00a", LIMIT), Err(Fault::TooLarge));
    // A frame with a window of 2 GiB.
    let window = b"\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00";
    assert!(matches!(Encoding::Zstd.undo(window, LIMIT), Err(Fault::Malformed(_))));
}

proptest! {
    #[test]
    fn what_was_compressed_comes_back(plain in prop::collection::vec(any::<u8>(), 0..2000), repeat in 1..40_usize) {
        let plain = plain.repeat(repeat);
        for (name, encoding, compress) in ALL {
            prop_assert_eq!(encoding.undo(&compress(&plain), LIMIT).unwrap(), plain.clone(), "{}", name);
        }
    }

    #[test]
    fn no_damage_breaks_a_decoder(
        plain in prop::collection::vec(any::<u8>(), 0..200),
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        for (_, encoding, compress) in ALL {
            let mut compressed = compress(&plain);
            for (place, byte) in &places {
                if let Some(found) = compressed.get_mut(place.index(plain.len() + 8)) {
                    *found = *byte;
                }
            }
            if let Ok(undone) = encoding.undo(&compressed, LIMIT) {
                prop_assert!(undone.capacity() <= LIMIT + 1);
            }
            let _ = encoding.undo(&plain, LIMIT);
        }
    }
}
