//! The server's state: sessions, the connections to them, and the faults to come.

mod connections;
mod execution;
mod sessions;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::requests::{Asked, Requests};
use super::tree::Tree;
use super::watches::Watches;
use crate::SessionId;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ConnectionId(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ClientId(u64);

/// The first of January 2000, in Unix milliseconds.
const START_OF_TIME: u64 = 946_684_800_000;

/// Everything behind a fake's lock.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) tree: Tree,
    pub(super) watches: Watches,
    pub(super) timeout: Duration,
    pub(super) writes_refused: BTreeSet<String>,
    pub(super) reads_refused: BTreeSet<String>,
    /// The same, without what is below.
    pub(super) reads_refused_at: BTreeSet<String>,
    /// Nodes of which nobody is told what was read.
    pub(super) reads_held: BTreeSet<String>,
    /// Faults for the next writes, whosever they are.
    pub(super) faults: VecDeque<Fault>,
    sessions: BTreeMap<SessionId, SessionState>,
    connections: BTreeMap<ConnectionId, Connection>,
    clients: BTreeMap<ClientId, Client>,
    requests: Requests,
    reachable: bool,
    running: bool,
    mute: bool,
    random: Option<StdRng>,
    last_session: i64,
    last_connection: u64,
    revision: u64,
    begun: Instant,
    /// Wakes the task that ends sessions: there is a new one to wait for.
    deadlines: Arc<Notify>,
}

/// What happens to a write on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    LoseReply,
    DropRequest,
}

/// A session as the server knows it.
#[derive(Clone, Debug)]
pub(super) struct SessionState {
    timeout: Duration,
    /// When it ends unless it is heard of; `None` while it is.
    deadline: Option<Instant>,
    /// Nobody holds it, so nobody can fail to be heard of.
    stranger: bool,
    faults: VecDeque<Fault>,
}

#[derive(Debug)]
struct Connection {
    session: SessionId,
    mute: bool,
    /// Requests sent and not executed.
    sent: VecDeque<Request>,
    last_ticket: u64,
    ended: watch::Sender<bool>,
}

/// One program that connects again and again.
#[derive(Debug)]
struct Client {
    session: Option<SessionId>,
    reachable: bool,
    closed: bool,
}

struct Request {
    ticket: u64,
    asked: Asked,
    run: Run,
}

/// Executes a request; the answer is sent when the flag says so.
pub(super) type Run = Box<dyn FnOnce(&mut Server, ConnectionId, bool) + Send>;

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.asked, self.ticket)
    }
}

/// A new connection, as its client gets it.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) connection: ConnectionId,
    pub(super) session: SessionId,
    pub(super) timeout: Duration,
    pub(super) ended: watch::Receiver<bool>,
}

/// What became of an attempt to connect.
#[derive(Debug)]
pub(super) enum Attempt {
    Accepted(Accepted),
    Unreachable,
    Mute,
    Closed,
}

impl Server {
    pub(super) fn new(timeout: Duration, deadlines: Arc<Notify>) -> Self {
        Self {
            tree: Tree::default(),
            watches: Watches::default(),
            timeout,
            writes_refused: BTreeSet::new(),
            reads_refused: BTreeSet::new(),
            reads_refused_at: BTreeSet::new(),
            reads_held: BTreeSet::new(),
            faults: VecDeque::new(),
            sessions: BTreeMap::new(),
            connections: BTreeMap::new(),
            clients: BTreeMap::new(),
            requests: Requests::default(),
            reachable: true,
            running: true,
            mute: false,
            random: None,
            last_session: 0x0100_0000_0000_0000,
            last_connection: 0,
            revision: 0,
            begun: Instant::now(),
            deadlines,
        }
    }

    /// The wall clock of the server, in Unix milliseconds: it starts with a day of its own and goes as tokio's clock does.
    pub(super) fn wall_clock(&self) -> u64 {
        let since = self.begun.elapsed().as_millis();
        START_OF_TIME + u64::try_from(since).unwrap_or(u64::MAX - START_OF_TIME)
    }

    /// Grows whenever something may have changed.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn requests(&self) -> Requests {
        Requests { events: self.watches.delivered(), ..self.requests }
    }

    pub(super) fn reset_requests(&mut self) {
        self.requests = Requests::default();
        self.watches.forget_delivered();
    }

    pub(super) fn seed(&mut self, seed: u64) {
        self.random = Some(StdRng::seed_from_u64(seed));
    }

    /// How often a task lets others run, once at least.
    pub(super) fn yields(&mut self) -> u32 {
        self.random.as_mut().map_or(1, |random| random.random_range(1..=4))
    }
}
