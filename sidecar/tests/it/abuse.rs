//! Clients that take what they can, against the real process with a sidecar's limits: each gets an answer, memory stays
//! within bounds, and the service goes on.
//!
//! The bounds of memory are those of a build for tests, in MiB; what they hold off is many times as much.

use std::{
    fmt::Write as _,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    process::Command,
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};

use crate::gateway::{Gateway, request, scrape};

const PROTOBUF: &str =
    "content-type: application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// A sidecar whose limits are the default ones, but for these.
struct Victim {
    gateway: Gateway,
    push: SocketAddr,
    scrape: SocketAddr,
}

// === impl Victim ===

impl Victim {
    fn start(flags: &[&str]) -> Self {
        let (gateway, push, scrape) = Gateway::sidecar(flags);
        Self { gateway, push, scrape }
    }

    fn put(&self, path: &str, headers: &[&str], body: impl AsRef<[u8]>) -> (u16, String) {
        request(self.push, "PUT", path, headers, body)
    }

    /// Fails unless a push and a scrape are served, that refusal was counted so often, and memory has stayed below.
    #[track_caller]
    fn goes_on(&self, series: &str, count: usize, most_memory: u64) {
        assert_eq!(self.put("/metrics/job/after", &[], "after 1\n"), (200, String::new()));
        let page = scrape(self.scrape);
        assert!(page.contains("\nafter{instance=\"\",job=\"after\"} 1\n"), "{page:.1000}");
        let found = page.lines().find_map(|line| line.strip_prefix(series)).map(str::trim);
        assert_eq!(found, Some(count.to_string().as_str()), "{series}");
        let memory = self.gateway.peak_memory();
        assert!(memory <= most_memory, "expected at most {most_memory} MiB, found {memory}");
    }
}

fn refused(reason: &str) -> String {
    format!("sidegate_pushes_refused_total{{reason=\"{reason}\"}}")
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_small_body_that_stands_for_a_large_one_is_refused_before_it_is_large() {
    let victim = Victim::start(&[]);
    let plain = vec![b'\n'; 32 << 20];
    let snappy = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
    let bombs = [
        ("gzip", gzip(&plain)),
        ("zstd", zstd::bulk::compress(&vec![b'\n'; 256 << 20], 1).unwrap()),
        ("snappy", snappy),
    ];
    for (encoding, body) in bombs {
        let (status, sentence) = victim.put("/metrics/job/j", &[&format!("content-encoding: {encoding}")], body);
        assert_eq!(status, 413, "{encoding}: {sentence}");
        assert!(sentence.contains("decompress"), "{encoding}: {sentence}");
    }
    victim.goes_on(&refused("compression_ratio"), 1, 100);
    victim.goes_on(&refused("too_large_decompressed"), 2, 100);
}

#[test]
fn a_body_without_end_is_refused_at_the_limit() {
    let victim = Victim::start(&[]);
    let mut stream = TcpStream::connect(victim.push).unwrap();
    stream.write_all(b"PUT /metrics/job/j HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
    let chunk = [b"100000\r\n".as_slice(), &[b'#'; 1 << 20], b"\r\n"].concat();
    let mut sent = 0;
    // It ends when nobody reads on.
    while stream.write_all(&chunk).is_ok() {
        sent += 1;
        assert!(sent < 1000, "expected an end, sent {sent} MiB");
    }
    victim.goes_on(&refused("too_large"), 1, 100);
}

#[test]
fn heads_that_never_end_are_told_so_and_closed() {
    let victim = Victim::start(&["--web.header-timeout=300ms"]);
    let drip = |_| {
        let mut stream = TcpStream::connect(victim.push).unwrap();
        stream.write_all(b"PUT /metrics/job/j HTTP/1.1\r\nx-slow: ").unwrap();
        stream
    };
    let streams: Vec<_> = (0..200).map(drip).collect();
    for mut stream in streams {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.ends_with("`--web.header-timeout` sets the limit\n"), "{answer}");
    }
    victim.goes_on("sidegate_connections_timed_out_total{waiting_for=\"head\"}", 200, 64);
}

#[test]
fn bodies_that_never_end_are_told_so() {
    let victim = Victim::start(&["--push.body-timeout=300ms"]);
    let drip = |_| {
        let mut stream = TcpStream::connect(victim.push).unwrap();
        let head = b"PUT /metrics/job/j HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: 9\r\n\r\nx";
        stream.write_all(head).unwrap();
        stream
    };
    let streams: Vec<_> = (0..100).map(drip).collect();
    for mut stream in streams {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        let sentence =
            "expected the whole body within 300ms, found a part of it; `--push.body-timeout` sets the limit\n";
        assert!(answer.ends_with(sentence), "{answer}");
    }
    victim.goes_on(&refused("slow_body"), 100, 64);
}

/// They would be 480 MiB together.
#[test]
fn large_bodies_that_come_slowly_have_a_limit_together() {
    let victim = Victim::start(&[]);
    let part = vec![b'#'; 15 << 20];
    let mut streams = Vec::new();
    let mut answers = 0;
    for _ in 0..32 {
        let mut stream = TcpStream::connect(victim.push).unwrap();
        let head = format!("PUT /metrics/job/j HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", 16 << 20);
        stream.write_all(head.as_bytes()).unwrap();
        // Whoever is refused may find the connection closed.
        if stream.write_all(&part).is_ok() {
            streams.push(stream);
        }
    }
    for stream in &mut streams {
        stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
        let mut start = [0; 12];
        match stream.read_exact(&mut start) {
            Ok(()) => {
                assert_eq!(&start, b"HTTP/1.1 429");
                answers += 1;
            }
            // Of these it waits for the rest.
            Err(error) => assert!(
                matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::ConnectionReset),
                "{error}"
            ),
        }
    }
    assert!(0 < answers);
    drop(streams);
    let memory = victim.gateway.peak_memory();
    assert!(memory <= 128, "{memory}");
    assert_eq!(victim.put("/metrics/job/after", &[], "after 1\n"), (200, String::new()));
}

/// Lets this process have as many files as the system lets it, and tells how many.
fn many_files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let most: usize = files.split_whitespace().nth(1).unwrap().parse().unwrap_or(1 << 20);
    let pid = std::process::id().to_string();
    let raised = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={most}:")]).status().unwrap();
    assert!(raised.success());
    most
}

#[test]
fn ten_thousand_connections_are_held_off_and_scrapers_notice_nothing() {
    let victim = Victim::start(&["--web.header-timeout=0"]);
    let count = 10_000.min(many_files().saturating_sub(1_000));
    assert!(2_000 < count, "expected to be allowed more open files");
    let streams: Vec<_> = (0..count).map(|_| TcpStream::connect(victim.push).unwrap()).collect();
    // The listener of scrapers has room of its own.
    let refused = format!("\nsidegate_connections_refused_total {}\n", count - 512);
    let page = scrape_until(victim.scrape, &refused);
    assert!(page.contains("\nsidegate_connections 513\n"), "{page}");
    drop(streams);
    scrape_until(victim.scrape, "\nsidegate_connections 1\n");
    victim.goes_on("sidegate_connections_refused_total", count - 512, 64);
}

/// A page with that in it.
fn scrape_until(to: SocketAddr, line: &str) -> String {
    for _ in 0..2_000 {
        let page = scrape(to);
        if page.contains(line) {
            return page;
        }
    }
    panic!("expected {line:?}, found {}", scrape(to));
}

#[test]
fn a_million_series_are_refused_at_once_and_one_by_one() {
    let victim = Victim::start(&[]);
    let mut body = String::new();
    for n in 0..1_000_000 {
        writeln!(body, "x{{n=\"{n}\"}} 1").unwrap();
    }
    let (status, sentence) = victim.put("/metrics/job/j", &[], &body);
    assert_eq!(status, 422);
    let end = "expected at most 100000 series in a push, found 100001; `--push.max-series` sets the limit\n";
    assert!(sentence.ends_with(end), "{sentence}");
    let (start, _) = body.match_indices('\n').nth(29_999).unwrap();
    for (group, expected) in [("a", 200), ("b", 200), ("c", 200), ("d", 429), ("a", 200)] {
        let (status, sentence) = victim.put(&format!("/metrics/job/{group}"), &[], &body[..=start]);
        assert_eq!(status, expected, "{sentence}");
    }
    victim.goes_on(&refused("stored_series"), 1, 256);
}

#[test]
fn thousands_of_groups_are_refused_beyond_the_limit() {
    let victim = Victim::start(&["--storage.max-groups=2000"]);
    let mut stream = TcpStream::connect(victim.push).unwrap();
    for group in 0..2_500 {
        let request = format!("PUT /metrics/job/j/g/{group} HTTP/1.1\r\nhost: test\r\ncontent-length: 4\r\n\r\nx 1\n");
        stream.write_all(request.as_bytes()).unwrap();
        let expected: &[u8] = if group < 2_000 { b"HTTP/1.1 200" } else { b"HTTP/1.1 429" };
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") && !answer.ends_with(b"sets the limit\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
            if answer.ends_with(b"\r\n\r\n") && expected == b"HTTP/1.1 429" {
                let mut rest = vec![0; 4096];
                let read = stream.read(&mut rest).unwrap();
                answer.extend_from_slice(&rest[..read]);
            }
        }
        assert!(answer.starts_with(expected), "{group}: {}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(request(victim.push, "DELETE", "/metrics/job/j/g/0", &[], "").0, 202);
    victim.goes_on(&refused("groups"), 500, 128);
}

#[test]
fn what_is_short_on_the_wire_and_long_on_the_page_is_refused_before_it_is_written() {
    let victim = Victim::start(&[]);
    let lines: String = (0..20_000).map(|n| format!("x{{n=\"{n}\"}} 1\n")).collect();
    let value = "v".repeat(15_000);
    let key = format!("/metrics/job/j/a/{value}/b/{value}/c/{value}");
    let (status, sentence) = victim.put(&key, &[], &lines);
    assert_eq!((status, sentence.contains("`--push.max-page-bytes` sets the limit")), (422, true), "{sentence}");

    let labels: String = (0..500).map(|n| format!("l{n}=\"1\",")).collect();
    let (status, sentence) = victim.put("/metrics/job/j", &[], format!("x{{{labels}}} 1\n"));
    assert_eq!((status, sentence.contains("`--push.max-labels` sets the limit")), (422, true), "{sentence}");
    let (status, sentence) = victim.put("/metrics/job/j", &[], format!("x{{l=\"{}\"}} 1\n", "v".repeat(8 << 20)));
    assert_eq!((status, sentence.contains("`--push.max-label-value-bytes` sets the limit")), (422, true), "{sentence}");
    victim.goes_on(&refused("page"), 1, 128);
}

/// A message with its length before it.
fn framed(tag: &[u8], message: &[u8]) -> Vec<u8> {
    let (mut length, mut left) = (Vec::new(), message.len());
    while 0x80 <= left {
        length.push(u8::try_from(left & 0x7f).unwrap() | 0x80);
        left >>= 7;
    }
    length.push(u8::try_from(left).unwrap());
    [tag, &length, message].concat()
}

#[test]
fn messages_of_two_bytes_are_counted_before_they_are_read() {
    let victim = Victim::start(&[]);
    let name: &[u8] = b"\x0a\x01h\x18\x04";
    let many = |part: &[u8; 2]| part.repeat(7 << 20);
    // Metrics, then buckets, then labels of an exemplar.
    let metrics = framed(b"", &[name, &many(b"\x22\x00")].concat());
    let histogram = framed(b"\x3a", &many(b"\x1a\x00"));
    let buckets = framed(b"", &[name, &framed(b"\x22", &histogram)].concat());
    let exemplar = framed(b"\x3a", &framed(b"\x82\x01", &many(b"\x0a\x00")));
    let labels = framed(b"", &[name, &framed(b"\x22", &exemplar)].concat());
    for (body, flag) in [(metrics, "max-series"), (buckets, "max-buckets"), (labels, "max-buckets")] {
        let (status, sentence) = victim.put("/metrics/job/j", &[PROTOBUF], body);
        assert_eq!(status, 422, "{sentence}");
        assert!(sentence.ends_with(&format!("`--push.{flag}` sets the limit\n")), "{sentence}");
    }
    victim.goes_on(&refused("buckets"), 2, 100);
}
