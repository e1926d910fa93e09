//! Requests with two lengths are refused before the server chooses one of them.

mod framing;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use hyper::{Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::framing::Framing;

/// A client's connection on which a request with both `Content-Length` and `Transfer-Encoding` is refused, or with two of the former.
///
/// The server takes the encoding, forgets the length and closes the connection after the answer (RFC 9112, 6.1), so nothing can
/// be smuggled through it; but such a request is no accident, and whoever stood before us may have taken the length. As the
/// server does not show that there were two, what comes in is looked at here. The second of both headers is made unreadable,
/// which the server answers as it answers all that it cannot read: 400, and the connection is closed.
///
/// Nothing is held back, copied or buffered. HTTP/2, and what a connection is [upgraded](Upgraded) to, are left alone.
#[derive(Debug)]
pub struct Strict<S> {
    stream: S,
    framing: Framing,
    upgraded: Upgraded,
}

/// Whether a connection was upgraded. Whoever answers on it shows each answer: what is written does not tell, for the body of an answer
/// may look like anything.
#[derive(Clone, Debug, Default)]
pub struct Upgraded(Arc<AtomicBool>);

impl Upgraded {
    /// Sees an answer before it is sent.
    pub fn see<B>(&self, answer: &Response<B>) {
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

impl<S> Strict<S> {
    /// Looks at what comes in on this connection, from its first byte on, until it is upgraded.
    pub fn new(stream: S, upgraded: Upgraded) -> Self {
        Self { stream, framing: Framing::default(), upgraded }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Strict<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if self.upgraded.0.load(Ordering::Relaxed) {
            self.framing.leave();
        }
        self.framing.look(&mut buf.filled_mut()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Strict<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
    const BOTH: &[u8] = b"POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n";

    /// Whether something is changed in what has two lengths, when it comes behind an answer with this status and this body.
    async fn is_touched(status: StatusCode, written: &[&[u8]]) -> bool {
        let (mut client, server) = duplex(1024);
        let upgraded = Upgraded::default();
        let mut strict = Strict::new(server, upgraded.clone());
        client.write_all(UPGRADE).await.unwrap();
        strict.read_exact(&mut [0; UPGRADE.len()]).await.unwrap();
        let mut answer = Response::new(());
        *answer.status_mut() = status;
        upgraded.see(&answer);
        for part in written {
            strict.write_all(part).await.unwrap();
        }
        client.write_all(BOTH).await.unwrap();
        let mut read = [0; BOTH.len()];
        strict.read_exact(&mut read).await.unwrap();
        read != BOTH
    }

    #[tokio::test]
    async fn another_protocol_is_left_alone_once_it_was_agreed_to() {
        let switches = b"HTTP/1.1 101 Switching Protocols\r\n";
        assert!(!is_touched(StatusCode::SWITCHING_PROTOCOLS, &[switches]).await);
        assert!(is_touched(StatusCode::FORBIDDEN, &[b"HTTP/1.1 403 Forbidden\r\n\r\n"]).await);
        // The body of an answer may be anybody's.
        assert!(is_touched(StatusCode::OK, &[b"HTTP/1.1 200 OK\r\n\r\n", switches]).await);
        assert!(is_touched(StatusCode::OK, &[switches]).await);
    }
}
