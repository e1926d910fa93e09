//! The sessions of a process, and what became of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::bail;
use futures::future::try_join_all;
use zk_session::{Link, SessionId, State};

use crate::bench::stage::Ours;

/// Sessions that were opened together.
pub(super) struct Kept(Vec<One>);

/// A session, and which it was at first.
struct One {
    ours: Ours,
    first: SessionId,
    granted: Duration,
    connections: Arc<AtomicUsize>,
}

impl Kept {
    /// So many that the server gives up after such a time.
    pub(super) async fn open(connect: &str, count: u32, session: Duration) -> anyhow::Result<Self> {
        Ok(Self(try_join_all((0..count).map(|_| One::open(connect, session))).await?))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Ours> {
        self.0.iter().map(|one| &one.ours)
    }

    /// The connection of each, once it has one.
    pub(super) async fn links(&self) -> anyhow::Result<Vec<Link>> {
        try_join_all(self.all().map(Ours::link)).await
    }

    /// Waits until each of `before` has ended, and another one has answered.
    pub(super) async fn reconnected(&self, before: &[Link]) -> anyhow::Result<()> {
        for link in before {
            link.ended().await;
        }
        // Every body of the old connection was woken by its end before we were; once a new one has answered, none of them counts as
        // done any more.
        for link in self.links().await? {
            // One that is lost again is followed by another, which is what registrations and lists then wait for.
            let _ = link.sync("/").await;
        }
        Ok(())
    }

    /// How many are not those of the beginning.
    pub(super) fn lost(&self) -> usize {
        self.0.iter().filter(|one| one.is_lost()).count()
    }

    /// After how many milliseconds without a word the server gives the first of them up, as it granted that.
    pub(super) fn granted_ms(&self) -> anyhow::Result<u64> {
        let granted = self.0.first().map_or(Duration::ZERO, |one| one.granted);
        Ok(granted.as_millis().try_into()?)
    }

    /// How often a connection was made.
    pub(super) fn connections(&self) -> usize {
        self.0.iter().map(|one| one.connections.load(Ordering::Relaxed)).sum()
    }

    pub(super) async fn close(self) {
        for one in self.0 {
            one.ours.close().await;
        }
    }
}

impl One {
    async fn open(connect: &str, session: Duration) -> anyhow::Result<Self> {
        let ours = Ours::start(connect, session)?;
        let mut state = ours.registry.sessions().state();
        let connected = state.wait_for(|state| matches!(state, State::Connected { .. })).await;
        let State::Connected { id: first, timeout: granted } = connected?.clone() else {
            bail!("a session was closed while it was opened");
        };
        let connections = Arc::new(AtomicUsize::new(1));
        let counted = connections.clone();
        tokio::spawn(async move {
            while state.changed().await.is_ok() {
                if matches!(*state.borrow_and_update(), State::Connected { .. }) {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Ok(Self { ours, first, granted, connections })
    }

    /// Whether its session is another one by now; without a connection that is not known.
    fn is_lost(&self) -> bool {
        match *self.ours.registry.sessions().state().borrow() {
            State::Connected { id, .. } | State::Suspended { id, .. } => id != self.first,
            State::Connecting { .. } | State::Closed => true,
        }
    }
}
