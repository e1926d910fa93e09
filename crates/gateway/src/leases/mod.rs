//! Instances that are registered on behalf of programs without a ZooKeeper client, for as long as they are renewed.

mod table;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures::future::join_all;
use proto::{InstanceId, NodeData, ServiceName};
use registry::{Registration, Registry, Status};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::info;

use self::table::{Lease, Missing, Table};

/// So many instances at most are registered by one gateway.
const MOST: usize = 20_000;

/// Keeps the nodes of instances whose programs renew them. Clones are the same.
#[derive(Clone)]
pub struct Leases {
    shared: Arc<Shared>,
}

struct Shared {
    registry: Registry,
    state: Mutex<State>,
    /// The next end may be another one.
    changed: Arc<Notify>,
}

#[derive(Default)]
struct State {
    table: Table<Held>,
    closed: bool,
}

struct Held {
    registration: Registration,
    /// Its weight when it is not drained.
    weight: u32,
}

/// An instance that is registered here, at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) token: Box<str>,
    pub(crate) ttl: Duration,
    pub(crate) ends: Instant,
    pub(crate) data: NodeData,
    pub(crate) status: watch::Receiver<Status>,
    /// Whether another program had registered it here before, and may still believe that it has.
    pub(crate) took_over: bool,
}

/// Why something was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// It is not registered here. Register it again.
    #[error("it is not registered by this gateway, or was not renewed in time: register it again")]
    Unknown,
    /// Another program has registered the same id here since.
    #[error("another program has registered the same id since, and has another lease")]
    Another,
    /// Somebody else has registered the same id in ZooKeeper since.
    #[error("a newer process has registered the same id in ZooKeeper since")]
    Replaced,
    /// It cannot be stored.
    #[error("{0}")]
    Invalid(Arc<str>),
    /// There are as many as may be.
    #[error("{MOST} instances are registered by this gateway, and no more may be")]
    Full,
    /// We are about to end.
    #[error("this gateway is being stopped")]
    Closed,
}

impl From<registry::Error> for Refused {
    fn from(error: registry::Error) -> Self {
        match error {
            registry::Error::Invalid(what) => Self::Invalid(what),
            registry::Error::Replaced => Self::Replaced,
            _ => Self::Closed,
        }
    }
}

impl From<Missing> for Refused {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Unknown => Self::Unknown,
            Missing::Another => Self::Another,
        }
    }
}

impl Leases {
    /// Nothing is registered yet.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start(registry: Registry) -> Self {
        let shared = Arc::new(Shared { registry, state: Mutex::default(), changed: Arc::default() });
        tokio::spawn(end_in_time(Arc::downgrade(&shared), shared.changed.clone()));
        Self { shared }
    }

    /// Registers an instance until it is not renewed for `ttl`. Whoever had registered it here before has it no more.
    pub(crate) fn register(
        &self,
        service: &ServiceName,
        id: &InstanceId,
        data: NodeData,
        ttl: Duration,
    ) -> Result<Standing, Refused> {
        let key = (service.clone(), id.clone());
        let now = Instant::now();
        let mut state = self.shared.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        let weight = data.weight;
        // What is there is changed: taken away and announced again, it would not be there in between.
        let took_over = match state.table.find(&key, None, now) {
            Ok(lease) if is_alive(&lease.held.registration) => {
                lease.held.registration.update(|before| *before = data.clone())?;
                true
            }
            _ => false,
        };
        let before = state.table.take(&key, None, now).ok();
        let registration = match before.filter(|_| took_over) {
            Some(lease) => lease.held.registration,
            None if state.table.len() >= MOST => return Err(Refused::Full),
            // One that was replaced was let go above.
            None => self.shared.registry.announce_as(service, id.clone(), data)?,
        };
        let token = format!("{:032x}", rand::random::<u128>()).into_boxed_str();
        let standing = Standing {
            token: token.clone(),
            ttl,
            ends: now + ttl,
            data: registration.data(),
            status: registration.status(),
            took_over,
        };
        state.table.grant(key, token, ttl, now, Held { registration, weight });
        drop(state);
        self.shared.changed.notify_one();
        Ok(standing)
    }

    /// Keeps an instance registered for its whole time again.
    pub(crate) fn renew(
        &self,
        service: &ServiceName,
        id: &InstanceId,
        token: Option<&str>,
    ) -> Result<Standing, Refused> {
        let mut state = self.shared.lock();
        // Nothing ends earlier by that, so the task needs not know.
        let lease = state.table.renew(&(service.clone(), id.clone()), token, Instant::now())?;
        standing(lease)
    }

    /// How an instance stands that is registered here.
    pub(crate) fn look(&self, service: &ServiceName, id: &InstanceId) -> Option<Standing> {
        let mut state = self.shared.lock();
        let lease = state.table.find(&(service.clone(), id.clone()), None, Instant::now()).ok()?;
        Some(seen(lease))
    }

    /// Changes the weight of an instance.
    pub(crate) fn set_weight(
        &self,
        service: &ServiceName,
        id: &InstanceId,
        token: Option<&str>,
        change: Weight,
    ) -> Result<Standing, Refused> {
        let mut state = self.shared.lock();
        let lease = state.table.find(&(service.clone(), id.clone()), token, Instant::now())?;
        let held = &mut lease.held;
        let (weight, undrained) = match change {
            Weight::Is(weight) => (weight, weight),
            Weight::Drained => (0, held.weight),
            // One that came with a weight of 0 gets what instances have that say nothing about it.
            Weight::Undrained => match held.weight {
                0 => (NodeData::DEFAULT_WEIGHT, NodeData::DEFAULT_WEIGHT),
                weight => (weight, weight),
            },
        };
        held.registration.set_weight(weight)?;
        held.weight = undrained;
        standing(lease)
    }

    /// Takes an instance away. Its node goes, connected or not; wait for that no longer than `patience`. Gives whether it is gone.
    pub(crate) async fn withdraw(
        &self,
        service: &ServiceName,
        id: &InstanceId,
        token: Option<&str>,
        patience: Duration,
    ) -> Result<bool, Refused> {
        let lease = {
            let mut state = self.shared.lock();
            state.table.take(&(service.clone(), id.clone()), token, Instant::now())?
        };
        info!(%service, %id, "withdrawn");
        Ok(timeout(patience, lease.held.registration.withdraw()).await.is_ok())
    }

    /// Takes everything away and accepts nothing more. Gives how many nodes are not known to be gone when the time is over.
    pub async fn close(&self, patience: Duration) -> usize {
        let all = {
            let mut state = self.shared.lock();
            state.closed = true;
            state.table.drain()
        };
        let leaving = all.into_iter().map(|lease| timeout(patience, lease.held.registration.withdraw()));
        join_all(leaving).await.into_iter().filter(Result::is_err).count()
    }

    /// How many instances are registered here.
    pub fn len(&self) -> usize {
        self.shared.lock().table.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What becomes of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// It is this one.
    Is(u32),
    /// It is 0, and the one before is remembered.
    Drained,
    /// It is what it was before.
    Undrained,
}

fn seen(lease: &Lease<Held>) -> Standing {
    let registration = &lease.held.registration;
    Standing {
        token: lease.token.clone(),
        ttl: lease.ttl,
        ends: lease.ends,
        data: registration.data(),
        status: registration.status(),
        took_over: false,
    }
}

/// How one stands that nobody has taken the place of.
fn standing(lease: &Lease<Held>) -> Result<Standing, Refused> {
    match is_alive(&lease.held.registration) {
        true => Ok(seen(lease)),
        false => Err(Refused::Replaced),
    }
}

fn is_alive(registration: &Registration) -> bool {
    !matches!(*registration.status().borrow(), Status::Replaced | Status::Withdrawn)
}

async fn end_in_time(shared: Weak<Shared>, changed: Arc<Notify>) {
    loop {
        let (over, next) = {
            let Some(shared) = shared.upgrade() else { return };
            let mut state = shared.lock();
            (state.table.expire(Instant::now()), state.table.next_end())
        };
        for ((service, id), lease) in over {
            info!(%service, %id, ttl_s = lease.ttl.as_secs(), "not renewed in time: withdrawn");
        }
        match next {
            Some(next) => tokio::select! {
                () = changed.notified() => {}
                () = sleep_until(next) => {}
            },
            None => changed.notified().await,
        }
    }
}

impl Drop for Shared {
    /// The task that ends leases ends, too.
    fn drop(&mut self) {
        self.changed.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leases").field("instances", &self.len()).finish_non_exhaustive()
    }
}
