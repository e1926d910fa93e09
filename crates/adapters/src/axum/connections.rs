//! The connections of clients.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Extension};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::Layer;
use tracing::{debug, warn};

use super::first_bytes::FirstBytes;

/// How long to wait after a connection could not be accepted, for want of files perhaps, which others give back.
const BREATH: Duration = Duration::from_millis(50);

/// How long a client may take to say which HTTP it speaks: as long as hyper gives it for the head of a request.
const FIRST_BYTES: Duration = Duration::from_secs(30);

/// Connections that are served.
pub(super) struct Connections {
    router: Router,
    builder: Builder<TokioExecutor>,
    graceful: GracefulShutdown,
    open: JoinSet<()>,
}

impl Connections {
    pub(super) fn new(router: Router) -> Self {
        let mut builder = Builder::new(TokioExecutor::new());
        // Without a timer nothing bounds how long a client takes to send the head of a request.
        builder.http1().timer(TokioTimer::new());
        builder.http2().timer(TokioTimer::new());
        Self { router, builder, graceful: GracefulShutdown::new(), open: JoinSet::new() }
    }

    /// Accepts and serves, until it is dropped.
    pub(super) async fn accept(&mut self, listener: &TcpListener) {
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, from)) => self.serve(stream, from),
                    Err(error) => {
                        accept_failed(&error);
                        sleep(BREATH).await;
                    }
                },
                Some(_) = self.open.join_next() => {}
            }
        }
    }

    fn serve(&mut self, stream: TcpStream, from: SocketAddr) {
        // Answers are small, and waited for.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(Extension(ConnectInfo(from)).layer(self.router.clone()));
        let stream = FirstBytes::within(FIRST_BYTES, stream);
        let connection = self.builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let served = self.graceful.watch(connection.into_owned());
        self.open.spawn(async move {
            if let Err(error) = served.await {
                debug!(%error, %from, "a connection ended");
            }
        });
    }

    /// Finishes the requests that run, for as long as the limit says, and ends all connections. Gives how many it cut off.
    pub(super) async fn finish(mut self, limit: Duration) -> usize {
        if timeout(limit, self.graceful.shutdown()).await.is_ok() {
            return 0;
        }
        while self.open.try_join_next().is_some() {}
        let cut = self.open.len();
        self.open.shutdown().await;
        cut
    }
}

fn accept_failed(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset};
    // A client that went again before it was accepted is nobody's trouble.
    if !matches!(error.kind(), ConnectionAborted | ConnectionReset) {
        warn!(error = error as &dyn Error, "cannot accept a connection");
    }
}
