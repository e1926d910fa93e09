//! One of those to pick from, and how much it has to do.

use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use proto::{Instance, InstanceId};

/// An instance that may be picked, with what is known of it here: how many requests it has in flight, and how many failed.
///
/// What is known belongs to the id: it stays the same when the list or the instance's data change.
#[derive(Debug)]
pub struct Candidate {
    load: Load,
    /// The instance's, where it is read without another step.
    weight: u32,
    /// Whose load counts, where the instance had other data before.
    elder: Option<Arc<Candidate>>,
    instance: Arc<Instance>,
}

impl Candidate {
    /// One that has nothing to do yet, for tests of an algorithm of one's own; balancers make theirs.
    pub fn new(instance: Arc<Instance>) -> Self {
        Self { load: Load::default(), weight: instance.data.weight, elder: None, instance }
    }

    /// The same one with other data.
    pub(crate) fn renewed(self: &Arc<Self>, instance: Arc<Instance>) -> Self {
        Self { elder: Some(self.eldest().clone()), ..Self::new(instance) }
    }

    /// The one whose load counts.
    pub(crate) fn eldest(self: &Arc<Self>) -> &Arc<Self> {
        self.elder.as_ref().unwrap_or(self)
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
    #[inline]
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// How many picks of it are held, in this process and by this balancer.
    #[inline]
    pub fn in_flight(&self) -> u32 {
        self.load().in_flight()
    }

    /// How many of the requests that ended last failed, one after the other.
    pub fn failures(&self) -> u32 {
        self.load().failures.load(Relaxed)
    }

    /// Who has less in flight for its weight. One that is passed over comes after all that are not.
    pub(crate) fn compare_busy(&self, other: &Self) -> Ordering {
        let (mine, its) = (self.load().rank(), other.load().rank());
        let for_weight = |rank: u64, weight: u32| u64::from(rank as u32) * u64::from(weight);
        let in_flight = || for_weight(mine, other.weight).cmp(&for_weight(its, self.weight));
        (mine >> 32).cmp(&(its >> 32)).then_with(in_flight)
    }

    #[inline]
    pub(crate) fn load(&self) -> &Load {
        match &self.elder {
            None => &self.load,
            Some(elder) => load_of(elder),
        }
    }
}

/// Cold, so that the processor goes on with the other case before it knows.
#[cold]
fn load_of(elder: &Candidate) -> &Load {
    &elder.load
}

/// How busy an instance is.
#[derive(Debug, Default)]
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
    /// Begins a request. Gives how many had failed in a row.
    #[inline]
    pub(crate) fn begin(&self) -> u32 {
        self.word.fetch_add(1, Relaxed);
        self.failures.load(Relaxed)
    }

    /// Ends a request that went well. It forgives failures if none came since it began: those who were slow and lucky say nothing
    /// of how the instance is now.
    #[inline]
    pub(crate) fn end(&self, failures_before: u32) {
        self.word.fetch_sub(1, Relaxed);
        let failures = self.failures.load(Relaxed);
        if failures != 0 && failures == failures_before {
            self.forgive();
        }
    }

    /// Ends a request that says nothing of the instance.
    pub(crate) fn give_up(&self) {
        self.word.fetch_sub(1, Relaxed);
    }

    #[cold]
    fn forgive(&self) {
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
    #[inline]
    pub(crate) fn rank(&self) -> u64 {
        self.word.load(Relaxed)
    }

    #[inline]
    pub(crate) fn in_flight(&self) -> u32 {
        self.rank() as u32
    }

    /// It could have been picked, and another one was: once less to be passed over.
    pub(crate) fn pass_over(&self) {
        let rank = self.rank();
        if rank >= ONE_PASSED_OVER {
            // Lost when somebody else was faster, with another pick or the end of one: then this one does not count.
            let _ = self.word.compare_exchange(rank, rank - ONE_PASSED_OVER, Relaxed, Relaxed);
        }
    }
}
