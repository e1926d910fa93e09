//! One of those to pick from, and how much it has to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use proto::{Instance, InstanceId};

/// An instance that may be picked, with what is known of it here: how many requests it has in flight, and how many failed.
///
/// What is known belongs to the id: it stays the same when the list or the instance's data change.
#[derive(Debug)]
pub struct Candidate {
    instance: Arc<Instance>,
    load: Arc<Load>,
}

impl Candidate {
    /// One that has nothing to do yet, for tests of an algorithm of one's own; balancers make theirs.
    pub fn new(instance: Arc<Instance>) -> Self {
        Self { instance, load: Arc::default() }
    }

    pub(crate) fn with_load(instance: Arc<Instance>, load: Arc<Load>) -> Self {
        Self { instance, load }
    }

    /// The instance.
    pub fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }

    /// Its name.
    pub fn id(&self) -> &InstanceId {
        &self.instance.id
    }

    /// Its weight, which is above 0 where an algorithm sees it.
    pub fn weight(&self) -> u32 {
        self.instance.data.weight
    }

    /// How many picks of it are held, in this process and by this balancer.
    pub fn in_flight(&self) -> u32 {
        self.load.in_flight()
    }

    /// How many of the requests that ended last failed, one after the other.
    pub fn failures(&self) -> u32 {
        self.load.failures.load(Relaxed)
    }

    pub(crate) fn load(&self) -> &Arc<Load> {
        &self.load
    }
}

/// How busy an instance is. On a cache line of its own, as every pick by a guard writes it.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Load {
    /// The lower half: requests in flight. The upper half: how often it is still passed over, because it failed. Compared
    /// whole, one that is passed over comes after all that are not.
    word: AtomicU64,
    failures: AtomicU32,
}

const ONE_PASSED_OVER: u64 = 1 << 32;

/// How often at most an instance is passed over before it gets one more try.
const MOST_PASSED_OVER: u32 = 63;

impl Load {
    pub(crate) fn begin(&self) {
        self.word.fetch_add(1, Relaxed);
    }

    pub(crate) fn end(&self) {
        self.word.fetch_sub(1, Relaxed);
        if self.failures.load(Relaxed) != 0 {
            self.recovered();
        }
    }

    #[cold]
    fn recovered(&self) {
        self.failures.store(0, Relaxed);
        self.word.fetch_and(ONE_PASSED_OVER - 1, Relaxed);
    }

    /// Ends a request that failed. Each failure in a row doubles for how long the instance is passed over.
    pub(crate) fn fail(&self) {
        let row = self.failures.fetch_add(1, Relaxed).saturating_add(1);
        let over = 1u32.checked_shl(row).map_or(MOST_PASSED_OVER, |over| (over - 1).min(MOST_PASSED_OVER));
        let failed = |word: u64| Some(u64::from(over) * ONE_PASSED_OVER + u64::from(word as u32) - 1);
        // The update never declines.
        let _ = self.word.fetch_update(Relaxed, Relaxed, failed);
    }

    /// Requests in flight, behind all those who were passed over less.
    pub(crate) fn rank(&self) -> u64 {
        self.word.load(Relaxed)
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.rank() as u32
    }

    /// It could have been picked, and another one was: once less to be passed over. `rank` is what it had.
    pub(crate) fn passed_over(&self, rank: u64) {
        if rank >= ONE_PASSED_OVER {
            // Lost when somebody else was faster: then it was passed over once for the two of them.
            let _ = self.word.compare_exchange(rank, rank - ONE_PASSED_OVER, Relaxed, Relaxed);
        }
    }
}
