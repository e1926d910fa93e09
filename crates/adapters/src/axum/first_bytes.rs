//! How long a client may take to say anything.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// What a client of HTTP/2 begins with. Until it is known whether that comes nobody else bounds how long it takes.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection that breaks off when it has not said in time which HTTP it speaks.
pub(super) struct FirstBytes<T> {
    stream: T,
    /// How much of the preface has come, and how long that may take; `None` once it is known whether it comes.
    beginning: Option<(usize, Pin<Box<Sleep>>)>,
}

impl<T> FirstBytes<T> {
    pub(super) fn within(limit: Duration, stream: T) -> Self {
        Self { stream, beginning: Some((0, Box::pin(sleep(limit)))) }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for FirstBytes<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let stream = Pin::new(&mut this.stream);
        let Some((come, limit)) = &mut this.beginning else { return stream.poll_read(cx, into) };
        let before = into.filled().len();
        if let Poll::Ready(read) = stream.poll_read(cx, into) {
            match more(*come, &into.filled()[before..]) {
                Some(now) => *come = now,
                None => this.beginning = None,
            }
            return Poll::Ready(read);
        }
        ready!(limit.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client has not begun with a request")))
    }
}

/// How much of the preface has come with these bytes.
fn more(come: usize, bytes: &[u8]) -> Option<usize> {
    let left = &PREFACE[come..];
    (bytes.len() < left.len() && left.starts_with(bytes)).then(|| come + bytes.len())
}

impl<T: AsyncWrite + Unpin> AsyncWrite for FirstBytes<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_say_which_http_it_speaks_is_not_waited_for() {
        for said in ["", "P", "PRI * HTTP/2.0"] {
            let (mut client, server) = duplex(64);
            let mut server = FirstBytes::within(LIMIT, server);
            client.write_all(said.as_bytes()).await.unwrap();
            let start = Instant::now();
            let error = server.read_to_end(&mut Vec::new()).await.unwrap_err();
            assert_eq!((error.kind(), start.elapsed()), (io::ErrorKind::TimedOut, LIMIT), "{said}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_has_begun_is_left_to_the_others() {
        let (mut client, server) = duplex(64);
        let mut server = FirstBytes::within(LIMIT, server);
        client.write_all(b"PO").await.unwrap();
        let both = async {
            sleep(2 * LIMIT).await;
            client.write_all(b"ST").await.unwrap();
            drop(client);
        };
        let mut all = Vec::new();
        let (read, ()) = tokio::join!(server.read_to_end(&mut all), both);
        read.unwrap();
        assert_eq!(all, b"POST");
    }

    #[test]
    fn it_is_known_by_the_first_byte_that_differs_or_by_the_last_of_the_preface() {
        let table: [(&[&[u8]], Option<usize>); 7] = [
            (&[], Some(0)),
            (&[b"G"], None),
            (&[b"P"], Some(1)),
            (&[b"P", b"OST /"], None),
            (&[b"PRI * ", b"HTTP"], Some(10)),
            (&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], None),
            (&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n", b"\r\n\0\0"], None),
        ];
        for (parts, expected) in table {
            let come = parts.iter().try_fold(0, |come, part| more(come, part));
            assert_eq!(come, expected, "{parts:?}");
        }
    }
}
