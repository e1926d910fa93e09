//! A connection that is no longer HTTP: both ways are copied.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::connections::Connection;
use super::service::Chosen;

/// What both ends agreed to use on their own.
pub(super) struct Tunnel {
    pub(super) client: OnUpgrade,
    pub(super) instance: OnUpgrade,
    /// Lives until the instance's end is handed over.
    pub(super) connection: Connection,
    /// In flight as long as this lasts.
    pub(super) chosen: Chosen,
    /// For how long nothing may come, either way.
    pub(super) idle: Duration,
}

/// When something last came or went over a connection.
#[derive(Clone, Debug)]
struct Moved(Arc<Mutex<Instant>>);

/// A connection that notes this.
struct Noting<S> {
    stream: S,
    moved: Moved,
}

impl Tunnel {
    /// Copies both ways until both have ended, each in its own time, one breaks, nothing comes for too long, or tunnels are to end.
    pub(super) async fn run(self, mut over: watch::Receiver<bool>) {
        let Self { client, instance, connection, chosen, idle } = self;
        let moved = Moved(Arc::new(Mutex::new(Instant::now())));
        let copied = async {
            let mut instance = TokioIo::new(instance.await?);
            drop(connection);
            // All that comes from one side goes to the other: it is enough to look at one of them.
            let mut client = Noting { stream: TokioIo::new(client.await?), moved: moved.clone() };
            copy_bidirectional(&mut client, &mut instance).await?;
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        };
        let ends = async {
            // A sender that is gone ends them, too.
            let _ = over.wait_for(|over| *over).await;
        };
        tokio::select! {
            copied = copied => {
                if let Err(error) = copied {
                    debug!(instance = %chosen.id(), error = &*error as &dyn Error, "tunnel broke");
                }
            }
            () = moved.rests_for(idle) => debug!(instance = %chosen.id(), "nothing came through a tunnel for too long"),
            () = ends => {}
        }
        chosen.succeeded();
    }
}

impl Moved {
    /// Ends when nothing moved for this long.
    async fn rests_for(&self, limit: Duration) {
        let mut until = self.last() + limit;
        while until > Instant::now() {
            sleep_until(until).await;
            until = self.last() + limit;
        }
    }

    fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Noting<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        self.moved.now();
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Noting<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf));
        self.moved.now();
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
