//! TLS on a connection, where the web config says so, and an answer for who does not speak it.
//!
//! What the peer has closed inside TLS is seen only when its socket is closed too.
//!
//! *Never:* certificates.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use rustls::ServerConfig;
use tokio::{io::ReadBuf, net::TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    activity::Activity,
    answer,
    delivery::Delivery,
    stream::{Socket, Stream},
};

/// Agrees on TLS; `None` where that did not succeed, and the peer was told so.
pub(super) async fn accept(stream: TcpStream, config: Arc<ServerConfig>) -> Option<TlsStream<TcpStream>> {
    let mut first = [0];
    // A record of TLS starts with a number, a method with a letter.
    if matches!(stream.peek(&mut first).await, Ok(1)) && first.iter().all(u8::is_ascii_alphabetic) {
        let activity = Arc::<Activity>::default();
        // There is a head that nobody reads.
        activity.read();
        answer::say(&answer::no_tls(), Stream::new(stream, Delivery::default(), activity)).await;
        return None;
    }
    match TlsAcceptor::from(config).accept(stream).await {
        Ok(stream) => Some(stream),
        Err(error) => {
            tracing::debug!(%error, "TLS handshake failed");
            None
        }
    }
}

// === impl Socket ===

impl Socket for TlsStream<TcpStream> {
    fn is_closed_by_peer(&self, cx: &mut Context<'_>) -> bool {
        let mut byte = [0];
        let (socket, _) = self.get_ref();
        matches!(socket.poll_peek(cx, &mut ReadBuf::new(&mut byte)), Poll::Ready(Ok(0) | Err(_)))
    }
}
