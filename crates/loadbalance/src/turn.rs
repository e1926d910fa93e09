//! Whose turn it is: a number that grows by one with each pick.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// On cache lines of its own: the processor fetches them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);

/// A turn that all threads share: nobody is skipped, and nobody has it twice.
#[derive(Debug, Default)]
pub(crate) struct Common(Padded<AtomicU64>);

impl Common {
    pub(crate) fn starting_at(turn: u64) -> Self {
        Self(Padded(AtomicU64::new(turn)))
    }

    pub(crate) fn take(&self) -> u64 {
        self.0.0.fetch_add(1, Relaxed)
    }

    /// The next one, which stays where it is.
    pub(crate) fn next(&self) -> u64 {
        self.0.0.load(Relaxed)
    }
}

/// How many threads have a turn of their own; those above share one with another.
const STRIPES: usize = 64;

/// A turn for each thread: threads do not wait for each other's cache line.
#[derive(Clone, Debug)]
pub(crate) struct PerThread(Arc<[Padded<AtomicU64>]>);

impl Default for PerThread {
    fn default() -> Self {
        // Threads that went in step would all be at the same instance at the same time.
        let turn = |stripe: u64| stripe.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        Self((0..STRIPES as u64).map(|stripe| Padded(AtomicU64::new(turn(stripe)))).collect())
    }
}

thread_local! {
    static STRIPE: Cell<usize> = const { Cell::new(usize::MAX) };
}

impl PerThread {
    /// Brings the turns of all threads below `among`.
    pub(crate) fn fit(&self, among: u64) {
        for Padded(turn) in self.0.iter() {
            turn.store(turn.load(Relaxed).checked_rem(among).unwrap_or(0), Relaxed);
        }
    }

    /// The turn of this thread: each of 0 to `among` - 1, and again.
    pub(crate) fn take(&self, among: u64) -> u64 {
        let stripe = &self.0[stripe() % STRIPES].0;
        // Not one step: where two threads share a stripe, both may have the same turn, and one that was stopped in between puts it
        // back. Another list may have more instances than this one, too.
        let next = stripe.load(Relaxed);
        let turn = if next < among { next } else { 0 };
        stripe.store(turn + 1, Relaxed);
        turn
    }
}

fn stripe() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    let mine = STRIPE.get();
    if mine != usize::MAX {
        return mine;
    }
    let mine = THREADS.fetch_add(1, Relaxed);
    STRIPE.set(mine);
    mine
}
