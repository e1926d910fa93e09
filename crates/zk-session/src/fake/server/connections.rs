//! Clients and the connections that they make, and what breaks these.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rand::RngExt;
use tokio::sync::watch;

use super::{Accepted, Attempt, Client, ClientId, Connection, ConnectionId, Server, SessionState};
use crate::SessionId;
use crate::fake::tree::Tree;

impl Server {
    pub(in crate::fake) fn new_client(&mut self) -> ClientId {
        let id = ClientId(self.clients.len() as u64);
        self.clients.insert(id, Client { session: None, reachable: true, closed: false });
        id
    }

    pub(in crate::fake) fn session_of(&self, client: ClientId) -> Option<SessionId> {
        let session = self.clients[&client].session?;
        self.sessions.contains_key(&session).then_some(session)
    }

    pub(in crate::fake) fn set_client_reachable(&mut self, client: ClientId, reachable: bool) {
        self.client(client).reachable = reachable;
        if let (false, Some(session)) = (reachable, self.clients[&client].session) {
            self.disconnect(session);
        }
        self.changed();
    }

    /// Counts an attempt to connect.
    pub(in crate::fake) fn knock(&mut self) {
        self.requests.connects += 1;
        self.changed();
    }

    pub(in crate::fake) fn connect(&mut self, client: ClientId) -> Attempt {
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
    pub(in crate::fake) fn close(&mut self, client: ClientId) -> bool {
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
    pub(in crate::fake) fn give_up(&mut self, client: ClientId) {
        if let Some(session) = self.clients[&client].session {
            self.disconnect(session);
        }
    }

    pub(in crate::fake) fn disconnect(&mut self, id: SessionId) {
        for connection in self.connections_of(id) {
            self.break_connection(connection);
        }
    }

    pub(in crate::fake) fn disconnect_all(&mut self) {
        for connection in self.connections.keys().copied().collect::<Vec<_>>() {
            self.break_connection(connection);
        }
    }

    pub(in crate::fake) fn set_reachable(&mut self, reachable: bool) {
        self.reachable = reachable;
        if !reachable {
            self.disconnect_all();
        }
        self.changed();
    }

    pub(in crate::fake) fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    pub(in crate::fake) fn stop(&mut self) {
        self.disconnect_all();
        self.running = false;
        self.changed();
    }

    pub(in crate::fake) fn start(&mut self) {
        if self.running {
            return;
        }
        self.running = true;
        self.fresh_timeouts();
        self.changed();
    }

    pub(in crate::fake) fn set_mute(&mut self, mute: bool) {
        self.mute = mute;
        if !mute {
            for connection in self.connections.keys().copied().collect::<Vec<_>>() {
                self.execute(connection, u64::MAX);
            }
            self.deadlines.notify_one();
        }
        self.changed();
    }

    pub(in crate::fake) fn mute(&mut self, id: SessionId, mute: bool) {
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

    pub(in crate::fake) fn hold_reads(&mut self, path: &str, hold: bool) {
        match hold {
            true => self.reads_held.insert(path.to_owned()),
            false => self.reads_held.remove(path),
        };
        self.changed();
    }

    /// An older state: its nodes and its sessions, each with a fresh time to live.
    pub(in crate::fake) fn restore(&mut self, tree: Tree, sessions: BTreeMap<SessionId, SessionState>) {
        self.disconnect_all();
        self.tree = tree;
        self.sessions = sessions;
        self.fresh_timeouts();
        self.changed();
    }

    pub(in crate::fake) fn session_states(&self) -> BTreeMap<SessionId, SessionState> {
        self.sessions.clone()
    }

    /// Every session has its whole timeout from now on, whether its client still wants it or not.
    pub(super) fn fresh_timeouts(&mut self) {
        for id in self.sessions() {
            self.silent_from_now(id);
        }
    }

    pub(super) fn accept(&mut self, session: SessionId) -> Accepted {
        self.last_connection += 1;
        let connection = ConnectionId(self.last_connection);
        let (ended, is_ended) = watch::channel(false);
        self.connections.insert(
            connection,
            Connection { session, mute: false, sent: VecDeque::new(), last_ticket: 0, ended },
        );
        let timeout = self.timeout;
        if let Some(session) = self.sessions.get_mut(&session) {
            session.deadline = None;
            session.timeout = timeout;
        }
        self.changed();
        Accepted { connection, session, timeout, ended: is_ended }
    }

    /// A fault: what was under way may have arrived, or may not.
    pub(super) fn break_connection(&mut self, id: ConnectionId) {
        if self.random.as_mut().is_some_and(RngExt::random) {
            self.execute_unheard(id);
        }
        self.end_connection(id);
    }

    pub(super) fn end_connection(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.remove(&id) else { return };
        self.watches.end(id);
        connection.ended.send_replace(true);
        // A half-open link was silent before, and stays as silent.
        if !connection.mute {
            self.silent_from_now(connection.session);
        }
        self.changed();
    }

    pub(super) fn connections_of(&self, id: SessionId) -> Vec<ConnectionId> {
        let of = self.connections.iter().filter(|(_, connection)| connection.session == id);
        of.map(|(id, _)| *id).collect()
    }

    pub(super) fn client(&mut self, id: ClientId) -> &mut Client {
        self.clients.get_mut(&id).expect("clients are never taken out")
    }

    pub(super) fn changed(&mut self) {
        self.revision += 1;
    }
}
