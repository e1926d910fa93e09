//! A candidacy as it is told to others: every leadership that begins also ends.

use std::sync::Arc;

use cli::output::chain;
use leader::{Candidacy, Error, Leadership, Lost, NodeData, OwnNode, Status, Term};
use tokio::sync::watch;

use crate::withdrawal::Withdrawal;

/// A process that stands for election, and the leadership that was told of it.
///
/// The status of a candidacy is the latest, and fast changes are skipped. Here nothing is: the end of a leadership is asked of
/// itself.
#[derive(Debug)]
pub(crate) struct Candidate {
    candidacy: Candidacy,
    status: watch::Receiver<Status>,
    leading: Option<Leadership>,
    term: Option<Term>,
    /// Where its node is, when that is how others find this process.
    node: Option<watch::Receiver<Option<Arc<OwnNode>>>>,
}

/// Something that happened to a candidate.
#[derive(Debug)]
pub(crate) enum News {
    /// Others find this process by this node.
    Registered(Arc<OwnNode>),
    Leads(Leadership),
    /// The one that was told leads no more.
    LeadsNoMore {
        term: Term,
        why: Lost,
    },
    /// Something that an operator should know; it goes on trying.
    Problem(String),
    /// It will never lead, for this reason.
    Refused(String),
}

impl Candidate {
    pub(crate) fn new(candidacy: Candidacy) -> Self {
        let mut status = candidacy.status();
        // It may be further than its beginning already.
        status.mark_changed();
        Self { candidacy, status, leading: None, term: None, node: None }
    }

    /// The same for one whose node is how others find this process, which is told.
    pub(crate) fn registered_by(candidacy: Candidacy) -> Self {
        let mut node = candidacy.node();
        node.mark_changed();
        Self { node: Some(node), ..Self::new(candidacy) }
    }

    /// The next thing that happens.
    ///
    /// # Cancel safety
    ///
    /// Nothing is missed when this is dropped before it is ready.
    pub(crate) async fn news(&mut self) -> News {
        loop {
            if let Some(leading) = &self.leading {
                let why = tokio::select! {
                    biased;
                    why = leading.lost() => why,
                    node = found(&mut self.node) => return News::Registered(node),
                };
                let term = leading.term();
                self.leading = None;
                // What was said meanwhile was not looked at.
                self.status.mark_changed();
                return News::LeadsNoMore { term, why };
            }
            tokio::select! {
                node = found(&mut self.node) => return News::Registered(node),
                told = self.status.changed() => if told.is_err() {
                    // The last word was said before.
                    return std::future::pending().await;
                },
            }
            let status = self.status.borrow_and_update().clone();
            match status {
                // One that is over before it was told is not told at all.
                Status::Leading(leadership) if leadership.holds() => {
                    self.leading = Some(leadership.clone());
                    self.term = Some(leadership.term());
                    return News::Leads(leadership);
                }
                Status::Joining { problem: Some(problem) } => {
                    return News::Problem(format!("cannot stand for election: {}", chain(&problem)));
                }
                Status::First { problem: Some(problem) } => {
                    return News::Problem(format!("it is our turn, but we cannot lead: {}", chain(&problem)));
                }
                Status::Over { refused: Some(refusal) } => return News::Refused(chain(&refusal)),
                Status::Leading(_)
                | Status::Joining { problem: None }
                | Status::First { problem: None }
                | Status::Waiting { .. }
                | Status::Over { refused: None } => {}
            }
        }
    }

    /// The term of the leadership that was told last, if any was. It may be over, and the same node lead again in the same term.
    pub(crate) fn term(&self) -> Option<Term> {
        self.term
    }

    /// Changes what is said about this candidate.
    pub(crate) fn update(&self, change: impl FnOnce(&mut NodeData)) -> Result<(), Error> {
        self.candidacy.update(change)
    }

    /// Steps down, before this returns, and leaves the line, as soon as ZooKeeper can be told. Gives the leadership that was
    /// told, for its end to be told as well.
    pub(crate) fn resign(self) -> (Option<(Term, Lost)>, Withdrawal) {
        let ended = self.leading.map(|leading| {
            leading.resign();
            // It may have ended before, for another reason.
            (leading.term(), leading.reason().unwrap_or(Lost::Resigned))
        });
        (ended, Withdrawal::start(self.candidacy.resign()))
    }
}

/// The next node that others find this process by.
async fn found(node: &mut Option<watch::Receiver<Option<Arc<OwnNode>>>>) -> Arc<OwnNode> {
    if let Some(node) = node {
        while node.changed().await.is_ok() {
            if let Some(now) = &*node.borrow_and_update() {
                return now.clone();
            }
        }
    }
    std::future::pending().await
}
