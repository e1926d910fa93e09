//! The requests that prove again and again that the session is alive.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tracing::warn;

use crate::evidence::{Answered, Evidence, Written};
use crate::link::Origin;
use crate::{Clock, Error, Link, MAX_OPS, Moment, Op, SessionId, Sessions};

/// What is known of how long a session lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Which session.
    pub session: SessionId,
    /// Before this moment it is surely alive. Nothing is said of the time after it.
    pub until: Moment,
    /// On which terms the session was granted then.
    pub(crate) terms: u64,
}

/// What is asked, and what was learnt from it. It outlives connections and sessions.
pub(crate) struct Renewing {
    clock: Arc<dyn Clock>,
    known: Mutex<Option<Known>>,
    nodes: Mutex<Nodes>,
    /// There is one more node to check.
    more: Notify,
    pub(crate) grants: watch::Sender<Option<Grant>>,
    pub(crate) problem: watch::Sender<Option<Error>>,
}

/// What is known of one session with one timeout.
struct Known {
    session: SessionId,
    terms: u64,
    /// The connection that was heard of last.
    connection: u64,
    evidence: Evidence,
}

/// The nodes that are checked by writes, each with its number.
#[derive(Default)]
struct Nodes {
    last: u64,
    checked: BTreeMap<u64, Checked>,
}

struct Checked {
    path: String,
    missing: watch::Sender<bool>,
}

impl Renewing {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            known: Mutex::default(),
            nodes: Mutex::default(),
            more: Notify::new(),
            grants: watch::Sender::new(None),
            problem: watch::Sender::new(None),
        }
    }

    /// Checks this node from now on. Gives the number by which it is given up, and whether it was found missing.
    pub(crate) fn check(&self, path: &str) -> (u64, watch::Receiver<bool>) {
        let (missing, found) = watch::channel(false);
        let mut nodes = lock(&self.nodes);
        nodes.last += 1;
        let number = nodes.last;
        nodes.checked.insert(number, Checked { path: path.to_owned(), missing });
        drop(nodes);
        self.more.notify_one();
        (number, found)
    }

    pub(crate) fn uncheck(&self, number: u64) {
        lock(&self.nodes).checked.remove(&number);
    }

    /// Asks on every connection, at once and whenever it is due.
    pub(crate) async fn run(self: Arc<Self>, sessions: Sessions) {
        let ask_on = |link: Link| {
            let this = &self;
            async move {
                loop {
                    let called = this.clock.now();
                    this.ask(&link).await?;
                    let due = this.due(&link, called);
                    tokio::select! {
                        () = sleep(due.since(this.clock.now())) => {}
                        () = this.more.notified() => {}
                    }
                }
            }
        };
        let _: Option<()> = sessions.each(ask_on).await;
    }

    /// Reads, where nobody needs more. Otherwise writes, in one request unless there are very many nodes.
    async fn ask(&self, link: &Link) -> Result<(), Error> {
        let nodes: Vec<_> = lock(&self.nodes)
            .checked
            .iter()
            .map(|(number, node)| (*number, Op::Check { path: node.path.clone(), version: None }))
            .collect();
        if nodes.is_empty() {
            let called = self.clock.now();
            let read = link.exists("/").await.map(drop);
            self.learn(link, called, false, read)?;
            self.report(None);
            return Ok(());
        }
        for nodes in nodes.chunks(MAX_OPS) {
            self.write(link, nodes.to_vec()).await?;
        }
        Ok(())
    }

    /// Checks all of `nodes` in one request; again without those that are missing, or that we may not check.
    async fn write(&self, link: &Link, mut nodes: Vec<(u64, Op)>) -> Result<(), Error> {
        let mut refused = None;
        while !nodes.is_empty() {
            let ops: Vec<_> = nodes.iter().map(|(_, op)| op.clone()).collect();
            let called = self.clock.now();
            let written = match link.commit(&ops).await {
                Err(Error::Aborted { index, source }) if index < nodes.len() => match *source {
                    Error::NoNode => {
                        let (number, _) = nodes.remove(index);
                        if let Some(node) = lock(&self.nodes).checked.remove(&number) {
                            node.missing.send_replace(true);
                        }
                        self.learn(link, called, false, Ok(()))?;
                        continue;
                    }
                    error @ Error::Rejected { .. } => {
                        // It must not end the leaderships of the others.
                        nodes.remove(index);
                        self.learn(link, called, false, Ok(()))?;
                        refused = Some(error);
                        continue;
                    }
                    error => Err(error),
                },
                Err(error @ Error::Rejected { .. }) => {
                    refused = Some(error.clone());
                    Err(error)
                }
                written => written,
            };
            self.learn(link, called, true, written)?;
            break;
        }
        self.report(refused);
        Ok(())
    }

    /// Concludes what can be concluded from an answer, a refusal too; passes on that there was none.
    fn learn(
        &self,
        link: &Link,
        called: Moment,
        write: bool,
        answer: Result<(), Error>,
    ) -> Result<(), Error> {
        let written = match answer {
            Ok(()) => write,
            Err(Error::Rejected { .. }) => false,
            Err(error) => return Err(error),
        };
        let at = self.clock.now();
        let Origin { number: connection, asked, terms } = link.origin();
        let mut known = lock(&self.known);
        // What is known of another session says nothing of this one, and nor does what was concluded from another timeout.
        if known.as_ref().is_none_or(|known| known.terms != terms) {
            let evidence = Evidence::new(link.timeout());
            *known = Some(Known { session: link.id(), terms, connection: 0, evidence });
            self.grants.send_replace(None);
        }
        let Some(Known { session, connection: last, evidence, .. }) = &mut *known else { return Ok(()) };
        if std::mem::replace(last, connection) != connection {
            evidence.met(asked, connection);
        }
        if written {
            evidence.written(Written { called, connection });
        }
        evidence.answered(Answered { sent: called, at, connection });
        let grant = evidence.deadline().map(|until| Grant { session: *session, until, terms });
        self.grants.send_if_modified(|told| std::mem::replace(told, grant) != grant);
        Ok(())
    }

    /// Said once, not ten times in each session timeout.
    fn report(&self, refusal: Option<Error>) {
        let text = |error: &Option<Error>| error.as_ref().map(ToString::to_string);
        self.problem.send_if_modified(|told| {
            let new = text(told) != text(&refusal);
            if let (true, Some(error)) = (new, &refusal) {
                warn!(error = error as &dyn std::error::Error, "the lease on the session cannot be renewed");
            }
            *told = refusal;
            new
        });
    }

    /// When the next request is due after the one at `called`.
    fn due(&self, link: &Link, called: Moment) -> Moment {
        let writes = !lock(&self.nodes).checked.is_empty();
        match &*lock(&self.known) {
            Some(known) if writes => known.evidence.next_write(called),
            _ => called + link.timeout() / 10,
        }
    }
}

impl fmt::Debug for Renewing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewing").field("granted", &*self.grants.borrow()).finish_non_exhaustive()
    }
}

/// A panic elsewhere leaves what is behind these locks whole: every change is a single call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
