//! Which services are followed: each once, for everybody.

mod asked;
mod followed;
mod published;
mod revision;
mod services;
mod sought;
mod upstreams;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::time::Duration;

use leader::Election;
use proto::ServiceName;
use registry::Registry;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::debug;

pub use self::asked::Answer;
use self::asked::Asked;
pub use self::followed::Followed;
pub use self::published::{Leading, Published};
pub use self::revision::Revision;
use self::revision::Revisions;
pub use self::services::{Callable, Counts, Elsewhere, Existence};

/// How a [`Fleet`] follows.
#[derive(Clone, Debug)]
pub struct Options {
    /// A service that nobody asked for in so long is let go. Default: 5 min.
    pub idle: Duration,
    /// More services than this are not followed at the same time. Default: 10,000.
    pub most: usize,
    /// How long somebody who asks waits for ZooKeeper. Default: 2 s.
    pub patience: Duration,
    /// Whether whoever is the master takes no requests that others may answer: in the master/normal layout. Default: no.
    pub roles: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { idle: Duration::from_secs(300), most: 10_000, patience: Duration::from_secs(2), roles: false }
    }
}

/// The services that are followed: each by one [`Discovery`](registry::Discovery) and one [`Observer`](leader::Observer), from when
/// it is first asked for until nobody asked for a while. Clones are the same fleet.
#[derive(Clone)]
pub struct Fleet {
    shared: Arc<Shared>,
}

struct Shared {
    registry: Registry,
    election: Option<Election>,
    options: Options,
    revisions: Arc<Revisions>,
    /// Followed for ever, and there for certain, whoever is registered.
    configured: BTreeSet<ServiceName>,
    callable: Callable,
    followed: RwLock<HashMap<ServiceName, Entry>>,
    /// How many services targets for Prometheus lacked the last time because no more may be followed.
    left_out: AtomicUsize,
    /// What moments are counted from.
    start: Instant,
    names: Asked<BTreeSet<ServiceName>>,
    counts: Asked<Counts>,
}

struct Entry {
    followed: Arc<Followed>,
    /// When it was last asked for, in milliseconds since the start.
    asked: AtomicU64,
}

/// As many services are followed as may be.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{most} services are followed already, and no more may be")]
pub struct Full {
    most: usize,
}

impl Fleet {
    /// A fleet that follows `configured` from now on, and others when they are asked for.
    ///
    /// `election` is `None` where the layout knows none.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start(
        registry: Registry,
        election: Option<Election>,
        configured: impl IntoIterator<Item = ServiceName>,
        options: Options,
    ) -> Self {
        let configured = configured.into_iter().collect();
        let shared = Arc::new(Shared {
            callable: Callable::of(registry.layout(), &configured),
            registry,
            election,
            options,
            revisions: Arc::default(),
            configured,
            followed: RwLock::default(),
            left_out: AtomicUsize::new(0),
            start: Instant::now(),
            names: Asked::default(),
            counts: Asked::default(),
        });
        tokio::spawn(let_go(Arc::downgrade(&shared), shared.options.idle));
        let fleet = Self { shared };
        for service in &fleet.shared.configured {
            fleet.insert(service.clone());
        }
        fleet
    }

    /// The registry that it follows in.
    pub fn registry(&self) -> &Registry {
        &self.shared.registry
    }

    /// Whether somebody can lead in this layout.
    pub fn has_elections(&self) -> bool {
        self.shared.election.is_some()
    }

    /// How long somebody who asks waits for ZooKeeper.
    pub fn patience(&self) -> Duration {
        self.shared.options.patience
    }

    /// The services that are followed whoever asks.
    pub fn configured(&self) -> &BTreeSet<ServiceName> {
        &self.shared.configured
    }

    /// A service that is followed already.
    pub fn followed(&self, service: &ServiceName) -> Option<Arc<Followed>> {
        let followed = self.shared.read();
        let entry = followed.get(service)?;
        entry.asked.store(self.shared.millis(), Ordering::Relaxed);
        Some(entry.followed.clone())
    }

    /// A service, followed from now on.
    ///
    /// # Errors
    ///
    /// When as many are followed as may be.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn follow(&self, service: &ServiceName) -> Result<Arc<Followed>, Full> {
        if let Some(followed) = self.followed(service) {
            return Ok(followed);
        }
        let most = self.shared.options.most;
        let mut all = self.shared.write();
        if all.len() >= most && !all.contains_key(service) {
            return Err(Full { most });
        }
        Ok(self.shared.insert(&mut all, service.clone()))
    }

    /// A service, followed from now on, however many there are.
    fn insert(&self, service: ServiceName) -> Arc<Followed> {
        self.shared.insert(&mut self.shared.write(), service)
    }

    /// Follows a service no more that turned out to be none: nothing was heard of it, and nobody else has it.
    fn let_go(&self, followed: Arc<Followed>) {
        let mut all = self.shared.write();
        let service = followed.service().clone();
        // Inside the lock, so that of several who let it go at the same time the last one sees that it is.
        drop(followed);
        let is_needed = |entry: &Entry| {
            let Entry { followed, .. } = entry;
            followed.now().is_some() || Arc::strong_count(followed) > 1 || followed.has_listeners()
        };
        if !self.shared.configured.contains(&service) && !all.get(&service).is_none_or(is_needed) {
            all.remove(&service);
        }
    }

    /// Notes how many services somebody wanted to follow, all that there are, who may not. Gives how many they were the time before.
    pub(crate) fn leave_out(&self, services: usize) -> usize {
        self.shared.left_out.swap(services, Ordering::Relaxed)
    }

    /// How many those are.
    pub(crate) fn left_out(&self) -> usize {
        self.shared.left_out.load(Ordering::Relaxed)
    }

    /// All that are followed now, in the order of their names.
    pub fn all_followed(&self) -> Vec<Arc<Followed>> {
        let mut all: Vec<_> = self.shared.read().values().map(|entry| entry.followed.clone()).collect();
        all.sort_by(|a, b| a.service().cmp(b.service()));
        all
    }
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet").field("followed", &self.shared.read().len()).finish_non_exhaustive()
    }
}

impl Shared {
    fn read(&self) -> RwLockReadGuard<'_, HashMap<ServiceName, Entry>> {
        self.followed.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<ServiceName, Entry>> {
        self.followed.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn insert(&self, all: &mut HashMap<ServiceName, Entry>, service: ServiceName) -> Arc<Followed> {
        let Self { registry, election, options, revisions, .. } = self;
        let entry = all.entry(service).or_insert_with_key(|service| {
            debug!(%service, "follows a service");
            let discovery = registry.follow(service);
            let observer = election.as_ref().map(|election| election.observe(service));
            let followed = Followed::start(discovery, observer, options.roles, revisions.clone());
            Entry { followed: Arc::new(followed), asked: AtomicU64::new(0) }
        });
        entry.asked.store(self.millis(), Ordering::Relaxed);
        entry.followed.clone()
    }

    /// Lets those go that nobody has and nobody asked for in a while.
    fn sweep(&self, idle: Duration) {
        let now = self.millis();
        let idle = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        self.write().retain(|service, entry| {
            let used = Arc::strong_count(&entry.followed) > 1 || entry.followed.has_listeners();
            if used {
                entry.asked.store(now, Ordering::Relaxed);
            }
            let stays = self.configured.contains(service)
                || now.saturating_sub(entry.asked.load(Ordering::Relaxed)) < idle;
            if !stays {
                debug!(%service, "follows a service no more");
            }
            stays
        });
    }
}

async fn let_go(shared: Weak<Shared>, idle: Duration) {
    let mut ticks = interval((idle / 4).max(Duration::from_millis(100)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        shared.sweep(idle);
    }
}
