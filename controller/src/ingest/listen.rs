//! A listener that accepts no more connections than are to be served at once, and whose connections end so that the last
//! answer is read. The others wait in the kernel's queue, where they cost nothing here.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum_server::{AddrListener, Address};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep_until};

/// For how long nothing may come of what a sender still sends: a few round trips.
const SILENCE: Duration = Duration::from_millis(500);
/// How long all of that may take, however it trickles.
const LONGEST: Duration = Duration::from_secs(5);
/// How much of it is taken: sixteen of the largest bodies that are let in by default.
const MOST: usize = 64 << 20;

/// An address of a [`Limited`] listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endpoint(SocketAddr);

/// A listener with so many places.
pub(super) struct Limited {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

/// A connection and its place.
pub(super) struct Connection {
    stream: TcpStream,
    /// What the sender still sends after the last answer.
    rest: Option<Rest>,
    _place: Option<OwnedSemaphorePermit>,
}

/// What comes after the last answer, which nobody wants: of a body that is too large, or of a sender without the token.
///
/// A connection that is closed while something comes in is reset, and a reset takes with it the answer that the sender has
/// not read yet: instead of being told, it would send the same again. So its bytes are taken and dropped, within bounds.
struct Rest {
    left: usize,
    end: Instant,
    silence: Pin<Box<Sleep>>,
}

impl Rest {
    fn new() -> Self {
        let now = Instant::now();
        Self { left: MOST, end: now + LONGEST, silence: Box::pin(sleep_until(now + SILENCE)) }
    }

    /// Ready when the sender has closed its end too, or a bound is reached.
    fn poll(&mut self, stream: &mut TcpStream, context: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; 16 << 10];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            let Poll::Ready(read) = Pin::new(&mut *stream).poll_read(context, &mut buffer) else {
                return self.silence.as_mut().poll(context);
            };
            let taken = buffer.filled().len();
            self.left = self.left.saturating_sub(taken);
            let now = Instant::now();
            if read.is_err() || taken == 0 || self.left == 0 || now >= self.end {
                return Poll::Ready(());
            }
            self.silence.as_mut().reset((now + SILENCE).min(self.end));
        }
    }
}

impl Limited {
    pub(super) fn new(listener: TcpListener, places: usize) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(places)) }
    }
}

impl Address for Endpoint {
    type Stream = Connection;
    type Listener = Limited;
}

impl AddrListener<Connection, Endpoint> for Limited {
    async fn bind_to(endpoint: Endpoint) -> io::Result<Self> {
        Ok(Self::new(TcpListener::bind(endpoint.0).await?, Semaphore::MAX_PERMITS))
    }

    async fn accept_stream(&self) -> io::Result<(Connection, Endpoint)> {
        // The semaphore is never closed.
        let place = self.places.clone().acquire_owned().await.ok();
        let (stream, address) = self.listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok((Connection { stream, rest: None, _place: place }, Endpoint(address)))
    }

    fn get_local_addr(&self) -> io::Result<Endpoint> {
        self.listener.local_addr().map(Endpoint)
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, rest, .. } = self.get_mut();
        if rest.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(context))?;
        }
        rest.get_or_insert_with(Rest::new).poll(stream, context).map(Ok)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Both ends of a connection, ours first.
    async fn connected() -> (Connection, TcpStream) {
        let listener = Limited::new(TcpListener::bind("127.0.0.1:0").await.unwrap(), 1);
        let address = listener.get_local_addr().unwrap().0;
        let (ours, theirs) = tokio::join!(listener.accept_stream(), TcpStream::connect(address));
        (ours.unwrap().0, theirs.unwrap())
    }

    /// Has a sender write as it does, and tells how long our end of it took to close, by a clock that runs ahead while
    /// both wait.
    async fn closing(write: impl AsyncFnOnce(&mut TcpStream)) -> (Duration, String) {
        let (mut ours, mut theirs) = connected().await;
        ours.write_all(b"too large").await.unwrap();
        let begun = Instant::now();
        let end = async {
            ours.shutdown().await.unwrap();
            drop(ours);
            begun.elapsed()
        };
        let sender = async {
            write(&mut theirs).await;
            let mut answer = String::new();
            // Whoever is cut off has gone on for too long, or may be reset.
            let _ = theirs.read_to_string(&mut answer).await;
            answer
        };
        tokio::join!(end, sender)
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_still_sends_is_heard_out_within_bounds() {
        let (took, answer) = closing(async |theirs| theirs.write_all(&vec![0; MOST / 4]).await.unwrap()).await;
        assert_eq!((took < LONGEST, answer.as_str()), (true, "too large"), "all of it was written first");
        let (took, answer) = closing(async |_| ()).await;
        assert_eq!((took <= SILENCE * 2, answer.as_str()), (true, "too large"), "nothing comes: {took:?}");
        let (took, _) = closing(async |theirs| {
            while theirs.write_all(b".").await.is_ok() {
                tokio::time::sleep(SILENCE / 5).await;
            }
        })
        .await;
        assert!(took > SILENCE * 2 && took <= LONGEST + SILENCE, "it trickles: {took:?}");
        let mut sent = 0;
        closing(async |theirs| {
            while theirs.write_all(&[0; 1 << 16]).await.is_ok() {
                sent += 1 << 16;
            }
        })
        .await;
        assert!(sent < MOST * 2, "it has no end: {sent}");
    }
}
