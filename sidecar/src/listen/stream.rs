//! The stream below HTTP: passes bytes on and tells what happens, to the [`Delivery`] and the [`Activity`] of its
//! connection.
//!
//! It ends politely. Where a client may still be sending what nobody will read, a socket that is closed at once takes
//! the answer back before the client has read it, so what comes in is thrown away for a moment first.
//!
//! *Never:* what is written.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

use super::{activity::Activity, delivery::Delivery};

/// How long a peer that was refused may go on sending.
const LINGER: Duration = Duration::from_secs(2);

/// How much it may send meanwhile.
const LINGER_BYTES: usize = 64 * 1024 * 1024;

/// How much of that is read at once.
const SCRAP_BYTES: usize = 16 * 1024;

/// What a stream is made of: TCP, or something on top of it.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {
    /// Whether the peer will send nothing more, as far as can be told without reading; `cx` need not be woken.
    fn is_closed_by_peer(&self, cx: &mut Context<'_>) -> bool;
}

/// A connection's stream.
#[derive(Debug)]
pub(super) struct Stream<S> {
    socket: S,
    delivery: Delivery,
    activity: Arc<Activity>,
    end: End,
}

/// How far the end has come.
#[derive(Debug)]
enum End {
    /// Not begun.
    Open,
    /// Nothing more is written, and so much is thrown away until the timer ends.
    Lingering { left: usize, timer: Pin<Box<Sleep>> },
}

// === impl Socket ===

impl Socket for TcpStream {
    fn is_closed_by_peer(&self, cx: &mut Context<'_>) -> bool {
        let mut byte = [0];
        matches!(self.poll_peek(cx, &mut ReadBuf::new(&mut byte)), Poll::Ready(Ok(0) | Err(_)))
    }
}

// === impl Stream ===

impl<S: Socket> Stream<S> {
    pub(super) fn new(socket: S, delivery: Delivery, activity: Arc<Activity>) -> Self {
        Self { socket, delivery, activity, end: End::Open }
    }

    /// Forgets what waits if the peer has closed its side: a write to it would still seem to succeed.
    fn look_at_peer(&self, cx: &mut Context<'_>) {
        if self.delivery.is_waiting() && self.socket.is_closed_by_peer(cx) {
            self.delivery.take();
        }
    }

    fn wrote(&self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Ok(bytes)) if 0 < *bytes) {
            self.activity.wrote();
        }
    }

    /// Throws away what comes in, until the peer closes or it is enough.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let End::Lingering { left, timer } = &mut self.end else {
            return Poll::Ready(());
        };
        let mut scraps = [0; SCRAP_BYTES];
        while 0 < *left && timer.as_mut().poll(cx).is_pending() {
            let mut scraps = ReadBuf::new(&mut scraps);
            let read = ready!(Pin::new(&mut self.socket).poll_read(cx, &mut scraps));
            match scraps.filled().len() {
                bytes if read.is_ok() && 0 < bytes => *left = left.saturating_sub(bytes),
                _ => break,
            }
        }
        Poll::Ready(())
    }
}

impl<S: Socket> AsyncRead for Stream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if before < buffer.filled().len() {
            self.activity.read();
        }
        read
    }
}

impl<S: Socket> AsyncWrite for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.look_at_peer(cx);
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.wrote(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.look_at_peer(cx);
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, bytes);
        self.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// The connection flushes its socket when its own buffer is empty.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            self.activity.flushed();
            if let Some(told) = self.delivery.take() {
                told();
            }
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.end, End::Open) {
            ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?;
            if !self.activity.is_cut_short() {
                return Poll::Ready(Ok(()));
            }
            self.end = End::Lingering { left: LINGER_BYTES, timer: Box::pin(sleep(LINGER)) };
        }
        self.poll_linger(cx).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
        time::Instant,
    };

    use super::*;

    async fn connection() -> (Stream<TcpStream>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (peer, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (socket, address) = accepted.unwrap();
        (Stream::new(socket, Delivery::to(address), Arc::default()), peer.unwrap())
    }

    fn tell(stream: &Stream<TcpStream>) -> Arc<AtomicBool> {
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
        stream.socket.readable().await.unwrap();
        let told = tell(&stream);
        // The kernel takes it all the same.
        stream.write_all(b"answer").await.unwrap();
        stream.flush().await.unwrap();
        assert!(!told.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn a_peer_that_is_still_sending_gets_to_read_the_answer() {
        let (mut stream, mut peer) = connection().await;
        stream.activity.read();
        let ends = async {
            stream.write_all(b"answer").await.unwrap();
            stream.shutdown().await.unwrap();
            drop(stream);
        };
        let sends = async {
            peer.write_all(&vec![0; 8 * 1024 * 1024]).await.unwrap();
            let mut answer = Vec::new();
            peer.read_to_end(&mut answer).await.unwrap();
            peer.shutdown().await.unwrap();
            answer
        };
        let ((), answer) = tokio::join!(ends, sends);
        assert_eq!(answer, b"answer");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_is_waited_for_only_where_it_may_be_sending_and_not_for_long() {
        let (mut stream, _peer) = connection().await;
        let started = Instant::now();
        stream.shutdown().await.unwrap();
        assert!(started.elapsed() < LINGER);

        let (mut stream, _peer) = connection().await;
        stream.activity.requested();
        stream.activity.left_body();
        let started = Instant::now();
        stream.shutdown().await.unwrap();
        assert!(LINGER <= started.elapsed() && started.elapsed() < LINGER * 2);
    }
}
