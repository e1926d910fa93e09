//! The server's state: sessions, the connections to them, and the faults to come.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::requests::{Asked, Requests};
use super::tree::{Author, Done, Failed, Tree};
use super::watches::Watches;
use crate::{Error, Op, SessionId};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ConnectionId(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ClientId(u64);

/// Everything behind a fake's lock.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) tree: Tree,
    pub(super) watches: Watches,
    pub(super) timeout: Duration,
    pub(super) writes_refused: BTreeSet<String>,
    pub(super) reads_refused: BTreeSet<String>,
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
            deadlines,
        }
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

/// Sessions.
impl Server {
    pub(super) fn sessions(&self) -> Vec<SessionId> {
        self.sessions.keys().copied().collect()
    }

    pub(super) fn connected(&self, id: SessionId) -> bool {
        self.connections.values().any(|connection| connection.session == id)
    }

    /// A session of nobody: it lives until it is ended by hand.
    pub(super) fn stranger(&mut self) -> SessionId {
        self.new_session(true)
    }

    /// Makes sure that there is such a session.
    pub(super) fn adopt(&mut self, id: SessionId) {
        if !self.sessions.contains_key(&id) {
            self.begin_session(id, true);
        }
    }

    /// Ends a session: its connections go, then its nodes.
    pub(super) fn expire(&mut self, id: SessionId) {
        for connection in self.connections_of(id) {
            self.end_connection(connection);
        }
        self.forget_session(id);
    }

    /// When the next session ends unless it is heard of.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        if !self.running || self.mute {
            return None;
        }
        self.sessions.values().filter_map(|session| session.deadline).min()
    }

    /// Ends all sessions that were not heard of for too long.
    pub(super) fn expire_due(&mut self, now: Instant) {
        if self.next_deadline().is_none_or(|next| next > now) {
            return;
        }
        let due = |session: &SessionState| session.deadline.is_some_and(|deadline| deadline <= now);
        let over: Vec<SessionId> =
            self.sessions.iter().filter(|(_, session)| due(session)).map(|(id, _)| *id).collect();
        for id in over {
            // On a half-open link the client is not told.
            let mute = |connection: &ConnectionId| self.connections[connection].mute;
            for connection in self.connections_of(id).into_iter().filter(|id| !mute(id)).collect::<Vec<_>>() {
                self.end_connection(connection);
            }
            self.forget_session(id);
        }
    }

    pub(super) fn fault_of(&mut self, id: SessionId, fault: Fault) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.faults.push_back(fault);
        }
    }

    fn new_session(&mut self, stranger: bool) -> SessionId {
        self.last_session += 1;
        let id = SessionId(self.last_session);
        self.begin_session(id, stranger);
        id
    }

    fn begin_session(&mut self, id: SessionId, stranger: bool) {
        let faults = VecDeque::new();
        self.sessions.insert(id, SessionState { timeout: self.timeout, deadline: None, stranger, faults });
        self.tree.count();
        self.changed();
    }

    fn forget_session(&mut self, id: SessionId) {
        if self.sessions.remove(&id).is_none() {
            return;
        }
        let deletes: Vec<Op> =
            self.tree.ephemerals(id).into_iter().map(|path| Op::Delete { path, version: None }).collect();
        // No ACL stands in the way of a session's end.
        let nowhere = BTreeSet::new();
        let author = Author { session: id, writes_refused: &nowhere, reads_refused: &nowhere };
        if let Ok(done) = self.tree.write(&deletes, author) {
            self.watches.raise(&done.changes);
        }
        self.changed();
    }

    fn silent_from_now(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id).filter(|session| !session.stranger) {
            session.deadline = Some(Instant::now() + session.timeout);
            self.deadlines.notify_one();
        }
    }
}

/// Clients and their connections.
impl Server {
    pub(super) fn new_client(&mut self) -> ClientId {
        let id = ClientId(self.clients.len() as u64);
        self.clients.insert(id, Client { session: None, reachable: true, closed: false });
        id
    }

    pub(super) fn session_of(&self, client: ClientId) -> Option<SessionId> {
        let session = self.clients[&client].session?;
        self.sessions.contains_key(&session).then_some(session)
    }

    pub(super) fn set_client_reachable(&mut self, client: ClientId, reachable: bool) {
        self.client(client).reachable = reachable;
        if let (false, Some(session)) = (reachable, self.clients[&client].session) {
            self.disconnect(session);
        }
        self.changed();
    }

    /// Counts an attempt to connect.
    pub(super) fn knock(&mut self) {
        self.requests.connects += 1;
        self.changed();
    }

    pub(super) fn connect(&mut self, client: ClientId) -> Attempt {
        let Client { session, reachable, closed } = self.clients[&client];
        if closed {
            return Attempt::Closed;
        }
        if !(reachable && self.reachable && self.running) {
            return Attempt::Unreachable;
        }
        if self.mute {
            return Attempt::Mute;
        }
        for old in session.into_iter().flat_map(|id| self.connections_of(id)).collect::<Vec<_>>() {
            self.end_connection(old);
        }
        let id = match self.session_of(client) {
            Some(id) => id,
            None => self.new_session(false),
        };
        self.client(client).session = Some(id);
        Attempt::Accepted(self.accept(id))
    }

    /// Ends the client's session, and all that it could do; `false` when nobody answers now.
    pub(super) fn close(&mut self, client: ClientId) -> bool {
        self.client(client).closed = true;
        let Client { session, reachable, .. } = self.clients[&client];
        let Some(session) = session else { return true };
        if !(reachable && self.reachable && self.running) {
            self.disconnect(session);
            return true;
        }
        let connections = self.connections_of(session);
        if self.mute || connections.iter().any(|id| self.connections[id].mute) {
            return false;
        }
        for connection in connections {
            self.execute(connection, u64::MAX);
        }
        self.expire(session);
        true
    }

    /// Ends the client's connection without a word to the server.
    pub(super) fn give_up(&mut self, client: ClientId) {
        if let Some(session) = self.clients[&client].session {
            self.disconnect(session);
        }
    }

    pub(super) fn disconnect(&mut self, id: SessionId) {
        for connection in self.connections_of(id) {
            self.break_connection(connection);
        }
    }

    pub(super) fn disconnect_all(&mut self) {
        for connection in self.connections.keys().copied().collect::<Vec<_>>() {
            self.break_connection(connection);
        }
    }

    pub(super) fn set_reachable(&mut self, reachable: bool) {
        self.reachable = reachable;
        if !reachable {
            self.disconnect_all();
        }
        self.changed();
    }

    pub(super) fn stop(&mut self) {
        self.disconnect_all();
        self.running = false;
        self.changed();
    }

    pub(super) fn start(&mut self) {
        self.running = true;
        self.fresh_timeouts();
        self.changed();
    }

    pub(super) fn set_mute(&mut self, mute: bool) {
        self.mute = mute;
        if !mute {
            for connection in self.connections.keys().copied().collect::<Vec<_>>() {
                self.execute(connection, u64::MAX);
            }
            self.deadlines.notify_one();
        }
        self.changed();
    }

    pub(super) fn mute(&mut self, id: SessionId, mute: bool) {
        for connection in self.connections_of(id) {
            if let Some(connection) = self.connections.get_mut(&connection) {
                connection.mute = mute;
            }
            if mute {
                self.silent_from_now(id);
            } else if let Some(session) = self.sessions.get_mut(&id) {
                session.deadline = None;
                self.execute(connection, u64::MAX);
            } else {
                self.end_connection(connection);
            }
        }
        self.changed();
    }

    /// An older state: its nodes and its sessions, each with a fresh time to live.
    pub(super) fn restore(&mut self, tree: Tree, sessions: BTreeMap<SessionId, SessionState>) {
        self.disconnect_all();
        self.tree = tree;
        self.sessions = sessions;
        self.fresh_timeouts();
        self.changed();
    }

    pub(super) fn session_states(&self) -> BTreeMap<SessionId, SessionState> {
        self.sessions.clone()
    }

    /// Every session has its whole timeout from now on, whether its client still wants it or not.
    fn fresh_timeouts(&mut self) {
        for id in self.sessions() {
            self.silent_from_now(id);
        }
    }

    fn accept(&mut self, session: SessionId) -> Accepted {
        self.last_connection += 1;
        let connection = ConnectionId(self.last_connection);
        let (ended, is_ended) = watch::channel(false);
        self.connections.insert(
            connection,
            Connection { session, mute: false, sent: VecDeque::new(), last_ticket: 0, ended },
        );
        let mut timeout = self.timeout;
        if let Some(session) = self.sessions.get_mut(&session) {
            session.deadline = None;
            timeout = session.timeout;
        }
        self.changed();
        Accepted { connection, session, timeout, ended: is_ended }
    }

    /// A fault: what was under way may have arrived, or may not.
    fn break_connection(&mut self, id: ConnectionId) {
        if self.random.as_mut().is_some_and(RngExt::random) {
            self.execute_unheard(id);
        }
        self.end_connection(id);
    }

    fn end_connection(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.remove(&id) else { return };
        self.watches.end(id);
        connection.ended.send_replace(true);
        // A half-open link was silent before, and stays as silent.
        if !connection.mute {
            self.silent_from_now(connection.session);
        }
        self.changed();
    }

    fn connections_of(&self, id: SessionId) -> Vec<ConnectionId> {
        let of = self.connections.iter().filter(|(_, connection)| connection.session == id);
        of.map(|(id, _)| *id).collect()
    }

    fn client(&mut self, id: ClientId) -> &mut Client {
        self.clients.get_mut(&id).expect("clients are never taken out")
    }

    fn changed(&mut self) {
        self.revision += 1;
    }
}

/// Requests.
impl Server {
    /// Puts a request on its way; `None` when the connection is gone.
    pub(super) fn send(&mut self, by: ConnectionId, asked: Asked, run: Run) -> Option<u64> {
        let connection = self.connections.get_mut(&by)?;
        connection.last_ticket += 1;
        let ticket = connection.last_ticket;
        connection.sent.push_back(Request { ticket, asked, run });
        Some(ticket)
    }

    /// Executes what was sent on this connection, in order, up to `ticket`.
    pub(super) fn execute(&mut self, by: ConnectionId, ticket: u64) {
        while let Some((request, session)) = self.next_request(by, ticket) {
            match self.fault(request.asked, session) {
                None => (request.run)(self, by, true),
                Some(fault) => {
                    if fault == Fault::LoseReply {
                        (request.run)(self, by, false);
                    }
                    self.end_connection(by);
                }
            }
        }
    }

    fn execute_unheard(&mut self, by: ConnectionId) {
        while let Some((request, _)) = self.next_request(by, u64::MAX) {
            (request.run)(self, by, false);
        }
    }

    fn next_request(&mut self, by: ConnectionId, ticket: u64) -> Option<(Request, SessionId)> {
        let connection = self.connections.get_mut(&by)?;
        if self.mute || connection.mute {
            return None;
        }
        if connection.sent.front()?.ticket > ticket {
            return None;
        }
        let request = connection.sent.pop_front()?;
        request.asked.count(&mut self.requests);
        self.revision += 1;
        Some((request, connection.session))
    }

    fn fault(&mut self, asked: Asked, of: SessionId) -> Option<Fault> {
        if !asked.is_write() {
            return None;
        }
        let own = self.sessions.get_mut(&of).and_then(|session| session.faults.pop_front());
        own.or_else(|| self.faults.pop_front())
    }

    /// Writes for the session behind `by`, and tells who watches.
    pub(super) fn write(&mut self, by: ConnectionId, ops: &[Op]) -> Result<Done, Failed> {
        let Some(connection) = self.connections.get(&by) else {
            return Err(Failed { index: 0, error: Error::Interrupted });
        };
        let author = Author {
            session: connection.session,
            writes_refused: &self.writes_refused,
            reads_refused: &self.reads_refused,
        };
        let done = self.tree.write(ops, author)?;
        self.watches.raise(&done.changes);
        self.changed();
        Ok(done)
    }

    /// Writes by hand, past all refusals; persistent unless an owner is named.
    pub(super) fn edit(&mut self, ops: &[Op], owner: Option<SessionId>) -> Result<Done, Failed> {
        let nowhere = BTreeSet::new();
        let session = owner.unwrap_or(SessionId(0));
        let author = Author { session, writes_refused: &nowhere, reads_refused: &nowhere };
        let done = self.tree.write(ops, author)?;
        self.watches.raise(&done.changes);
        self.changed();
        Ok(done)
    }
}
