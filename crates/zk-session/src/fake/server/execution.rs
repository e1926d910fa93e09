//! Requests on their way, and what they do when they arrive.

use std::collections::BTreeSet;

use super::{ConnectionId, Fault, Request, Run, Server};
use crate::fake::requests::Asked;
use crate::fake::tree::{Author, Done, Failed};
use crate::{Error, Op, SessionId};

impl Server {
    /// Puts a request on its way; `None` when the connection is gone.
    pub(in crate::fake) fn send(&mut self, by: ConnectionId, asked: Asked, run: Run) -> Option<u64> {
        let connection = self.connections.get_mut(&by)?;
        connection.last_ticket += 1;
        let ticket = connection.last_ticket;
        connection.sent.push_back(Request { ticket, asked, run });
        Some(ticket)
    }

    /// Executes what was sent on this connection, in order, up to `ticket`.
    pub(in crate::fake) fn execute(&mut self, by: ConnectionId, ticket: u64) {
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

    pub(super) fn execute_unheard(&mut self, by: ConnectionId) {
        while let Some((request, _)) = self.next_request(by, u64::MAX) {
            (request.run)(self, by, false);
        }
    }

    pub(super) fn next_request(&mut self, by: ConnectionId, ticket: u64) -> Option<(Request, SessionId)> {
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

    pub(super) fn fault(&mut self, asked: Asked, of: SessionId) -> Option<Fault> {
        if !asked.is_write() {
            return None;
        }
        let own = self.sessions.get_mut(&of).and_then(|session| session.faults.pop_front());
        own.or_else(|| self.faults.pop_front())
    }

    /// Writes for the session behind `by`, and tells who watches.
    pub(in crate::fake) fn write(&mut self, by: ConnectionId, ops: &[Op]) -> Result<Done, Failed> {
        let Some(connection) = self.connections.get(&by) else {
            return Err(Failed { index: 0, error: Error::Interrupted });
        };
        let author = Author {
            session: connection.session,
            at: self.wall_clock(),
            writes_refused: &self.writes_refused,
            reads_refused: &self.reads_refused,
        };
        let done = self.tree.write(ops, author)?;
        self.watches.raise(&done.changes);
        self.changed();
        Ok(done)
    }

    /// Writes by hand, past all refusals; persistent unless an owner is named.
    pub(in crate::fake) fn edit(&mut self, ops: &[Op], owner: Option<SessionId>) -> Result<Done, Failed> {
        let nowhere = BTreeSet::new();
        let session = owner.unwrap_or(SessionId(0));
        let at = self.wall_clock();
        let author = Author { session, at, writes_refused: &nowhere, reads_refused: &nowhere };
        let done = self.tree.write(ops, author)?;
        self.watches.raise(&done.changes);
        self.changed();
        Ok(done)
    }
}
