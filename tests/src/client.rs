//! A small HTTP client for processes of this machine: bytes there, bytes back.
//!
//! It speaks HTTP/1.0, whose answers end with the connection.
//!
//! *Never:* what a request means.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, ensure};

/// The most that an answer may take, on a busy machine.
const LIMIT: Duration = Duration::from_secs(10);

/// What comes back.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// As they came.
    pub headers: Vec<(String, String)>,
    /// As it came.
    pub body: Vec<u8>,
}

/// Sends a request and waits for all of its answer.
///
/// # Errors
/// When the other side cannot be reached, or what it sends is no answer.
pub fn call(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> anyhow::Result<Answer> {
    let mut stream = TcpStream::connect(address).with_context(|| address.to_string())?;
    stream.set_read_timeout(Some(LIMIT))?;
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let head = format!("{method} {target} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {length}\r\n{headers}\r\n");
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).with_context(|| format!("{method} {target}"))?;
    Answer::read(&bytes).with_context(|| format!("{method} {target}"))
}

// === impl Answer ===

impl Answer {
    fn read(bytes: &[u8]) -> anyhow::Result<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let (head, rest) = end.and_then(|end| bytes.split_at_checked(end)).context("expected an answer, found none")?;
        let head = std::str::from_utf8(head)?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
        let header = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        Ok(Self {
            status: status.with_context(|| format!("expected a status line, found {head:?}"))?,
            headers: lines.filter_map(header).collect(),
            body: rest.get(4..).unwrap_or_default().to_owned(),
        })
    }

    /// The body as text, if the status is as expected.
    ///
    /// # Errors
    /// When it is another, or the body is no text.
    pub fn text(&self, status: u16) -> anyhow::Result<&str> {
        let shown = String::from_utf8_lossy(&self.body);
        ensure!(self.status == status, "expected {status}, found {}: {shown}", self.status);
        Ok(std::str::from_utf8(&self.body)?)
    }
}
