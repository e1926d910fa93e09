//! Whether a client has closed its side, told to whoever answers it while nothing is read.

use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::net::{Shutdown, shutdown};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task_local;

/// A client's socket, of which can be told meanwhile whether its client is [`Leaving`].
///
/// The server reads nothing while it answers, so that what comes then is not held here; and so it does not hear of an end, either.
#[derive(Debug)]
pub(super) struct Socket {
    reading: OwnedReadHalf,
    /// What tells of an end holds it, too.
    writing: Arc<OwnedWriteHalf>,
}

/// Tells whether a client has closed its side, or is gone.
#[derive(Clone, Debug)]
pub(crate) struct Leaving(Option<Arc<OwnedWriteHalf>>);

task_local! {
    /// Of the client whose requests are answered here. The streams of a connection of HTTP/2 have tasks of their own, where there is none: that
    /// connection is read all the time, and what answers a stream is dropped once the stream has ended.
    static ANSWERED: Leaving;
}

impl Leaving {
    /// Of the client whose request is answered here.
    pub(crate) fn of_client() -> Self {
        ANSWERED.try_with(Self::clone).unwrap_or(Self(None))
    }

    /// Is there for what this answers.
    pub(super) fn told_to<F: Future>(self, answering: F) -> impl Future<Output = F::Output> {
        ANSWERED.scope(self, answering)
    }

    /// Waits until it has closed its side, whatever it sent before. It may still read an answer.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub(crate) async fn closes(&self) {
        let Some(socket) = &self.0 else { return pending().await };
        // Not until there is something to read: what lies there would hide the end. An end is told by whatever is waited for, and nothing is
        // ever urgent.
        while socket.ready(Interest::PRIORITY).await.is_ok_and(|ready| !ready.is_read_closed()) {}
    }
}

impl Socket {
    pub(super) fn new(stream: TcpStream) -> Self {
        let (reading, writing) = stream.into_split();
        Self { reading, writing: Arc::new(writing) }
    }

    pub(super) fn leaving(&self) -> Leaving {
        Leaving(Some(self.writing.clone()))
    }

    /// Writes as soon as there is room.
    fn poll_writing(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let stream = self.stream();
        loop {
            ready!(stream.poll_write_ready(cx))?;
            match write(stream) {
                // Where there is no room after all it is waited for anew.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        self.reading.as_ref()
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reading).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_writing(cx, |stream| stream.try_write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_writing(cx, |stream| stream.try_write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(shutdown(self.stream(), Shutdown::Write).map_err(io::Error::from))
    }
}
