//! The laws of pushed bodies: no bytes in no encoding break the process or its page, and a body in an encoding is
//! answered as the body itself is, up to the limit and beyond it.
//!
//! *Never:* what is in the body.

use std::io::Write;

use axum::{
    Router,
    body::{Body, Bytes},
    http::{Request, header},
};
use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use http_body_util::BodyExt;
use protocol::{GroupingKey, NameValidation};
use sidecar::{
    clock::UnixSeconds,
    exposition::Escaping,
    http::{AppState, BodyLimits, Settings, router},
    store::{Change, KeyLabels, Store},
};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

use super::is_short;

/// The most that is taken; small enough to be reached, and larger than the first buffer of the decoders.
const LIMIT: usize = 20 * 1024;

type Encoder = fn(&[u8]) -> Vec<u8>;

/// Every way to write a body, by the name that a header has for it.
const ENCODINGS: [(&str, Encoder); 7] = [
    ("identity", |plain| plain.to_vec()),
    ("gzip", |plain| finished(GzEncoder::new(Vec::new(), Compression::fast()), plain, GzEncoder::finish)),
    ("deflate", |plain| finished(ZlibEncoder::new(Vec::new(), Compression::fast()), plain, ZlibEncoder::finish)),
    ("deflate", |plain| finished(DeflateEncoder::new(Vec::new(), Compression::fast()), plain, DeflateEncoder::finish)),
    ("snappy", |plain| snap::raw::Encoder::new().compress_vec(plain).unwrap()),
    ("snappy", |plain| {
        finished(snap::write::FrameEncoder::new(Vec::new()), plain, |encoder| Ok(encoder.into_inner().unwrap()))
    }),
    ("zstd", |plain| zstd::encode_all(plain, 1).unwrap()),
];

/// A type for each format.
const TYPES: [&str; 3] = [
    "text/plain",
    "application/openmetrics-text",
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
];

/// One for all inputs: making the router takes longer than a push.
struct Sidecar {
    runtime: Runtime,
    store: Store,
    router: Router,
}

struct Answer {
    status: u16,
    sentence: String,
    /// What is stored, but the times.
    page: Bytes,
}

/// The first byte tells the encoding and the format, and whether the rest is sent as if it were in that encoding, or is
/// put into it here after it was repeated.
pub fn body(input: &[u8]) {
    let Some((choice, rest)) = input.split_first() else { return };
    let (choice, repeated) = (usize::from(choice & 0x0f), u32::from(choice >> 4));
    let (name, encode) = ENCODINGS[choice % ENCODINGS.len()];
    let format = TYPES[choice / ENCODINGS.len()];
    if repeated == 0 {
        push(format, name, rest.to_vec());
        return;
    }
    let plain = rest.repeat((1 << (repeated - 1)).min(2 * LIMIT / rest.len().max(1)).max(1));
    let expected = push(format, "identity", plain.clone());
    let found = push(format, name, encode(&plain));
    assert_eq!(found.status, expected.status, "{name}: {}", found.sentence);
    // The limit has two sentences: one before decompression, one after.
    assert!(found.sentence == expected.sentence || found.status == 413, "{name}: {}", found.sentence);
    assert_eq!(found.page, expected.page, "{name}");
}

fn push(format: &str, encoding: &str, body: Vec<u8>) -> Answer {
    thread_local! {
        static SIDECAR: Sidecar = Sidecar::new();
    }
    let is_too_large = LIMIT < body.len();
    let answer = SIDECAR.with(|sidecar| sidecar.push(format, encoding, body));
    let Answer { status, sentence, page } = &answer;
    assert!([200, 400, 413].contains(status), "{status}: {sentence}");
    assert!(!is_too_large || *status == 413, "{status}: {sentence}");
    assert!(*status == 200 || page.is_empty(), "{status}, and left {page:?}");
    is_short(sentence);
    answer
}

fn finished<E: Write>(mut encoder: E, plain: &[u8], finish: fn(E) -> std::io::Result<Vec<u8>>) -> Vec<u8> {
    encoder.write_all(plain).unwrap();
    finish(encoder).unwrap()
}

// === impl Sidecar ===

impl Sidecar {
    fn new() -> Self {
        let (runtime, store) = (Builder::new_current_thread().build().unwrap(), Store::new());
        let bodies = BodyLimits { bytes: LIMIT, decompressed_bytes: LIMIT, ..BodyLimits::default() };
        let settings = Settings { bodies, names: NameValidation::Utf8, ..Settings::default() };
        let router = router(AppState::with(store.clone(), settings));
        Self { runtime, store, router }
    }

    /// Pushes to a group that nothing was pushed to.
    fn push(&self, format: &str, encoding: &str, body: Vec<u8>) -> Answer {
        let request = Request::put("/metrics/job/j").header(header::CONTENT_TYPE, format);
        let request = request.header(header::CONTENT_ENCODING, encoding).body(Body::from(body)).unwrap();
        let (status, sentence) = self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.unwrap();
            (response.status().as_u16(), response.into_body().collect().await.unwrap().to_bytes())
        });
        let page = self.store.page_of(KeyLabels::Shown, Escaping::AllowUtf8, |name| !name.starts_with("push_")).text;
        let key = GroupingKey::from_labels([("job", "j")].into_iter().collect()).unwrap();
        self.store.submit(Change::remove(key), UnixSeconds(1.0));
        Answer { status, sentence: String::from_utf8(sentence.to_vec()).unwrap(), page }
    }
}
