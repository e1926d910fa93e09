//! What all clones of a balancer share, and how it is kept up to date.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use arc_swap::ArcSwap;
use proto::{Instance, InstanceId};
use tokio::sync::watch;
use tokio::task::{AbortHandle, spawn_blocking};

use crate::balancer::Instances;
use crate::snapshot::{List, Listed, Snapshot, places};
use crate::{Algorithm, Candidate, Filter, PickError, Pool};

pub(crate) struct Shared {
    pub(crate) current: Arc<ArcSwap<Snapshot>>,
    /// Grows with each snapshot.
    pub(crate) revision: watch::Sender<u64>,
    pool: Pool,
    making: Mutex<Making>,
    following: OnceLock<AbortHandle>,
}

/// What whoever makes the next snapshot needs; one at a time.
#[derive(Default)]
struct Making {
    instances: Option<Instances>,
    gone: Gone,
    /// Snapshots that somebody may still pick from. Freeing a large one takes long, and no pick is to do it.
    retired: Vec<Arc<Snapshot>>,
}

impl Shared {
    pub(crate) fn new(algorithm: Arc<dyn Algorithm>, filter: Option<Filter>, pool: Pool) -> Self {
        let first = Snapshot::new(algorithm, filter, List::None, [].into());
        Self {
            current: Arc::new(ArcSwap::from_pointee(first)),
            revision: watch::Sender::default(),
            pool,
            making: Mutex::default(),
            following: OnceLock::new(),
        }
    }

    /// Whether there is a list, or never will be one.
    pub(crate) fn is_settled(&self) -> bool {
        self.current.load().list != List::None
    }

    pub(crate) fn readiness(&self) -> Result<(), PickError> {
        match self.current.load().list {
            List::None => Err(PickError::NotReady),
            List::Never => Err(PickError::Closed),
            List::Here => Ok(()),
        }
    }

    /// Prepares for a list and makes it the current one.
    pub(crate) fn replace(&self, instances: Instances) {
        let mut making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        making.instances = Some(instances);
        self.make(&mut making);
    }

    /// Prepares for the same list once more: there is another master.
    fn refresh(&self) {
        let mut making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if making.instances.is_some() {
            self.make(&mut making);
        }
    }

    fn make(&self, making: &mut Making) {
        let before = self.current.load_full();
        let Making { instances, gone, retired } = making;
        let everybody = each_once(instances.iter().flat_map(|list| list.iter()));
        let candidates = gone.candidates(&everybody, &before);
        let places =
            places(everybody.iter().map(|it| &***it), before.filter.as_ref(), self.pool.master().as_ref());
        let listed = candidates.into_iter().zip(places);
        let listed = listed.map(|(candidate, place)| Listed { candidate, place }).collect();
        let next = Snapshot::new(before.algorithm.clone(), before.filter.clone(), List::Here, listed);
        self.current.store(Arc::new(next));
        retired.retain(|old| Arc::strong_count(old) > 1);
        retired.push(before);
        self.revision.send_modify(|revision| *revision += 1);
    }

    /// Nobody will bring a list any more.
    fn close(&self) {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.current.load();
        if now.list == List::None {
            let next = Snapshot::new(now.algorithm.clone(), now.filter.clone(), List::Never, [].into());
            self.current.store(Arc::new(next));
            self.revision.send_modify(|revision| *revision += 1);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(following) = self.following.get() {
            following.abort();
        }
    }
}

/// Those of a list, of equal ids the first.
fn each_once<'a>(list: impl Iterator<Item = &'a Arc<Instance>>) -> Vec<&'a Arc<Instance>> {
    let list: Vec<_> = list.collect();
    if list.is_sorted_by(|one, other| one.id < other.id) {
        return list;
    }
    let mut ids = HashSet::new();
    list.into_iter().filter(|instance| ids.insert(&instance.id)).collect()
}

/// Those who left while they had requests in flight: they may come back.
#[derive(Default)]
struct Gone(HashMap<InstanceId, Weak<Candidate>>);

impl Gone {
    /// Candidates for everybody, with what was known of their ids before.
    fn candidates(&mut self, everybody: &[&Arc<Instance>], before: &Snapshot) -> Vec<Arc<Candidate>> {
        let mut known: HashMap<_, _> =
            before.listed.iter().map(|listed| (listed.candidate.id(), &listed.candidate)).collect();
        let candidate =
            |instance: &&Arc<Instance>| match known.remove(&instance.id) {
                Some(candidate) if Arc::ptr_eq(candidate.instance(), instance) => candidate.clone(),
                Some(candidate) => Arc::new(candidate.renewed(Arc::clone(instance))),
                None => {
                    let gone = self.0.get(&instance.id).and_then(Weak::upgrade);
                    let instance = Arc::clone(instance);
                    Arc::new(gone.map_or_else(
                        || Candidate::new(instance.clone()),
                        |gone| gone.renewed(instance.clone()),
                    ))
                }
            };
        let candidates = everybody.iter().map(candidate).collect();
        self.0.retain(|_, candidate| candidate.strong_count() > 0);
        let left = known.into_iter().filter(|(_, candidate)| candidate.in_flight() > 0);
        self.0.extend(left.map(|(id, candidate)| (id.clone(), Arc::downgrade(candidate.eldest()))));
        candidates
    }
}

/// Keeps `shared` up to date for as long as it is there.
pub(crate) fn follow(
    shared: &Arc<Shared>,
    lists: Option<watch::Receiver<Option<Instances>>>,
    master: Option<watch::Receiver<Option<InstanceId>>>,
) {
    let mut following = Following { shared: Arc::downgrade(shared), lists, master };
    if let Some(instances) = following.newest() {
        shared.replace(instances);
    }
    let task = tokio::spawn(following.run());
    // Set once, here.
    let _ = shared.following.set(task.abort_handle());
}

struct Following {
    shared: Weak<Shared>,
    lists: Option<watch::Receiver<Option<Instances>>>,
    master: Option<watch::Receiver<Option<InstanceId>>>,
}

enum News {
    List,
    Master,
    NoMoreLists,
    NoMoreMasters,
}

impl Following {
    async fn run(mut self) {
        while self.lists.is_some() || self.master.is_some() {
            let news = tokio::select! {
                changed = change(&mut self.lists) => if changed { News::List } else { News::NoMoreLists },
                changed = change(&mut self.master) => if changed { News::Master } else { News::NoMoreMasters },
            };
            let Some(shared) = self.shared.upgrade() else { return };
            let instances = match news {
                News::List => self.newest(),
                News::NoMoreLists => {
                    self.lists = None;
                    shared.close();
                    continue;
                }
                News::NoMoreMasters => {
                    self.master = None;
                    continue;
                }
                News::Master => None,
            };
            let made = spawn_blocking(move || match instances {
                Some(instances) => shared.replace(instances),
                None => shared.refresh(),
            });
            // A filter or an algorithm may panic: then picks go on with the list before, and the next one is tried again.
            let _ = made.await;
        }
    }

    /// The list of the channel, once there is one.
    fn newest(&mut self) -> Option<Instances> {
        self.lists.as_mut()?.borrow_and_update().clone()
    }
}

/// Waits for a change; false when there will be none.
async fn change<T>(channel: &mut Option<watch::Receiver<T>>) -> bool {
    match channel {
        Some(channel) => channel.changed().await.is_ok(),
        None => std::future::pending().await,
    }
}
