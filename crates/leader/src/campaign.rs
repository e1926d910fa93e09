//! The task behind a candidacy: it waits for its turn, and leads for as long as that is safe.

use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use proto::master_normal::MASTER;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::info;
use zk_session::{Grant, Held, Lease, Presence, Renewal, SessionId, Sessions, State};

use crate::candidacy::Status;
use crate::line::{Ahead, ahead_of};
use crate::seat::Seat;
use crate::{Error, LEAST_TIMEOUT, Layout, Leadership, Lost, Term};

/// A leader looks at its lease this often at least: timers may stand still while the machine sleeps, its clock does not.
const LOOK: Duration = Duration::from_millis(100);

/// How long to wait after a server refused something.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// Stands for election with one node. It outlives connections and sessions.
pub(crate) struct Campaign {
    pub(crate) sessions: Sessions,
    pub(crate) layout: Layout,
    pub(crate) directory: String,
    pub(crate) lease: Lease,
    pub(crate) status: watch::Sender<Status>,
    pub(crate) seat: Arc<Seat>,
}

/// A node of ours. What was concluded for it is true for as long as it is there, on every connection.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    path: String,
    session: SessionId,
    term: Term,
}

impl Campaign {
    /// Stands for election until we resign, are refused, or the keeper is closed.
    pub(crate) async fn run(self, presence: Arc<Presence>) {
        let refused = tokio::select! {
            biased;
            () = self.seat.given_up() => None,
            refused = self.stand(presence.status()) => refused,
        };
        presence.let_go();
        presence.gone().await;
        self.status.send_replace(Status::Over { refused });
    }

    /// Stands with one node after the other. Returns why we are refused, or that the keeper was closed.
    async fn stand(&self, mut presence: watch::Receiver<zk_session::Status>) -> Option<Error> {
        // However this ends, nobody is to believe that we lead.
        let _end = StepDownOnDrop(self);
        loop {
            let now = presence.borrow_and_update().clone();
            if let Some(refused) = self.too_short(&now) {
                return Some(refused);
            }
            match now {
                // The presence will tell. Whoever asked for a place in the line now would only be in the way of those who stay.
                zk_session::Status::Held(_) if matches!(*self.sessions.state().borrow(), State::Closed) => {
                    presence.changed().await.ok()?;
                }
                zk_session::Status::Held(held) => {
                    if let Some(renewal) = self.wait_in_line(&held, &mut presence).await {
                        let node = Node::of(&held);
                        let lost = self.lead(held, renewal, &mut presence).await;
                        self.step_down(lost);
                        if lost == Lost::NodeDeleted {
                            until_known(&node, &mut presence).await;
                        }
                    }
                }
                zk_session::Status::Pending { problem } => {
                    self.joining(problem.map(Error::from));
                    presence.changed().await.ok()?;
                }
                zk_session::Status::Missing => {
                    self.joining(None);
                    presence.changed().await.ok()?;
                }
                zk_session::Status::Taken { .. } => {
                    self.waiting(&proto::path::join(&self.directory, MASTER));
                    presence.changed().await.ok()?;
                }
                zk_session::Status::Replaced | zk_session::Status::Gone => return None,
            }
        }
    }

    /// Why it can never lead, whether its turn has come or not: on this connection a lease would be over too soon.
    fn too_short(&self, presence: &zk_session::Status) -> Option<Error> {
        let granted = match (presence, &*self.sessions.state().borrow()) {
            (zk_session::Status::Held(held), _) => held.link.timeout(),
            (zk_session::Status::Taken { .. }, State::Connected { timeout, .. }) => *timeout,
            _ => return None,
        };
        (granted < LEAST_TIMEOUT).then_some(Error::SessionTooShort { granted, least: LEAST_TIMEOUT })
    }

    /// Waits until nobody is ahead of this node; `None` when it is not held any more.
    async fn wait_in_line(
        &self,
        held: &Held,
        presence: &mut watch::Receiver<zk_session::Status>,
    ) -> Option<Renewal> {
        let first = async {
            loop {
                match self.stand_in_line(held).await {
                    Ok(renewal) => return renewal,
                    // The presence will tell.
                    Err(zk_session::Error::Interrupted) => pending().await,
                    Err(error) => self.joining(Some(error.into())),
                }
                sleep(REFUSED_PAUSE).await;
            }
        };
        tokio::select! {
            biased;
            () = gone(held, presence) => None,
            renewal = first => Some(renewal),
        }
    }

    /// Waits on one connection until nobody is ahead. Only the one directly ahead is watched, so that whoever goes wakes one.
    async fn stand_in_line(&self, held: &Held) -> Result<Renewal, zk_session::Error> {
        let mut renewal = None;
        while let Some(ahead) = self.ahead_of(held).await? {
            drop(renewal.take());
            self.waiting(&ahead.path);
            let leads = ahead.leads;
            ahead.gone(&held.link).await?;
            // The proof of our lease is asked for together with the list that will most likely make us the first.
            renewal = leads.then(|| self.lease.renew_with(&held.path));
        }
        Ok(renewal.unwrap_or_else(|| self.lease.renew_with(&held.path)))
    }

    /// Nobody is ahead of this node: leads whenever the session is known to live, until the node is gone. Connections may
    /// come and go meanwhile.
    async fn lead(
        &self,
        first: Held,
        mut renewal: Renewal,
        presence: &mut watch::Receiver<zk_session::Status>,
    ) -> Lost {
        let node = &Node::of(&first);
        let (mut grants, mut problem) = (self.lease.grants(), self.lease.problem());
        let mut state = self.sessions.state();
        let (mut link, mut seen_first) = (first.link, true);
        let mut look: BoxFuture<'_, bool> = pending().boxed();
        loop {
            let now = presence.borrow_and_update().clone();
            if let Some(lost) = self.end_of(node, &now) {
                return lost;
            }
            // A fenced write has found the node gone, before whoever keeps it.
            if matches!(&*self.status.borrow(), Status::Leading(it) if it.reason() == Some(Lost::NodeDeleted))
            {
                return Lost::NodeDeleted;
            }
            let here = matches!(now, zk_session::Status::Held(_));
            if let zk_session::Status::Held(held) = now
                && !held.link.is_same(&link)
            {
                (link, seen_first) = (held.link.clone(), false);
                look = self.is_first(held).boxed();
            }
            let granted = grants.borrow_and_update().filter(|grant| grant.session == node.session);
            let refused = problem.borrow_and_update().clone();
            // On a connection that nobody has looked on yet, somebody may be ahead again.
            self.go_on(node, granted, refused, here && seen_first);
            let left = match &*self.status.borrow() {
                Status::Leading(leadership) => Some(leadership.left().min(LOOK)),
                _ => None,
            };
            tokio::select! {
                biased;
                kept = presence.changed() => if kept.is_err() {
                    return Lost::Closed;
                },
                () = renewal.missing() => return Lost::NodeDeleted,
                // Who was ahead can only have gone; but ZooKeeper's data may have gone back meanwhile.
                first = &mut look, if !seen_first => {
                    if !first {
                        return Lost::Overtaken;
                    }
                    seen_first = true;
                }
                _ = state.changed() => {}
                _ = grants.changed() => {}
                _ = problem.changed() => {}
                () = sleep(left.unwrap_or_default()), if left.is_some() => {}
            }
        }
    }

    /// Looks on another connection whether nobody is ahead still.
    async fn is_first(&self, held: Held) -> bool {
        loop {
            match self.ahead_of(&held).await {
                Ok(ahead) => return ahead.is_none(),
                // The presence will tell.
                Err(zk_session::Error::Interrupted) => pending().await,
                Err(_) => sleep(REFUSED_PAUSE).await,
            }
        }
    }

    /// The one directly ahead, where candidates stand in a line; else whoever has the node leads.
    async fn ahead_of(&self, held: &Held) -> Result<Option<Ahead>, zk_session::Error> {
        if self.layout.has_line() { ahead_of(held, &self.directory).await } else { Ok(None) }
    }

    /// Why this node can lead no more, if that is so. Not being connected is no reason: the lease decides then.
    fn end_of(&self, node: &Node, presence: &zk_session::Status) -> Option<Lost> {
        match *self.sessions.state().borrow() {
            State::Closed => return Some(Lost::Closed),
            State::Connected { id, .. } | State::Suspended { id, .. } if id != node.session => {
                return Some(Lost::SessionEnded);
            }
            // On another connection that is refused: see `stand`.
            State::Connected { timeout, .. } if timeout < LEAST_TIMEOUT => return Some(Lost::LeaseEnded),
            State::Connected { .. } | State::Suspended { .. } | State::Connecting { .. } => {}
        }
        match presence {
            zk_session::Status::Pending { .. } => None,
            zk_session::Status::Held(held) if Node::of(held) == *node => None,
            zk_session::Status::Held(_) | zk_session::Status::Missing | zk_session::Status::Taken { .. } => {
                Some(Lost::NodeDeleted)
            }
            zk_session::Status::Replaced | zk_session::Status::Gone => Some(Lost::Closed),
        }
    }

    /// Makes of what was granted what is told.
    fn go_on(
        &self,
        node: &Node,
        granted: Option<Grant>,
        refused: Option<zk_session::Error>,
        may_begin: bool,
    ) {
        let counts = |grant: &Grant| self.sessions.honors(grant) && self.sessions.now() < grant.until;
        let valid = granted.filter(counts);
        if let Status::Leading(leadership) = &*self.status.borrow() {
            if let Some(Grant { until, .. }) = valid {
                leadership.extend(until);
            }
            if valid.is_some() && leadership.holds() {
                return;
            }
        }
        self.step_down(Lost::LeaseEnded);
        match valid {
            Some(grant) if may_begin => self.begin(node, grant),
            _ => self.first(refused.map(Error::from)),
        }
    }

    fn begin(&self, node: &Node, grant: Grant) {
        let Node { path, session, term } = node.clone();
        let leadership = Leadership::new(term, path, grant, self.sessions.clone(), &self.seat);
        if self.seat.take(&leadership) {
            info!(path = leadership.path(), %term, %session, "we lead");
            self.status.send_replace(Status::Leading(leadership));
        }
    }

    /// Ends the leadership, if there is one: first here, then for those who follow the status.
    fn step_down(&self, lost: Lost) {
        let leadership = match &*self.status.borrow() {
            Status::Leading(leadership) => leadership.clone(),
            _ => return,
        };
        leadership.lose(lost);
        let reason = leadership.reason().unwrap_or(lost);
        info!(path = leadership.path(), term = %leadership.term(), %reason, "we lead no more");
        self.status.send_replace(Status::Joining { problem: None });
    }

    fn joining(&self, problem: Option<Error>) {
        self.tell(Status::Joining { problem });
    }

    fn first(&self, problem: Option<Error>) {
        self.tell(Status::First { problem });
    }

    fn waiting(&self, ahead: &str) {
        self.tell(Status::Waiting { ahead: ahead.to_owned() });
    }

    /// Tells how we stand, if that is news.
    fn tell(&self, now: Status) {
        let text = |problem: &Option<Error>| problem.as_ref().map(ToString::to_string);
        self.status.send_if_modified(|told| {
            let known = match (&*told, &now) {
                (Status::Joining { problem: told }, Status::Joining { problem: now })
                | (Status::First { problem: told }, Status::First { problem: now }) => {
                    text(told) == text(now)
                }
                (Status::Waiting { ahead: told }, Status::Waiting { ahead: now }) => told == now,
                _ => false,
            };
            if !known {
                *told = now;
            }
            !known
        });
    }
}

impl Node {
    fn of(held: &Held) -> Self {
        let term =
            held.czxid.expect("unknown only where nodes of names of their own are made many at a time");
        Self { path: held.path.clone(), session: held.session(), term: Term(term) }
    }
}

/// Waits until this is not held any more, or not on this connection.
async fn gone(held: &Held, presence: &mut watch::Receiver<zk_session::Status>) {
    let still = |status: &zk_session::Status| match status {
        zk_session::Status::Held(now) => now.link.is_same(&held.link) && Node::of(now) == Node::of(held),
        _ => false,
    };
    // An error means that nobody keeps the node.
    let _ = presence.wait_for(|status| !still(status)).await;
}

/// A node was found to be gone. Waits until whoever keeps it knows that as well: nobody stands with it before.
async fn until_known(node: &Node, presence: &mut watch::Receiver<zk_session::Status>) {
    let now = presence.borrow().clone();
    if let zk_session::Status::Held(held) = now
        && Node::of(&held) == *node
    {
        gone(&held, presence).await;
    }
}

struct StepDownOnDrop<'a>(&'a Campaign);

impl Drop for StepDownOnDrop<'_> {
    fn drop(&mut self) {
        let resigned = self.0.seat.is_given_up();
        self.0.step_down(if resigned { Lost::Resigned } else { Lost::Closed });
    }
}

impl fmt::Debug for Campaign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Campaign").field("directory", &self.directory).finish_non_exhaustive()
    }
}
