//! Connections to instances, kept for the next request.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use proto::{Address, ServiceName};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::connecting::{NoConnection, connect};
use super::lookups::Lookups;
use super::sending::Sending;
use crate::deadline::Deadline;

/// How many connections to one instance are kept while nobody uses them.
const MOST_IDLE: usize = 256;

/// For how long at most.
const LONGEST_IDLE: Duration = Duration::from_secs(60);

/// How much sooner than it says an instance closes a connection we take it for closed.
const BEFORE_CLOSED: Duration = Duration::from_secs(1);

/// How many headers an answer may have.
///
/// Room for so many is made for each answer, however few it has, and takes a sixtieth of all the time for a request. So connections have room for the
/// 100 that cost nothing, and for these once an answer of the service had more.
pub(super) const MOST_HEADERS: usize = 256;

/// How many bytes the head of an answer may have.
pub(super) const MOST_HEAD: usize = 408 * 1024;

/// The connections of a service that nobody uses right now.
#[derive(Debug, Default)]
pub(super) struct Connections {
    idle: Mutex<HashMap<Address, Vec<(Connection, Instant)>>>,
    /// Whether it was told lately that there is no room.
    told: AtomicBool,
    /// Whether an answer had a larger head than there was room for.
    are_roomy: AtomicBool,
}

/// A connection to an instance. Dropped, it is closed at once.
///
/// What goes over it moves on when somebody [polls](Self::poll) it: who waits for an answer, or for its body, so that the request
/// of a client is one task and not two that wake each other.
pub(super) struct Connection {
    sender: SendRequest<Sending>,
    pub(super) address: Address,
    driver: Driver,
    /// Until when an answer may take.
    late: Deadline,
    /// For how long the instance says that it keeps it while nobody uses it.
    pub(super) kept_for: Option<Duration>,
    /// Whether it carries no other request after this one, however long the instance keeps it.
    is_last_use: bool,
    /// Whether it has room for the largest heads.
    pub(super) is_roomy: bool,
    /// Whether it carried a request before: then the instance may have closed it, and we not know yet.
    pub(super) is_used: bool,
}

/// Who moves on what goes over a connection.
enum Driver {
    /// Whoever holds it.
    Holder(Wire),
    /// A task of its own.
    Task { _ends_with_it: Task },
    /// Nobody: it has ended, or was handed over.
    Nobody,
}

/// Ends with whoever holds the connection.
struct Task(AbortHandle);

type Wire = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

type Answer = Result<Response<Incoming>, TrySendError<Request<Sending>>>;

impl Connections {
    /// One that is kept, the last that was used.
    pub(super) fn take(&self, address: &Address) -> Option<Connection> {
        let now = Instant::now();
        let are_roomy = self.are_roomy();
        loop {
            let (mut connection, until) = self.lock().get_mut(address)?.pop()?;
            if now < until && (connection.is_roomy || !are_roomy) && connection.is_idle() {
                return Some(connection);
            }
        }
    }

    /// Keeps one whose request and answer were sent and received whole.
    pub(super) fn keep(&self, mut connection: Connection) {
        // What is left of its work is done by the look at it when it is taken.
        connection.is_used = true;
        if connection.is_over() {
            return;
        }
        let longest = connection.longest_idle();
        if longest.is_zero() {
            return;
        }
        let until = Instant::now() + longest;
        let mut idle = self.lock();
        let kept = match idle.get_mut(&connection.address) {
            Some(kept) => kept,
            None => idle.entry(connection.address.clone()).or_default(),
        };
        if kept.len() < MOST_IDLE {
            kept.push((connection, until));
        }
    }

    /// An answer had a larger head than there was room for: there may be more of that kind.
    pub(super) fn need_room(&self) {
        self.are_roomy.store(true, Relaxed);
    }

    /// Whether connections are to have room for the largest heads.
    pub(super) fn are_roomy(&self) -> bool {
        self.are_roomy.load(Relaxed)
    }

    /// Lets go of those that the instance closed, or nobody used for too long.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        self.lock().retain(|_, kept| {
            kept.retain_mut(|(connection, until)| now < *until && connection.is_idle());
            !kept.is_empty()
        });
        self.told.store(false, Relaxed);
    }

    /// When the next one ends.
    fn first_end(&self) -> Option<Instant> {
        self.lock().values().flatten().map(|(_, until)| *until).min()
    }

    /// Lets go of the one that ends next, if there is one.
    fn give_up_first(&self) -> bool {
        let mut idle = self.lock();
        let places = idle.iter().flat_map(|(address, kept)| {
            kept.iter().enumerate().map(move |(place, (_, until))| (*until, address, place))
        });
        let Some((_, address, place)) = places.min_by_key(|(until, ..)| *until) else { return false };
        let address = address.clone();
        let Some(kept) = idle.get_mut(&address) else { return false };
        let given_up = kept.remove(place);
        if kept.is_empty() {
            idle.remove(&address);
        }
        // Closed after the lock is given back.
        drop(idle);
        drop(given_up);
        true
    }

    /// Tells whoever can make room that there is none, once until connections are looked through again.
    pub(super) fn tell(&self, service: &ServiceName, error: &io::Error) {
        if !self.told.swap(true, Relaxed) {
            warn!(%service, error = error as &dyn Error, "no room for one more connection to an instance");
        }
    }

    /// How many are kept.
    pub(super) fn idle(&self) -> usize {
        self.lock().values().map(Vec::len).sum()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Address, Vec<(Connection, Instant)>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets go of the connection that would end next anyway, of all these: its file, another one may need. Gives whether there was one.
pub(super) fn give_up_first<'c>(all: impl Iterator<Item = &'c Connections> + Clone) -> bool {
    loop {
        let first = all.clone().filter_map(|it| Some((it.first_end()?, it))).min_by_key(|(until, _)| *until);
        match first {
            None => return false,
            Some((_, connections)) if connections.give_up_first() => return true,
            // Somebody took it in between.
            Some(_) => {}
        }
    }
}

impl Connection {
    /// Connects to an instance; with room for the largest heads, if that is needed.
    ///
    /// # Errors
    ///
    /// When that is refused, takes too long, or there is no room here for one more.
    pub(super) async fn open(
        address: &Address,
        lookups: &Arc<Lookups>,
        until: Instant,
        is_roomy: bool,
    ) -> Result<Self, NoConnection> {
        let stream = connect(address, lookups, until).await?;
        let mut http = http1::Builder::new();
        http.max_buf_size(MOST_HEAD);
        if is_roomy {
            http.max_headers(MOST_HEADERS);
        }
        let (sender, wire) = http
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| NoConnection::Failed(io::Error::other(error)))?;
        let driver = Driver::Holder(Box::pin(wire.with_upgrades()));
        let late = Deadline::default();
        Ok(Self {
            sender,
            address: address.clone(),
            driver,
            late,
            kept_for: None,
            is_last_use: false,
            is_roomy,
            is_used: false,
        })
    }

    /// It carries no other request after this one.
    pub(super) fn is_last_use(&mut self) {
        self.is_last_use = true;
    }

    /// For how long it is kept while nobody uses it: not as long as the instance does, or a request could meet its end.
    fn longest_idle(&self) -> Duration {
        if self.is_last_use {
            return Duration::ZERO;
        }
        let sooner = |kept: Duration| kept - BEFORE_CLOSED.min(kept / 2);
        self.kept_for.map_or(LONGEST_IDLE, |kept| sooner(kept).min(LONGEST_IDLE))
    }

    /// Sends a request. The connection has to be polled for it to move, and the answer with what [`poll`](Self::poll) gives.
    pub(super) fn send(&mut self, request: Request<Sending>) -> impl Future<Output = Answer> + use<> {
        self.sender.try_send_request(request)
    }

    /// Moves on what goes over it. Gives with what to poll what waits for that afterwards: where it moves here and now, there
    /// is no need to be woken for it.
    pub(super) fn poll<'c>(&mut self, cx: &mut Context<'c>) -> Context<'c> {
        let Driver::Holder(wire) = &mut self.driver else { return Context::from_waker(cx.waker()) };
        if let Poll::Ready(ended) = wire.as_mut().poll(cx) {
            report(&self.address, ended);
            self.driver = Driver::Nobody;
        }
        Context::from_waker(Waker::noop())
    }

    /// Whether it is later than this; whoever asks is woken once it is.
    pub(super) fn poll_late(&mut self, until: Instant, cx: &mut Context<'_>) -> Poll<()> {
        self.late.poll(until, cx)
    }

    /// Moves it on in a task of its own from now on.
    pub(super) fn leave_to_task(&mut self) {
        if let Driver::Holder(wire) = std::mem::replace(&mut self.driver, Driver::Nobody) {
            let address = self.address.clone();
            let task = tokio::spawn(async move { report(&address, wire.await) });
            self.driver = Driver::Task { _ends_with_it: Task(task.abort_handle()) };
        }
    }

    /// Takes in what the instance did while nobody waited for it.
    fn look(&mut self) {
        self.poll(&mut Context::from_waker(Waker::noop()));
    }

    fn is_over(&self) -> bool {
        matches!(self.driver, Driver::Nobody) || self.sender.is_closed()
    }

    /// Whether it can carry another request. One that is neither over nor ready is about to be closed.
    fn is_idle(&mut self) -> bool {
        self.look();
        !self.is_over() && self.sender.is_ready()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("address", &self.address).finish_non_exhaustive()
    }
}

fn report(address: &Address, ended: hyper::Result<()>) {
    if let Err(error) = ended {
        debug!(%address, error = &error as &dyn Error, "connection to an instance broke");
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
