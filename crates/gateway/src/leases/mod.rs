//! Instances that are registered on behalf of programs without a ZooKeeper client, for as long as they are renewed.

mod ending;
mod granted;
mod held;
mod leaving;
mod standing;
mod table;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::{InstanceId, NodeData, ServiceName};
use registry::{Registry, Status};
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::{Instant, timeout};
use tracing::info;

use self::ending::end_in_time;
pub(crate) use self::granted::Granted;
use self::held::{Held, judge, seen};
use self::leaving::{Gone, Leaving};
pub(crate) use self::standing::{ByState, Refused, Standing, Weight};
use self::table::{Key, Lease, Missing, Table};

/// So many instances at most are registered by one gateway, or on their way out.
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
    leaving: Leaving,
    /// How many more there may be. Each has its place from when it is registered until nothing of it is left, so that what is registered
    /// and withdrawn again and again while ZooKeeper is away does not pile up.
    places: Arc<Semaphore>,
    most: usize,
}

#[derive(Default)]
struct State {
    table: Table<Held>,
    closed: bool,
}

impl Leases {
    /// Nothing is registered yet.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start(registry: Registry) -> Self {
        Self::with_room(registry, MOST)
    }

    fn with_room(registry: Registry, most: usize) -> Self {
        let shared = Arc::new(Shared {
            registry,
            state: Mutex::default(),
            changed: Arc::default(),
            leaving: Leaving::default(),
            places: Arc::new(Semaphore::new(most)),
            most,
        });
        tokio::spawn(end_in_time(Arc::downgrade(&shared), shared.changed.clone()));
        Self { shared }
    }

    /// Registers an instance until it is not renewed for `ttl`, counted from when that is answered. Whoever had registered it here before
    /// has it no more. With a lease it is taken from nobody: it is that one's, or there is none here.
    pub(crate) fn register(
        &self,
        service: &ServiceName,
        id: &InstanceId,
        token: Option<&str>,
        data: NodeData,
        ttl: Duration,
    ) -> Result<Granted, Refused> {
        let key = (service.clone(), id.clone());
        let now = Instant::now();
        let mut state = self.shared.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        let weight = data.weight;
        // What is there is changed: taken away and announced again, it would not be there in between.
        let overwrites = match (state.table.find(&key, token, now), token) {
            (Ok(lease), Some(_)) => {
                judge(lease)?;
                lease.held.registration.update(|before| *before = data.clone())?;
                true
            }
            (Ok(lease), None) if judge(lease).is_ok() => {
                lease.held.registration.hand_over(data.clone())?;
                true
            }
            (Err(Missing::Another), _) => return Err(Refused::Another),
            (Ok(_) | Err(Missing::Unknown), _) => false,
        };
        let held = match state.table.remove(&key) {
            Some(before) if overwrites => Held { weight, ..before.held },
            before => {
                // It was replaced, or is over and was not swept away yet.
                if let Some(before) = before {
                    self.shared.leave(&mut state, before.held);
                }
                let most = self.shared.most;
                let place = self.shared.places.clone().try_acquire_owned();
                let place = place.map_err(|_| Refused::Full { most })?;
                let registration = self.shared.registry.announce_as(service, id.clone(), data)?;
                Held { registration, weight, place }
            }
        };
        let next = format!("{:032x}", rand::random::<u128>()).into_boxed_str();
        let lease = state.table.grant(key.clone(), Lease { token: next, ttl, ends: None, held });
        let standing = Standing { overwrites, took_over: overwrites && token.is_none(), ..seen(lease, now) };
        drop(state);
        Ok(Granted::new(self.clone(), key, standing))
    }

    /// The time of a lease begins.
    fn begin(&self, key: &Key, token: &str) -> Result<Standing, Refused> {
        let now = Instant::now();
        let mut state = self.shared.lock();
        let closed = state.closed;
        let missing = |refused: Refused| match refused {
            _ if closed => Refused::Closed,
            Refused::Unknown => Refused::Withdrawn,
            refused => refused,
        };
        let lease = state.table.begin(key, token, now).map_err(|missed| missing(missed.into()))?;
        self.shared.changed.notify_one();
        judge(lease)?;
        Ok(seen(lease, now))
    }

    /// Keeps an instance registered for its whole time again.
    pub(crate) fn renew(
        &self,
        service: &ServiceName,
        id: &InstanceId,
        token: Option<&str>,
    ) -> Result<Standing, Refused> {
        let (key, now) = ((service.clone(), id.clone()), Instant::now());
        let mut state = self.shared.lock();
        // One that somebody else has by now is not kept any longer by it.
        judge(state.table.find(&key, token, now)?)?;
        // Nothing ends earlier by that, so the task needs not know.
        let lease = state.table.renew(&key, token, now)?;
        Ok(seen(lease, now))
    }

    /// Whether there is a lease of an instance here, whoever has the instance by now.
    pub(crate) fn knows(&self, service: &ServiceName, id: &InstanceId) -> bool {
        self.shared.lock().table.find(&(service.clone(), id.clone()), None, Instant::now()).is_ok()
    }

    /// How an instance stands that is registered here, unless somebody else has it by now.
    pub(crate) fn look(&self, service: &ServiceName, id: &InstanceId) -> Option<Standing> {
        let now = Instant::now();
        let mut state = self.shared.lock();
        let lease = state.table.find(&(service.clone(), id.clone()), None, now).ok()?;
        judge(lease).is_ok().then(|| seen(lease, now))
    }

    /// Changes the weight of an instance.
    pub(crate) fn set_weight(
        &self,
        service: &ServiceName,
        id: &InstanceId,
        token: Option<&str>,
        change: Weight,
    ) -> Result<Standing, Refused> {
        let now = Instant::now();
        let mut state = self.shared.lock();
        let lease = state.table.find(&(service.clone(), id.clone()), token, now)?;
        judge(lease)?;
        let (weight, undrained) = change.after(lease.held.weight);
        lease.held.registration.set_weight(weight)?;
        lease.held.weight = undrained;
        Ok(seen(lease, now))
    }

    /// Takes an instance away. Its node goes, connected or not; wait for that no longer than `patience`. Gives whether it is gone.
    ///
    /// # Errors
    ///
    /// When there is none, or its node is somebody else's: that one stays.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the withdrawal goes on.
    pub(crate) async fn withdraw(
        &self,
        service: &ServiceName,
        id: &InstanceId,
        token: Option<&str>,
        patience: Duration,
    ) -> Result<bool, Refused> {
        let (judged, gone) = {
            let mut state = self.shared.lock();
            let lease = state.table.take(&(service.clone(), id.clone()), token, Instant::now())?;
            (judge(&lease), self.shared.leave(&mut state, lease.held))
        };
        judged?;
        info!(%service, %id, "withdrawn");
        match timeout(patience, gone).await {
            Ok(Ok(Gone::Replaced)) => Err(Refused::Replaced),
            // Nobody is left to tell when the process ends.
            Ok(Ok(Gone::Deleted) | Err(_)) => Ok(true),
            Err(_) => Ok(false),
        }
    }

    /// Takes everything away and accepts nothing more. Gives how many nodes are not known to be gone when the time is over.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it is closed all the same, and what it holds is taken away in the background.
    pub async fn close(&self, patience: Duration) -> usize {
        {
            // All at once: nobody gets anything more in any case.
            let mut state = self.shared.lock();
            state.closed = true;
            for lease in state.table.drain() {
                self.shared.leave(&mut state, lease.held);
            }
        }
        self.shared.leaving.all_gone(patience).await
    }

    /// How many instances are registered here.
    pub fn len(&self) -> usize {
        self.shared.lock().table.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many are in ZooKeeper, are not known to be, and were taken by somebody else since.
    pub(crate) fn by_state(&self) -> ByState {
        let state = self.shared.lock();
        let mut count = ByState::default();
        for lease in state.table.all() {
            match *lease.held.registration.status().borrow() {
                Status::Registered { .. } => count.registered += 1,
                Status::Registering { .. } | Status::Withdrawn => count.registering += 1,
                Status::Replaced => count.replaced += 1,
            }
        }
        count
    }

    /// How many are withdrawn and may still be in ZooKeeper.
    pub fn leaving(&self) -> usize {
        self.shared.leaving.count()
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

    /// Takes an instance away whose lease was taken out of this table. Whoever gets at the table next, and finds no lease of it, finds nothing
    /// either that is wanted by one.
    fn leave(&self, _locked: &mut State, held: Held) -> oneshot::Receiver<Gone> {
        self.leaving.leave(held.registration, held.place)
    }
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leases").field("instances", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use proto::Address;
    use registry::Native;
    use zk_session::Keeper;
    use zk_session::fake::FakeZk;

    use super::*;

    const TTL: Duration = Duration::from_secs(600);
    const PATIENCE: Duration = Duration::from_secs(2);

    fn data() -> NodeData {
        NodeData::at(Address::new("h", 1).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_on_its_way_out_has_its_place_until_it_is_gone() {
        let zk = FakeZk::default();
        let keeper = Keeper::start(zk.client());
        let leases = Leases::with_room(Registry::new(keeper.sessions(), Native::default()), 3);
        let service = ServiceName::parse("time").unwrap();
        let register = |id: &str| {
            let id = InstanceId::parse(id).unwrap();
            leases.register(&service, &id, None, data(), TTL).map(|granted| granted.standing().status.clone())
        };
        let withdraw = async |id: &str| {
            let id = InstanceId::parse(id).unwrap();
            leases.withdraw(&service, &id, None, PATIENCE).await.unwrap()
        };
        let there = ["one", "two"];
        for id in there {
            let mut status = register(id).unwrap();
            status.wait_for(|status| matches!(status, Status::Registered { .. })).await.unwrap();
        }

        zk.stop();
        for id in there {
            assert!(!withdraw(id).await);
        }
        for _ in 0..2 {
            // Of one that nobody was asked to make there is nothing to be waited for.
            register("never").unwrap();
            withdraw("never").await;
        }
        register("third").unwrap();
        assert!(matches!(register("fourth"), Err(Refused::Full { most: 3 })));
        withdraw("third").await;
        assert_eq!((leases.len(), leases.leaving()), (0, 2));

        zk.start();
        let free = async {
            while leases.shared.places.available_permits() < 3 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(TTL, free).await.unwrap();
        assert_eq!((leases.leaving(), zk.children("/headkeeper/time/instances").len()), (0, 0));
        // One that is not renewed leaves, too.
        for id in ["a", "b", "c"] {
            register(id).unwrap();
        }
        assert!(matches!(register("d"), Err(Refused::Full { .. })));
        tokio::time::sleep(TTL + PATIENCE).await;
        assert!(register("d").is_ok());
        assert_eq!(leases.close(PATIENCE).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_over_and_not_swept_away_yet_is_no_obstacle() {
        let zk = FakeZk::default();
        let keeper = Keeper::start(zk.client());
        let leases = Leases::start(Registry::new(keeper.sessions(), Native::default()));
        let (service, id) = (ServiceName::parse("time").unwrap(), InstanceId::parse("a").unwrap());
        let mut begun =
            leases.register(&service, &id, None, data(), Duration::from_secs(1)).unwrap().begin().unwrap();
        begun.status.wait_for(|status| matches!(status, Status::Registered { .. })).await.unwrap();
        // The clock goes on, and nobody else runs before it is registered again.
        let _ = tokio::time::advance(Duration::from_secs(2)).now_or_never();
        let granted = leases.register(&service, &id, None, data(), TTL).unwrap();
        assert!(!granted.standing().took_over);
        let mut status = granted.standing().status.clone();
        status.wait_for(|status| matches!(status, Status::Registered { .. })).await.unwrap();
        assert_eq!(leases.len(), 1);
    }

    const LIMIT: Duration = Duration::from_secs(60);

    /// Leases of a gateway that has no ZooKeeper yet, and instances for them.
    fn without_zookeeper() -> (Keeper, Leases, ServiceName, Vec<InstanceId>) {
        let zk = FakeZk::default();
        zk.stop();
        let keeper = Keeper::start(zk.client());
        let leases = Leases::start(Registry::new(keeper.sessions(), Native::default()));
        let ids = (0..200).map(|number| InstanceId::parse(&format!("i-{number:03}")).unwrap()).collect();
        (keeper, leases, ServiceName::parse("time").unwrap(), ids)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_over_is_registered_anew_as_soon_as_there_is_no_lease_of_it() {
        let (_keeper, leases, service, ids) = without_zookeeper();
        let ttl = Duration::from_millis(1);
        let mut before = Vec::new();
        for _ in 0..20 {
            let mut granted = Vec::new();
            // The last ones first, for they left last.
            for id in ids.iter().rev() {
                let registered = leases.register(&service, id, None, data(), ttl);
                granted.push(registered.map_err(|refused| format!("{id}: {refused}")).unwrap());
            }
            let (mut state, now) = (leases.shared.lock(), Instant::now());
            for (id, granted) in ids.iter().rev().zip(&granted) {
                let key = (service.clone(), id.clone());
                state.table.begin(&key, &granted.standing().token, now).unwrap();
            }
            drop(state);
            // Those of the leases before have nothing to begin any more.
            before.clear();
            before.append(&mut granted);
            leases.shared.changed.notify_one();
            // Without a pause, and on a thread of its own.
            let begun = Instant::now();
            while !leases.is_empty() {
                assert!(begun.elapsed() < LIMIT, "all are over");
                std::hint::spin_loop();
            }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_withdrawn_is_registered_anew_as_soon_as_there_is_no_lease_of_it() {
        let (_keeper, leases, service, ids) = without_zookeeper();
        for _ in 0..50 {
            for id in &ids {
                leases.register(&service, id, None, data(), TTL).unwrap();
            }
            let withdrawn = {
                let (leases, service, ids) = (leases.clone(), service.clone(), ids.clone());
                tokio::spawn(async move {
                    for id in &ids {
                        leases.withdraw(&service, id, None, PATIENCE).await.unwrap();
                    }
                })
            };
            for id in &ids {
                // Without a pause, and on a thread of its own.
                let begun = Instant::now();
                while leases.look(&service, id).is_some() {
                    assert!(begun.elapsed() < LIMIT, "{id} is withdrawn");
                    std::hint::spin_loop();
                }
                let registered = leases.register(&service, id, None, data(), TTL);
                registered.map_err(|refused| format!("{id}: {refused}")).unwrap();
            }
            withdrawn.await.unwrap();
        }
    }
}
