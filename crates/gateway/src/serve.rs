//! Accepts connections and serves what comes on them, within limits, until it is asked to stop.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::pin;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

/// How long to wait after a connection could not be accepted, for want of files perhaps, which others give back.
const BREATH: Duration = Duration::from_millis(50);

/// What a client may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// So many connections at the same time; more wait until one ends. Default: 4,096.
    pub connections: usize,
    /// How long a connection may take to its first request. Default: 10 s.
    pub first: Duration,
    /// How long the head of a later request may take, counted from the answer before it. Default: 60 s.
    pub head: Duration,
    /// So many headers in a request. Default: 64.
    pub headers: usize,
    /// So many bytes in the head of a request. Default: 32 KiB.
    pub head_bytes: usize,
    /// So many requests at the same time on a connection of HTTP/2. Default: 128.
    pub streams: u32,
    /// How long what runs may take once we are asked to stop. Default: 10 s.
    pub finish: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4_096,
            first: Duration::from_secs(10),
            head: Duration::from_secs(60),
            headers: 64,
            head_bytes: 32 * 1024,
            streams: 128,
            finish: Duration::from_secs(10),
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Whether it speaks TLS.
    pub secure: bool,
    /// Whether it has shown a certificate that we trust.
    pub certified: bool,
}

/// Answers requests. A clone is the same service.
pub trait Serve: Clone + Send + Sync + 'static {
    /// Answers one request.
    fn serve(&self, request: Request<Incoming>, peer: Peer) -> impl Future<Output = Response<Body>> + Send;
}

/// A router of axum, which finds the [`Peer`] among the extensions of a request.
impl Serve for axum::Router {
    async fn serve(&self, mut request: Request<Incoming>, peer: Peer) -> Response<Body> {
        request.extensions_mut().insert(peer);
        // A router is always ready, and never fails.
        match tower::Service::call(&mut self.clone(), request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    /// What runs is finished.
    Finishing,
    /// What still runs is cut off.
    Cut,
}

/// Serves connections, by TLS or as they are, until `stop` is ready; then accepts no more, and finishes what runs as long as the limit says. Gives how many
/// connections were cut off.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    service: impl Serve,
    limits: Limits,
    stop: impl Future<Output = ()>,
) -> usize {
    let room = Arc::new(Semaphore::new(limits.connections));
    let (phases, phase) = watch::channel(Phase::Serving);
    let shared = Arc::new(Shared { builder: builder(&limits), tls, limits, service });
    let accepting = async {
        loop {
            // First the room, then the connection: those who find none wait with the kernel.
            let Ok(permit) = room.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, address)) => {
                    let connection =
                        Connection { shared: shared.clone(), phase: phase.clone(), _permit: permit };
                    tokio::spawn(connection.run(stream, address));
                }
                Err(error) => {
                    accept_failed(&error);
                    sleep(BREATH).await;
                }
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = stop => {}
    }
    drop(listener);
    phases.send_replace(Phase::Finishing);
    let all = u32::try_from(shared.limits.connections).unwrap_or(u32::MAX);
    if timeout(shared.limits.finish, room.acquire_many(all)).await.is_ok() {
        return 0;
    }
    let left = shared.limits.connections - room.available_permits();
    phases.send_replace(Phase::Cut);
    left
}

fn accept_failed(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset};
    // A client that went again before it was accepted is nobody's trouble.
    if !matches!(error.kind(), ConnectionAborted | ConnectionReset) {
        warn!(error = error as &dyn Error, "cannot accept a connection");
    }
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_headers(limits.headers)
        .max_buf_size(limits.head_bytes.max(8 * 1024));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(limits.head_bytes.try_into().unwrap_or(u32::MAX))
        .max_concurrent_streams(limits.streams)
        .keep_alive_interval(limits.head / 2)
        .keep_alive_timeout(limits.head / 2);
    builder
}

struct Shared<S> {
    builder: Builder<TokioExecutor>,
    tls: Option<TlsAcceptor>,
    limits: Limits,
    service: S,
}

struct Connection<S> {
    shared: Arc<Shared<S>>,
    phase: watch::Receiver<Phase>,
    /// Given back when the connection is over.
    _permit: OwnedSemaphorePermit,
}

impl<S: Serve> Connection<S> {
    async fn run(self, stream: TcpStream, address: SocketAddr) {
        // Answers are small, and waited for.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.shared.tls else {
            let peer = Peer { address, secure: false, certified: false };
            return self.speak(stream, peer).await;
        };
        match timeout(self.shared.limits.first, tls.accept(stream)).await {
            Ok(Ok(stream)) => {
                let certified = stream.get_ref().1.peer_certificates().is_some();
                let peer = Peer { address, secure: true, certified };
                self.speak(stream, peer).await;
            }
            Ok(Err(error)) => debug!(%error, peer = %address, "a client speaks no TLS that we do"),
            Err(_) => debug!(peer = %address, "a client did not come to speak TLS in time"),
        }
    }

    async fn speak(mut self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) {
        let asked = Arc::new(AtomicBool::new(false));
        let answer = {
            let (service, asked) = (self.shared.service.clone(), asked.clone());
            service_fn(move |request| {
                asked.store(true, Ordering::Relaxed);
                let service = service.clone();
                async move { Ok::<_, Infallible>(service.serve(request, peer).await) }
            })
        };
        let connection = self.shared.builder.serve_connection_with_upgrades(TokioIo::new(stream), answer);
        let first = sleep(self.shared.limits.first);
        pin!(connection, first);
        let mut waits_for_first = true;
        let mut finishing = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        debug!(%error, peer = %peer.address, "a connection ended");
                    }
                    return;
                }
                // Also while it is not clear yet which version of HTTP is spoken, which nothing else bounds.
                () = first.as_mut(), if waits_for_first => {
                    waits_for_first = false;
                    if !asked.load(Ordering::Relaxed) {
                        return;
                    }
                }
                phase = next(&mut self.phase, finishing) => match phase {
                    Phase::Serving => {}
                    Phase::Finishing => {
                        finishing = true;
                        connection.as_mut().graceful_shutdown();
                    }
                    Phase::Cut => return,
                },
            }
        }
    }
}

/// The phase, once it is another one than was told last.
async fn next(phases: &mut watch::Receiver<Phase>, finishing: bool) -> Phase {
    let is_next = |phase: &Phase| match finishing {
        false => *phase != Phase::Serving,
        true => *phase == Phase::Cut,
    };
    // Whoever serves is gone: so is what was served.
    phases.wait_for(is_next).await.map_or(Phase::Cut, |phase| *phase)
}
