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

/// What is to be checked in one request: the numbers of nodes, each with what checks it.
type Checks = Vec<(u64, Op)>;

/// Which nodes were refused: their numbers and their paths.
type Refusals = Vec<(u64, String)>;

struct Checked {
    path: String,
    missing: watch::Sender<bool>,
    /// Why a server refused to check it.
    refused: Option<Error>,
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
        nodes.checked.insert(number, Checked { path: path.to_owned(), missing, refused: None });
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
                    loop {
                        tokio::select! {
                            () = sleep(due.since(this.clock.now())) => break,
                            () = this.more.notified() => {}
                        }
                        // Beside those that are due, which would come too late for what was sent before.
                        this.ask(&link).await?;
                    }
                }
            }
        };
        let _: Option<()> = sessions.each(ask_on).await;
    }

    /// Reads, where nobody needs more. Otherwise writes, in one request unless there are very many nodes. Those that we may not
    /// check are looked at apart, so that they cost the others nothing, however many they are.
    async fn ask(&self, link: &Link) -> Result<(), Error> {
        let (refused, nodes) = lock(&self.nodes).to_check();
        if refused.is_empty() && nodes.is_empty() {
            let called = self.clock.now();
            let read = link.exists("/").await.map(drop);
            self.learn(link, called, false, read)?;
            self.report(None);
            return Ok(());
        }
        let mut refusal = None;
        for nodes in nodes.chunks(MAX_OPS) {
            refusal = self.write(link, nodes.to_vec()).await?.or(refusal);
        }
        if !refused.is_empty() {
            refusal = self.look(link, refused).await?.or(refusal);
        }
        let refused = lock(&self.nodes).refused();
        self.report(refused.or(refusal));
        Ok(())
    }

    /// Checks all of `nodes` in one request; again without those that are missing, or that we may not check. Gives the refusal
    /// of the whole.
    async fn write(&self, link: &Link, mut nodes: Checks) -> Result<Option<Error>, Error> {
        while !nodes.is_empty() {
            let called = self.clock.now();
            match self.commit(link, &nodes).await {
                Err(Error::Aborted { index, source }) if index < nodes.len() && is_of_one(&source) => {
                    let (number, _) = nodes.remove(index);
                    // It must not end the leaderships of the others.
                    lock(&self.nodes).failed(number, *source);
                    self.learn(link, called, false, Ok(()))?;
                }
                written => {
                    let refusal =
                        written.clone().err().filter(|error| matches!(error, Error::Rejected { .. }));
                    self.learn(link, called, true, written)?;
                    return Ok(refusal);
                }
            }
        }
        Ok(None)
    }

    /// Looks at those that were refused: who may read a node may check it. What the write before saw is seen here as well, so one that is
    /// missing is found no later than by a check, though a check of several ends at the first that is refused.
    async fn look(&self, link: &Link, refused: Refusals) -> Result<Option<Error>, Error> {
        let called = self.clock.now();
        let (numbers, paths): (Vec<_>, Vec<_>) = refused.into_iter().unzip();
        let answer = link.get_many(&paths).await.map(|found| {
            let mut nodes = lock(&self.nodes);
            for (number, found) in numbers.into_iter().zip(found) {
                match found {
                    Ok(Some(_)) => nodes.allowed(number),
                    Ok(None) => nodes.failed(number, Error::NoNode),
                    Err(error) => nodes.failed(number, error),
                }
            }
        });
        let refusal = answer.clone().err().filter(|error| matches!(error, Error::Rejected { .. }));
        self.learn(link, called, false, answer)?;
        Ok(refusal)
    }

    async fn commit(&self, link: &Link, nodes: &[(u64, Op)]) -> Result<(), Error> {
        let ops: Vec<_> = nodes.iter().map(|(_, op)| op.clone()).collect();
        link.commit(&ops).await
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

impl Nodes {
    /// Those that were refused, and what checks all others.
    fn to_check(&self) -> (Refusals, Checks) {
        let (mut refused, mut others) = (Vec::new(), Vec::new());
        for (number, Checked { path, refused: refusal, .. }) in &self.checked {
            match refusal {
                Some(_) => refused.push((*number, path.clone())),
                None => others.push((*number, Op::Check { path: path.clone(), version: None })),
            }
        }
        (refused, others)
    }

    /// A check found the node missing, or was refused.
    fn failed(&mut self, number: u64, error: Error) {
        if matches!(error, Error::NoNode) {
            if let Some(node) = self.checked.remove(&number) {
                node.missing.send_replace(true);
            }
        } else if let Some(node) = self.checked.get_mut(&number) {
            node.refused = Some(error);
        }
    }

    /// It may be checked again.
    fn allowed(&mut self, number: u64) {
        if let Some(node) = self.checked.get_mut(&number) {
            node.refused = None;
        }
    }

    /// Why one of them is not checked with the others: always the same one's reason, so that it is told once.
    fn refused(&self) -> Option<Error> {
        self.checked.values().find_map(|node| node.refused.clone())
    }
}

/// Whether this is about one node, and not about the request.
fn is_of_one(error: &Error) -> bool {
    matches!(error, Error::NoNode | Error::Rejected { .. })
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
