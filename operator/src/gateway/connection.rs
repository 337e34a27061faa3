//! One connection to a gateway, plain or over TLS, that ends with this value.
//!
//! *Never:* what is asked, how often.

use std::{io, sync::Arc};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig,
    pki_types::{InvalidDnsNameError, ServerName},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_rustls::TlsConnector;

use super::address::GatewayAddress;

/// How much of an answer is held before it is taken, and how long its head may be.
const BUFFER: usize = 32 * 1024;

/// An open connection.
pub(super) struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    work: JoinHandle<()>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{0}")]
    Tcp(#[source] io::Error),
    #[error("TLS: {0}")]
    Tls(#[source] io::Error),
    #[error("TLS: expected a name or an address to verify: {0}")]
    Name(#[from] InvalidDnsNameError),
    #[error("{0}")]
    Http(#[from] hyper::Error),
}

// === impl Connection ===

impl Connection {
    pub(super) async fn open(address: &GatewayAddress, tls: Option<&Arc<ClientConfig>>) -> Result<Self, ConnectError> {
        let stream = TcpStream::connect((address.host(), address.port())).await.map_err(ConnectError::Tcp)?;
        // A removal is one small segment that is not to wait for another.
        stream.set_nodelay(true).map_err(ConnectError::Tcp)?;
        match tls {
            None => Self::over(stream).await,
            Some(tls) => {
                let name = ServerName::try_from(address.host().to_owned())?;
                let connecting = TlsConnector::from(tls.clone()).connect(name, stream);
                Self::over(connecting.await.map_err(ConnectError::Tls)?).await
            }
        }
    }

    async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Self, ConnectError> {
        let (sender, connection) = http1::Builder::new().max_buf_size(BUFFER).handshake(TokioIo::new(stream)).await?;
        let work = tokio::spawn(async move {
            // Whoever waits for an answer is told, too.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a gateway broke");
            }
        });
        Ok(Self { sender, work })
    }

    /// Whether it takes a request right now.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    pub(super) async fn ask(&mut self, request: Request<Empty<Bytes>>) -> Result<Response<Incoming>, hyper::Error> {
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.work.abort();
    }
}
