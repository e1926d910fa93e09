//! Sessions: how they begin, and how they end.

use std::collections::{BTreeSet, VecDeque};

use tokio::time::Instant;

use super::{ConnectionId, Fault, Server, SessionState};
use crate::fake::tree::Author;
use crate::{Op, SessionId};

impl Server {
    pub(in crate::fake) fn sessions(&self) -> Vec<SessionId> {
        self.sessions.keys().copied().collect()
    }

    pub(in crate::fake) fn connected(&self, id: SessionId) -> bool {
        self.connections.values().any(|connection| connection.session == id)
    }

    /// A session of nobody: it lives until it is ended by hand.
    pub(in crate::fake) fn stranger(&mut self) -> SessionId {
        self.new_session(true)
    }

    /// Makes sure that there is such a session.
    pub(in crate::fake) fn adopt(&mut self, id: SessionId) {
        if !self.sessions.contains_key(&id) {
            self.begin_session(id, true);
        }
    }

    /// Ends a session: its connections go, then its nodes.
    pub(in crate::fake) fn expire(&mut self, id: SessionId) {
        for connection in self.connections_of(id) {
            self.end_connection(connection);
        }
        self.forget_session(id);
    }

    /// When the next session ends unless it is heard of.
    pub(in crate::fake) fn next_deadline(&self) -> Option<Instant> {
        if !self.running || self.mute {
            return None;
        }
        self.sessions.values().filter_map(|session| session.deadline).min()
    }

    /// Ends all sessions that were not heard of for too long.
    pub(in crate::fake) fn expire_due(&mut self, now: Instant) {
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

    pub(in crate::fake) fn fault_of(&mut self, id: SessionId, fault: Fault) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.faults.push_back(fault);
        }
    }

    pub(super) fn new_session(&mut self, stranger: bool) -> SessionId {
        self.last_session += 1;
        let id = SessionId(self.last_session);
        self.begin_session(id, stranger);
        id
    }

    pub(super) fn begin_session(&mut self, id: SessionId, stranger: bool) {
        let faults = VecDeque::new();
        self.sessions.insert(id, SessionState { timeout: self.timeout, deadline: None, stranger, faults });
        self.tree.count();
        self.changed();
    }

    pub(super) fn forget_session(&mut self, id: SessionId) {
        if self.sessions.remove(&id).is_none() {
            return;
        }
        let deletes: Vec<Op> =
            self.tree.ephemerals(id).into_iter().map(|path| Op::Delete { path, version: None }).collect();
        // No ACL stands in the way of a session's end.
        let nowhere = BTreeSet::new();
        let at = self.wall_clock();
        let author = Author { session: id, at, writes_refused: &nowhere, reads_refused: &nowhere };
        if let Ok(done) = self.tree.write(&deletes, author) {
            self.watches.raise(&done.changes);
        }
        self.changed();
    }

    pub(super) fn silent_from_now(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id).filter(|session| !session.stranger) {
            session.deadline = Some(Instant::now() + session.timeout);
            self.deadlines.notify_one();
        }
    }
}
