//! What a leader holds: a term, and a lease that it asks before it acts.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use zk_session::{Grant, Moment, SessionId, Sessions};

use crate::seat::Seat;

/// The number of a leadership: every later one, of whatever process, has a greater one. This is the fencing token.
///
/// It is the transaction that made the leader's node, so the same node that leads again after a lapse has the same term. Where
/// ZooKeeper's data is restored from an older snapshot, terms go back with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Term(pub i64);

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// That this process leads, for as long as [`holds`](Self::holds) says so. Clones are the same leadership.
///
/// Ask `holds` at the moment of acting, every time, and send the [`term`](Self::term) along: a resource that keeps the greatest
/// term and refuses smaller ones is safe also when this process is stopped between the question and the act, which no
/// question can exclude.
///
/// ```
/// # async fn write(_: &str, _: leader::Term) {}
/// # async fn example(leadership: leader::Leadership) {
/// while leadership.holds() {
///     write("next", leadership.term()).await;
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct Leadership(Arc<Reign>);

struct Reign {
    term: Term,
    path: String,
    /// The first that it had: what is granted later is on the same terms.
    grant: Grant,
    sessions: Sessions,
    /// Until when it holds, in nanoseconds of the lease's clock; [`OVER`] when anybody was told that it does not.
    until: AtomicU64,
    lost: watch::Sender<Option<Lost>>,
    seat: Weak<Seat>,
}

/// No answer of `holds` after this is ever a yes.
const OVER: u64 = 0;

/// Why a leadership is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// We gave it up.
    #[error("resigned")]
    Resigned,
    /// It could not be proved in time that our session lives: the connection is lost, the servers have no quorum, or this
    /// process was stopped. We lead again, in the same term, if the session turns out to live still.
    #[error("lease-ended")]
    LeaseEnded,
    /// Somebody deleted our node.
    #[error("node-deleted")]
    NodeDeleted,
    /// Somebody is ahead of us who was not: ZooKeeper's data was restored from an older state.
    #[error("overtaken")]
    Overtaken,
    /// ZooKeeper has ended our session, and our node with it.
    #[error("session-ended")]
    SessionEnded,
    /// The keeper of the sessions was closed.
    #[error("closed")]
    Closed,
}

impl Leadership {
    pub(crate) fn new(term: Term, path: String, grant: Grant, sessions: Sessions, seat: &Arc<Seat>) -> Self {
        let (until, lost) = (AtomicU64::new(nanos(grant.until)), watch::Sender::new(None));
        Self(Arc::new(Reign { term, path, grant, sessions, until, lost, seat: Arc::downgrade(seat) }))
    }

    /// Whether this process leads at this moment. Costs little more than reading a clock: no lock, no request, no allocation.
    ///
    /// Once the answer is no it is never yes again; whoever leads after a lapse has another `Leadership`.
    pub fn holds(&self) -> bool {
        loop {
            let until = self.0.until.load(Ordering::SeqCst);
            if until == OVER {
                return false;
            }
            if self.0.is_within(until) {
                // What became of it while the clock was read: reading it may have taken long.
                return self.0.until.load(Ordering::SeqCst) != OVER && self.0.sessions.honors(&self.0.grant);
            }
            if self.0.replace(until, OVER) {
                return false;
            }
        }
    }

    /// The fencing token.
    pub fn term(&self) -> Term {
        self.0.term
    }

    /// The node of this candidate.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// The session that owns it.
    pub fn session(&self) -> SessionId {
        self.0.grant.session
    }

    /// How much of the lease is left. It is renewed all the time; nothing when it does not hold.
    pub fn left(&self) -> Duration {
        let until = Duration::from_nanos(self.0.until.load(Ordering::SeqCst));
        if self.holds() { Moment::after_origin(until).since(self.0.sessions.now()) } else { Duration::ZERO }
    }

    /// Waits until it is over, and tells why.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn lost(&self) -> Lost {
        let mut lost = self.0.lost.subscribe();
        let reason = lost.wait_for(Option::is_some).await.ok().and_then(|reason| *reason);
        // We hold a sender, and wait for a reason.
        reason.unwrap_or(Lost::Closed)
    }

    /// Why it is over, if it is known to be.
    pub fn reason(&self) -> Option<Lost> {
        *self.0.lost.borrow()
    }

    /// Gives the leadership up and leaves the election, as [`Candidacy::resign`](crate::Candidacy::resign) does, without
    /// waiting for ZooKeeper. Nothing holds any more when this returns, no later leadership of the same candidacy either,
    /// and the next one leads as soon as our node is gone. To stand again, campaign again.
    pub fn resign(&self) {
        self.lose(Lost::Resigned);
        if let Some(seat) = self.0.seat.upgrade() {
            seat.give_up();
        }
    }

    pub(crate) fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    /// Moves the end of the lease, unless it is over.
    pub(crate) fn extend(&self, to: Moment) {
        while self.holds() {
            let until = self.0.until.load(Ordering::SeqCst);
            // Whoever was told no meanwhile is not contradicted.
            if until == OVER || until >= nanos(to) || self.0.replace(until, nanos(to)) {
                return;
            }
        }
    }

    /// It is over now; the first reason counts.
    pub(crate) fn lose(&self, reason: Lost) {
        self.0.until.store(OVER, Ordering::SeqCst);
        self.0.lost.send_if_modified(|told| {
            let first = told.is_none();
            told.get_or_insert(reason);
            first
        });
    }
}

impl Reign {
    fn is_within(&self, until: u64) -> bool {
        self.sessions.honors(&self.grant) && nanos(self.sessions.now()) < until
    }

    fn replace(&self, until: u64, by: u64) -> bool {
        self.until.compare_exchange(until, by, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

/// Enough for 584 years.
fn nanos(moment: Moment) -> u64 {
    moment.since_origin().as_nanos().try_into().unwrap_or(u64::MAX)
}

impl fmt::Debug for Leadership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reign { term, path, grant, .. } = &*self.0;
        f.debug_struct("Leadership")
            .field("term", term)
            .field("path", path)
            .field("session", &grant.session)
            .field("lost", &self.reason())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use zk_session::fake::{FakeClient, FakeZk};
    use zk_session::{Backoff, Clock, Connect, Keeper, Session};

    use super::*;

    /// A clock that shows what a test says, also what no clock should.
    #[derive(Debug, Default)]
    struct Hands(AtomicU64);

    impl Clock for Hands {
        fn now(&self) -> Moment {
            Moment::after_origin(Duration::from_secs(self.0.load(Ordering::SeqCst)))
        }
    }

    struct Timed(FakeClient, Arc<Hands>);

    #[async_trait::async_trait]
    impl Connect for Timed {
        fn clock(&self) -> Arc<dyn Clock> {
            self.1.clone()
        }

        async fn connect(&self) -> Result<Arc<dyn Session>, zk_session::Error> {
            self.0.connect().await
        }

        async fn close(&self) {
            self.0.close().await;
        }
    }

    fn at(second: u64) -> Moment {
        Moment::after_origin(Duration::from_secs(second))
    }

    struct Led {
        leadership: Leadership,
        clock: Arc<Hands>,
        keeper: Keeper,
        seat: Arc<Seat>,
    }

    async fn led(until: u64) -> Led {
        let clock = Arc::new(Hands::default());
        let connect = Timed(FakeZk::default().client(), clock.clone());
        let keeper = Keeper::start_with(Arc::new(connect), Backoff::default());
        let sessions = keeper.sessions();
        let lease = sessions.lease();
        let _renewal = lease.renew_with("/");
        let mut grants = lease.grants();
        let mut grant = grants.wait_for(Option::is_some).await.unwrap().unwrap();
        grant.until = at(until);
        let seat = Arc::new(Seat::default());
        let leadership = Leadership::new(Term(7), "/a-0".to_owned(), grant, sessions, &seat);
        Led { leadership, clock, keeper, seat }
    }

    #[tokio::test]
    async fn it_holds_before_the_end_of_the_lease_and_not_at_it() {
        let Led { leadership, clock, keeper: _keeper, .. } = led(10).await;
        for (second, holds) in [(0, true), (9, true), (10, false)] {
            clock.0.store(second, Ordering::SeqCst);
            assert_eq!(
                leadership.left(),
                if holds { Duration::from_secs(10 - second) } else { Duration::ZERO }
            );
            assert_eq!(leadership.holds(), holds, "{second}");
        }
    }

    #[tokio::test]
    async fn it_is_extended_while_it_holds_and_never_shortened() {
        let Led { leadership, clock, keeper: _keeper, .. } = led(10).await;
        for (until, left) in [(15, 15), (12, 15), (20, 20)] {
            leadership.extend(at(until));
            assert_eq!(leadership.left(), Duration::from_secs(left));
        }
        clock.0.store(20, Ordering::SeqCst);
        leadership.extend(at(30));
        assert!(!leadership.holds(), "it was over when it was to be extended");
    }

    #[tokio::test]
    async fn who_was_told_no_is_never_told_yes() {
        let Led { leadership, clock, keeper: _keeper, .. } = led(10).await;
        clock.0.store(10, Ordering::SeqCst);
        assert!(!leadership.holds());
        clock.0.store(5, Ordering::SeqCst);
        assert!(!leadership.holds());
        leadership.extend(at(100));
        assert!(!leadership.holds());
    }

    #[tokio::test]
    async fn the_first_reason_for_its_end_is_the_one_that_is_told() {
        let Led { leadership, keeper: _keeper, .. } = led(10).await;
        assert_eq!(leadership.reason(), None);
        leadership.lose(Lost::NodeDeleted);
        leadership.resign();
        assert!(!leadership.holds());
        assert_eq!(
            (leadership.reason(), leadership.lost().await),
            (Some(Lost::NodeDeleted), Lost::NodeDeleted)
        );
    }

    #[tokio::test]
    async fn it_holds_in_its_own_session_only() {
        let Led { leadership, keeper, .. } = led(10).await;
        keeper.close().await;
        assert!(!leadership.holds());
    }

    #[tokio::test]
    async fn who_gives_an_old_leadership_up_gives_up_the_later_ones_too() {
        let Led { leadership: old, keeper: _keeper, seat, .. } = led(10).await;
        old.lose(Lost::LeaseEnded);
        let new = Leadership::new(Term(7), "/a-0".to_owned(), old.0.grant, old.0.sessions.clone(), &seat);
        assert!(seat.take(&new) && new.holds());
        old.resign();
        assert!(!new.holds());
        assert_eq!((old.reason(), new.reason()), (Some(Lost::LeaseEnded), Some(Lost::Resigned)));
        let late = Leadership::new(Term(7), "/a-0".to_owned(), old.0.grant, old.0.sessions.clone(), &seat);
        assert!(!seat.take(&late), "nobody begins after a resignation");
    }
}
