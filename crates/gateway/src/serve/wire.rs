//! A client's connection, as long as anybody holds it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::{SendFlags, send};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};

use super::leaving::Socket;

/// A client's connection. It has its place among all until it is dropped, by whoever has it then: also one that is no longer HTTP
/// counts, and is waited for.
///
/// A client that takes nothing of what is written is not waited for without end: then writing fails. This is below TLS, so what
/// counts is what the client's machine takes, whatever it is for.
#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: S,
    unread: Duration,
    /// Until when, while the client takes nothing.
    patience: Option<Pin<Box<Sleep>>>,
    _place: OwnedSemaphorePermit,
}

impl<S> Wire<S> {
    pub(super) fn new(stream: S, unread: Duration, place: OwnedSemaphorePermit) -> Self {
        Self { stream, unread, patience: None, _place: place }
    }
}

impl<S: WriteNow> Wire<S> {
    /// What became of writing this, or that the client took nothing for too long.
    fn judge(
        &mut self,
        cx: &mut Context<'_>,
        buf: &[u8],
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.patience = None;
            return written;
        }
        let patience = self.patience.get_or_insert_with(|| Box::pin(sleep(self.unread)));
        ready!(patience.as_mut().poll(cx));
        self.patience = None;
        match self.stream.write_now(buf) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing any more")))
            }
            written => Poll::Ready(written),
        }
    }
}

/// Writes what there is room for at this moment.
pub(super) trait WriteNow {
    fn write_now(&self, buf: &[u8]) -> io::Result<usize>;
}

impl WriteNow for Socket {
    /// The system tells that there is room once a third of its own buffer is free, which are megabytes. Whether a slow client took anything
    /// at all is told by trying.
    fn write_now(&self, buf: &[u8]) -> io::Result<usize> {
        Ok(send(self.stream(), buf, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + WriteNow + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.judge(cx, buf, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
        self.judge(cx, first, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A socket has nothing to flush: it tells nothing of what was taken.
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::sync::Semaphore;
    use tokio::time::{Instant, advance};

    use super::*;

    const UNREAD: Duration = Duration::from_secs(60);

    impl WriteNow for DuplexStream {
        fn write_now(&self, _: &[u8]) -> io::Result<usize> {
            // It tells at once when there is room.
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    fn wire<S>(stream: S) -> (Wire<S>, Arc<Semaphore>) {
        let room = Arc::new(Semaphore::new(1));
        (Wire::new(stream, UNREAD, room.clone().try_acquire_owned().unwrap()), room)
    }

    #[tokio::test(start_paused = true)]
    async fn writing_fails_once_nothing_was_taken_for_too_long() {
        let (stream, mut client) = duplex(8);
        let (mut wire, _room) = wire(stream);
        wire.write_all(b"12345678").await.unwrap();
        let since = Instant::now();
        assert_eq!(wire.write(b"9").await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(since.elapsed(), UNREAD);
        assert_eq!(client.read_u8().await.unwrap(), b'1');
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_a_little_now_and_then_is_waited_for() {
        let (stream, mut client) = duplex(1);
        let (mut wire, _room) = wire(stream);
        let writing = tokio::spawn(async move { wire.write_all(&[7; 5]).await });
        for _ in 0..5 {
            advance(UNREAD - Duration::from_secs(1)).await;
            assert_eq!(client.read_u8().await.unwrap(), 7);
        }
        writing.await.unwrap().unwrap();
    }

    #[test]
    fn its_place_is_free_once_nobody_holds_it() {
        let (wire, room) = wire(());
        assert_eq!(room.available_permits(), 0);
        drop(wire);
        assert_eq!(room.available_permits(), 1);
    }
}
