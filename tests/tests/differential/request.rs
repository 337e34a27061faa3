//! A request as the generator makes it, and the bytes it becomes.
//!
//! The body is kept as it was before it was encoded, so that it can be sent in another way that means the same.
//!
//! *Never:* what either gateway makes of it.

use std::fmt;

use crate::codings;

/// What may stand before a path: the absolute form of a target.
pub(crate) const ORIGIN: &[u8] = b"http://gateway:1";

/// What is sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    /// As it stands in the request line.
    pub(crate) target: Vec<u8>,
    pub(crate) content_type: ContentType,
    pub(crate) coding: Coding,
    /// The body without its coding.
    pub(crate) body: Vec<u8>,
    pub(crate) chunked: bool,
}

/// A header `Content-Type` and whether it says, by the rules, that the body is protobuf.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ContentType {
    pub(crate) value: Option<&'static str>,
    pub(crate) is_protobuf: bool,
}

/// How the body is encoded, and what the header says about it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Coding {
    None,
    Gzip,
    /// Gzip by another spelling of its name.
    GzipNamed(&'static str),
    Deflate,
    Zstd,
    SnappyBlock,
    /// A header that does not fit: the body is sent as it is.
    Claimed(&'static str),
    /// Gzip with some fault in it.
    Damaged(Vec<u8>),
}

// === impl Request ===

impl Request {
    pub(crate) fn new(method: &'static str, target: Vec<u8>) -> Self {
        let content_type = ContentType { value: None, is_protobuf: false };
        Self { method, target, content_type, coding: Coding::None, body: Vec::new(), chunked: false }
    }

    pub(crate) fn is_push(&self) -> bool {
        matches!(self.method, "PUT" | "POST")
    }

    pub(crate) fn is_protobuf(&self) -> bool {
        self.is_push() && self.content_type.is_protobuf
    }

    /// The body where it is read as text.
    pub(crate) fn text(&self) -> Option<&[u8]> {
        (self.is_push() && !self.is_protobuf()).then_some(&self.body)
    }

    /// Whether the body holds these bytes.
    pub(crate) fn holds(&self, text: &str) -> bool {
        text.is_empty() || self.body.windows(text.len()).any(|window| window == text.as_bytes())
    }

    /// The target without its query, and without scheme and host.
    pub(crate) fn path(&self) -> &[u8] {
        let target = self.target.strip_prefix(ORIGIN).unwrap_or(&self.target);
        target.split(|byte| *byte == b'?').next().unwrap_or_default()
    }

    /// All bytes of the request.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let body = self.coding.encode(&self.body);
        let mut bytes = self.head(body.len());
        if !self.chunked {
            bytes.extend(body);
            return bytes;
        }
        for chunk in body.chunks(100) {
            bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            bytes.extend(chunk);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
        bytes
    }

    fn head(&self, length: usize) -> Vec<u8> {
        let mut head = [self.method.as_bytes(), b" ", &self.target, b" HTTP/1.1\r\nHost: gateway\r\n"].concat();
        if let Some(value) = self.content_type.value {
            head.extend(format!("Content-Type: {value}\r\n").into_bytes());
        }
        if let Some(name) = self.coding.name() {
            head.extend(format!("Content-Encoding: {name}\r\n").into_bytes());
        }
        if self.chunked {
            head.extend(b"Transfer-Encoding: chunked\r\n\r\n");
        } else {
            head.extend(format!("Content-Length: {length}\r\n\r\n").into_bytes());
        }
        head
    }
}

/// Prints what a person needs to send it again: the parts, each with its odd bytes escaped.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.target.escape_ascii())?;
        if let Some(value) = self.content_type.value {
            write!(f, "  content-type={value:?}")?;
        }
        if let Some(name) = self.coding.name() {
            write!(f, "  content-encoding={name:?}")?;
        }
        if let Coding::Damaged(bytes) = &self.coding {
            write!(f, "  sent=b\"{}\"", bytes.escape_ascii())?;
        }
        if self.chunked {
            f.write_str("  chunked")?;
        }
        if !self.body.is_empty() {
            write!(f, "  body=b\"{}\"", self.body.escape_ascii())?;
        }
        Ok(())
    }
}

// === impl Coding ===

impl Coding {
    fn name(&self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip | Self::Damaged(_) => Some("gzip"),
            Self::Deflate => Some("deflate"),
            Self::Zstd => Some("zstd"),
            Self::SnappyBlock => Some("snappy"),
            Self::GzipNamed(name) | Self::Claimed(name) => Some(name),
        }
    }

    fn encode(&self, body: &[u8]) -> Vec<u8> {
        match self {
            Self::None | Self::Claimed(_) => body.to_vec(),
            Self::Gzip | Self::GzipNamed(_) => codings::gzip(body),
            Self::Deflate => codings::deflate(body),
            Self::Zstd => codings::zstd(body),
            Self::SnappyBlock => codings::snappy_block(body),
            Self::Damaged(bytes) => bytes.clone(),
        }
    }
}
