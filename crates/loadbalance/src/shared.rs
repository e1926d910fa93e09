//! What all clones of a balancer share.

use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::balancer::Instances;
use crate::gone::{Gone, each_once};
use crate::snapshot::{List, Listed, Snapshot, standings};
use crate::{Algorithm, Filter, PickError, Pool};

/// The most instances that are prepared for in a task, which should hold its thread for no longer than a millisecond. The slowest
/// algorithm, a hash, takes 25 µs for each of 100 (`docs/bench/pick.md`, a new list), and up to twice that where weights differ: 0.8 ms for
/// so many.
const FEW: usize = 16;

/// The most that all weights of such a list are together: a cycle of turns that is written out takes 95 ns for each (there), 0.8 ms for so many.
const LIGHT: u64 = 8192;

pub(crate) struct Shared {
    pub(crate) current: ArcSwap<Snapshot>,
    /// Grows with each snapshot, once that is the current one.
    revision: AtomicU64,
    /// Tells those who wait of the same.
    pub(crate) news: watch::Sender<()>,
    pool: Pool,
    making: Mutex<Making>,
    /// Whether the lists were followed, and no more will come.
    closed: AtomicBool,
    pub(crate) following: OnceLock<AbortHandle>,
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
            current: ArcSwap::from_pointee(first),
            revision: AtomicU64::new(0),
            news: watch::Sender::default(),
            pool,
            making: Mutex::default(),
            closed: AtomicBool::new(false),
            following: OnceLock::new(),
        }
    }

    /// Which snapshot is the current one.
    #[inline]
    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Acquire)
    }

    fn publish(&self, next: Snapshot) {
        self.current.store(Arc::new(next));
        self.revision.fetch_add(1, Release);
        self.news.send_replace(());
    }

    /// Whether there is a list, or never will be one.
    pub(crate) fn is_settled(&self) -> bool {
        self.current.load().list != List::None
    }

    /// Whether nobody will bring a list any more. To be asked before the snapshot is looked at: a list by hand may come between.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Acquire)
    }

    pub(crate) fn readiness(&self) -> Result<(), PickError> {
        match self.current.load().list {
            List::None => Err(PickError::NotReady),
            List::Never => Err(PickError::Closed),
            List::Here => Ok(()),
        }
    }

    /// Whether preparing for a list, or once more for the one that is there, may take longer than a task should.
    pub(crate) fn takes_long(&self, instances: Option<&Instances>) -> bool {
        // Somebody else prepares, who knows for how long; or an algorithm has panicked, and nothing is known of that one.
        let Ok(making) = self.making.try_lock() else { return true };
        let Some(list) = instances.or(making.instances.as_ref()) else { return false };
        // The list before is gone through, too, and those before that are freed.
        let before = self.current.load().listed.len();
        let retired = making.retired.iter().map(|old| old.listed.len()).max();
        list.len().max(before).max(retired.unwrap_or(0)) > FEW
            || list.iter().map(|instance| u64::from(instance.data.weight)).sum::<u64>() > LIGHT
    }

    /// Prepares for a list and makes it the current one.
    pub(crate) fn replace(&self, instances: Instances) {
        let mut making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        making.instances = Some(instances);
        self.make(&mut making);
    }

    /// The same with a list that is given by hand: another one may be.
    pub(crate) fn replace_by_hand(&self, instances: Instances) {
        self.closed.store(false, Release);
        self.replace(instances);
    }

    /// Prepares for the same list once more: there is another master.
    pub(crate) fn refresh(&self) {
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
        let standings =
            standings(everybody.iter().map(|it| &***it), before.filter.as_ref(), self.pool.master().as_ref());
        let listed = candidates.into_iter().zip(standings);
        let listed = listed.map(|(candidate, standing)| Listed { candidate, standing }).collect();
        let next = Snapshot::new(before.algorithm.clone(), before.filter.clone(), List::Here, listed);
        self.publish(next);
        retired.push(before);
        retired.retain(|old| Arc::strong_count(old) > 1);
    }

    /// Nobody will bring a list any more.
    pub(crate) fn close(&self) {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.current.load();
        if now.list == List::None {
            let next = Snapshot::new(now.algorithm.clone(), now.filter.clone(), List::Never, [].into());
            self.publish(next);
        }
        // Behind the snapshot: whoever sees this finds why there is nobody.
        self.closed.store(true, Release);
        self.news.send_replace(());
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(following) = self.following.get() {
            following.abort();
        }
    }
}
