//! Knowing when an answer has been written to its socket.
//!
//! A body is dropped as soon as the connection has taken its last frame into its own buffer, before a byte of a small page was
//! written. So a connection carries a [`Delivery`]: what is to be told waits there until the connection has flushed,
//! and is forgotten when the peer had closed before the last write, or when the write fails.
//!
//! Not done yet: asking the socket whether the peer's kernel has acknowledged all of it.
//!
//! *Never:* what was answered.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use axum::{extract::connect_info::Connected, serve::IncomingStream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};

type Told = Box<dyn FnOnce() + Send>;

/// What is to be told once the connection has written all that it was given; clones are of the same connection.
#[derive(Clone, Default)]
pub(crate) struct Delivery {
    told: Arc<Mutex<Option<Told>>>,
    peer: Option<SocketAddr>,
}

/// A listener whose connections carry a [`Delivery`].
pub(crate) struct DeliveryListener(pub(crate) TcpListener);

/// A connection that carries a [`Delivery`].
pub(crate) struct DeliveryStream {
    stream: TcpStream,
    delivery: Delivery,
}

// === impl Delivery ===

impl Delivery {
    /// Tells it after the next flush.
    pub(crate) fn tell(&self, told: impl FnOnce() + Send + 'static) {
        *self.lock() = Some(Box::new(told));
    }

    /// Who is at the other end, where there is a connection.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    fn is_waiting(&self) -> bool {
        self.lock().is_some()
    }

    fn take(&self) -> Option<Told> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("waiting", &self.is_waiting()).finish()
    }
}

impl Connected<IncomingStream<'_, DeliveryListener>> for Delivery {
    fn connect_info(stream: IncomingStream<'_, DeliveryListener>) -> Self {
        stream.io().delivery.clone()
    }
}

// === impl DeliveryListener ===

impl axum::serve::Listener for DeliveryListener {
    type Io = DeliveryStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (DeliveryStream, Self::Addr) {
        let (stream, peer) = axum::serve::Listener::accept(&mut self.0).await;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "answers may be delayed");
        }
        (DeliveryStream { stream, delivery: Delivery { peer: Some(peer), ..Delivery::default() } }, peer)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

// === impl DeliveryStream ===

impl DeliveryStream {
    /// Forgets what waits if the peer has closed its side: a write to it would still seem to succeed.
    fn look_at_peer(&self, cx: &mut Context<'_>) {
        if !self.delivery.is_waiting() {
            return;
        }
        let mut byte = [0];
        let peeked = self.stream.poll_peek(cx, &mut ReadBuf::new(&mut byte));
        if matches!(peeked, Poll::Ready(Ok(0) | Err(_))) {
            self.delivery.take();
        }
    }
}

impl AsyncRead for DeliveryStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for DeliveryStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.look_at_peer(cx);
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.look_at_peer(cx);
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// The connection flushes its socket when its own buffer is empty.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if matches!(flushed, Poll::Ready(Ok(())))
            && let Some(told) = self.delivery.take()
        {
            told();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn connection() -> (DeliveryStream, TcpStream) {
        let mut listener = DeliveryListener(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = axum::serve::Listener::local_addr(&listener).unwrap();
        let (peer, (stream, _)) =
            tokio::join!(TcpStream::connect(address), axum::serve::Listener::accept(&mut listener));
        (stream, peer.unwrap())
    }

    fn tell(stream: &DeliveryStream) -> Arc<AtomicBool> {
        let told = Arc::new(AtomicBool::new(false));
        let telling = told.clone();
        stream.delivery.tell(move || telling.store(true, Ordering::Relaxed));
        told
    }

    #[tokio::test]
    async fn it_is_told_when_the_answer_was_written_and_not_before() {
        let (mut stream, mut peer) = connection().await;
        let told = tell(&stream);
        stream.write_all(b"answer").await.unwrap();
        assert!(!told.load(Ordering::Relaxed));
        stream.flush().await.unwrap();
        assert!(told.load(Ordering::Relaxed));
        let mut answer = [0; 6];
        peer.read_exact(&mut answer).await.unwrap();
    }

    #[tokio::test]
    async fn a_peer_that_was_gone_before_the_answer_is_not_told_of() {
        let (mut stream, mut peer) = connection().await;
        peer.shutdown().await.unwrap();
        drop(peer);
        stream.stream.readable().await.unwrap();
        let told = tell(&stream);
        // The kernel takes it all the same.
        stream.write_all(b"answer").await.unwrap();
        stream.flush().await.unwrap();
        assert!(!told.load(Ordering::Relaxed));
    }
}
