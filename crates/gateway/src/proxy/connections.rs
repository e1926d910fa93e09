//! Connections to instances, kept for the next request.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use proto::Address;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::sending::Sending;

/// How many connections to one instance are kept while nobody uses them.
const MOST_IDLE: usize = 256;

/// For how long at most.
const LONGEST_IDLE: Duration = Duration::from_secs(60);

/// How often those that are idle for too long are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// The connections of a service that nobody uses right now.
#[derive(Debug, Default)]
pub(super) struct Connections(Mutex<Idle>);

#[derive(Debug, Default)]
struct Idle {
    by_address: HashMap<Address, Vec<(Connection, Instant)>>,
    swept: Option<Instant>,
}

/// A connection to an instance. Dropped, it is closed at once.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: SendRequest<Sending>,
    address: Address,
    task: AbortHandle,
    /// Whether it carried a request before: then the instance may have closed it, and we not know yet.
    pub(super) is_used: bool,
}

impl Connections {
    /// One that is kept, the last that was used.
    pub(super) fn take(&self, address: &Address) -> Option<Connection> {
        let mut idle = self.lock();
        let kept = idle.by_address.get_mut(address)?;
        while let Some((connection, _)) = kept.pop() {
            // One that is neither closed nor ready is about to be closed: by us, or by an answer that says so.
            if connection.sender.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps one whose request and answer were sent and received whole.
    pub(super) fn keep(&self, mut connection: Connection) {
        connection.is_used = true;
        if connection.sender.is_closed() {
            return;
        }
        let now = Instant::now();
        let mut idle = self.lock();
        if idle.swept.is_none_or(|swept| now.duration_since(swept) >= SWEEP_EVERY) {
            idle.swept = Some(now);
            idle.sweep(now);
        }
        let kept = match idle.by_address.get_mut(&connection.address) {
            Some(kept) => kept,
            None => idle.by_address.entry(connection.address.clone()).or_default(),
        };
        if kept.len() < MOST_IDLE {
            kept.push((connection, now));
        }
    }

    /// How many are kept.
    pub(super) fn idle(&self) -> usize {
        self.lock().by_address.values().map(Vec::len).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    fn sweep(&mut self, now: Instant) {
        self.by_address.retain(|_, kept| {
            kept.retain(|(connection, since)| {
                !connection.sender.is_closed() && now.duration_since(*since) < LONGEST_IDLE
            });
            !kept.is_empty()
        });
    }
}

impl Connection {
    /// Connects to an instance.
    ///
    /// # Errors
    ///
    /// When that is refused, or takes too long.
    pub(super) async fn open(address: &Address, limit: Duration) -> io::Result<Self> {
        let connect = TcpStream::connect((address.host(), address.port()));
        let stream = timeout(limit, connect).await.map_err(|_| io::ErrorKind::TimedOut)??;
        stream.set_nodelay(true)?;
        let (sender, connection) =
            http1::Builder::new().handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let shown = address.clone();
        let task = tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                debug!(address = %shown, error = &error as &dyn std::error::Error, "connection to an instance broke");
            }
        });
        Ok(Self { sender, address: address.clone(), task: task.abort_handle(), is_used: false })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}
