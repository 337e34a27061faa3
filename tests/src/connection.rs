//! A keep-alive HTTP/1.1 client that sends bytes as they are.
//!
//! *Never:* what a request means.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, bail};

/// The most that an answer may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection that is made again when the other side has closed it.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
    /// What was sent last, and whether that was on a connection that had been used before.
    sent: (Vec<u8>, bool),
    is_head: bool,
}

/// What comes back.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Put together from its chunks.
    pub body: Vec<u8>,
}

// === impl Connection ===

impl Connection {
    /// None yet; it is made with the first request.
    #[must_use]
    pub fn of(address: SocketAddr) -> Self {
        Self { address, stream: None, sent: (Vec::new(), false), is_head: false }
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// When the other side cannot be reached, or does not answer in time.
    pub fn call(&mut self, request: Vec<u8>) -> anyhow::Result<Answer> {
        self.send(request)?;
        self.receive()
    }

    /// Sends a request; its answer waits to be received.
    ///
    /// # Errors
    /// When the other side cannot be reached.
    pub fn send(&mut self, request: Vec<u8>) -> anyhow::Result<()> {
        self.is_head = request.starts_with(b"HEAD ");
        self.sent = (request, self.stream.is_some());
        let failed = self.write().is_err();
        if failed && self.sent.1 { self.again() } else { Ok(()) }
    }

    /// Receives the answer to the last request. One that a used connection does not answer at all was not read.
    ///
    /// # Errors
    /// When there is none in time.
    pub fn receive(&mut self) -> anyhow::Result<Answer> {
        match self.read() {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) | Err(_) if self.sent.1 => {
                self.again()?;
                self.read()?.context("expected an answer, found the connection closed")
            }
            Ok(None) => bail!("expected an answer, found the connection closed"),
            Err(error) => Err(error),
        }
    }

    fn again(&mut self) -> anyhow::Result<()> {
        self.stream = None;
        self.sent.1 = false;
        self.write()
    }

    fn write(&mut self) -> anyhow::Result<()> {
        let connection = match &mut self.stream {
            Some(connection) => connection,
            none => {
                let stream = TcpStream::connect(self.address)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_nodelay(true)?;
                none.insert(BufReader::new(stream))
            }
        };
        Ok(connection.get_mut().write_all(&self.sent.0)?)
    }

    /// `None` where the connection was closed before an answer.
    fn read(&mut self) -> anyhow::Result<Option<Answer>> {
        let connection = self.stream.as_mut().context("nothing was sent")?;
        let status = line(connection)?;
        if status.is_empty() {
            return Ok(None);
        }
        let status = status.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.context("expected a status line")?;
        let mut headers = BTreeMap::new();
        loop {
            let line = line(connection)?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let mut body = Vec::new();
        let length = headers.get("content-length").map(|length| length.parse::<u64>()).transpose()?;
        if self.is_head {
        } else if let Some(length) = length {
            connection.take(length).read_to_end(&mut body)?;
        } else if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
            loop {
                let length = u64::from_str_radix(&line(connection)?, 16).context("length of a chunk")?;
                connection.by_ref().take(length).read_to_end(&mut body)?;
                line(connection)?;
                if length == 0 {
                    break;
                }
            }
        } else {
            connection.read_to_end(&mut body)?;
            self.stream = None;
        }
        if headers.get("connection").is_some_and(|value| value == "close") {
            self.stream = None;
        }
        Ok(Some(Answer { status, headers, body }))
    }
}

/// A line without its end.
fn line(connection: &mut BufReader<TcpStream>) -> anyhow::Result<String> {
    let mut line = String::new();
    connection.read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
