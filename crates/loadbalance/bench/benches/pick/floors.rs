//! The least that a pick can cost: what every implementation has to do, and nothing else.
//!
//! They are pickers like those of the crate, called through the same `Arc<dyn Picker>`; whoever calls looks the place up in
//! the same list.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use loadbalance::{Candidate, Key, Picker, Request};
use twox_hash::XxHash3_64;

use crate::list::{List, scatter};

/// (a) A counter that all share, and a look at the list.
pub(crate) struct Counter {
    next: Padded<AtomicU64>,
    among: u64,
}

#[repr(align(128))]
struct Padded<T>(T);

impl Counter {
    pub(crate) fn picker(among: usize) -> Arc<dyn Picker> {
        Arc::new(Self { next: Padded(AtomicU64::new(0)), among: among as u64 })
    }
}

impl Picker for Counter {
    #[inline]
    fn pick(&self, _: &Request<'_>) -> Option<usize> {
        Some((self.next.0.fetch_add(1, Relaxed) % self.among) as usize)
    }
}

/// (d) A draw from the thread's own numbers, and a look at the list.
pub(crate) struct Draw {
    among: usize,
}

impl Draw {
    pub(crate) fn picker(among: usize) -> Arc<dyn Picker> {
        Arc::new(Self { among })
    }
}

impl Picker for Draw {
    #[inline]
    fn pick(&self, _: &Request<'_>) -> Option<usize> {
        Some(below(draw(), self.among).0)
    }
}

/// (e) The key's hash, and a look at a table of slots: 128 for each instance, as shares within some percent need.
pub(crate) struct Slots {
    table: Box<[u32]>,
    shift: u32,
}

impl Slots {
    pub(crate) fn picker(among: usize) -> Arc<dyn Picker> {
        let slots = (among * 128).next_power_of_two();
        let owner = |slot| below(scatter(slot), among).0 as u32;
        let table = (0..slots as u64).map(owner).collect();
        Arc::new(Self { table, shift: u64::BITS - slots.trailing_zeros() })
    }
}

impl Picker for Slots {
    #[inline]
    fn pick(&self, request: &Request<'_>) -> Option<usize> {
        let Some(Key::Bytes(key)) = request.key() else { return None };
        self.table.get((XxHash3_64::oneshot(key) >> self.shift) as usize).map(|owner| *owner as usize)
    }
}

/// (f) Two draws and a comparison of counters, one of which the caller then adds to and subtracts from. The counters lie in
/// the list itself.
pub(crate) struct TwoDraws {
    pub(crate) slots: Arc<[Counted]>,
}

#[repr(align(64))]
pub(crate) struct Counted {
    pub(crate) in_flight: AtomicU32,
    pub(crate) candidate: Arc<Candidate>,
}

pub(crate) fn counted(list: &List) -> Arc<[Counted]> {
    let counted = |it: &Arc<Candidate>| Counted { in_flight: AtomicU32::new(0), candidate: it.clone() };
    list.candidates.iter().map(counted).collect()
}

impl Picker for TwoDraws {
    #[inline]
    fn pick(&self, _: &Request<'_>) -> Option<usize> {
        let (one, rest) = below(draw(), self.slots.len());
        let (other, _) = below(rest, self.slots.len() - 1);
        let other = if other >= one { other + 1 } else { other };
        let load = |place: usize| self.slots[place].in_flight.load(Relaxed);
        Some(if load(one) <= load(other) { one } else { other })
    }
}

thread_local! {
    static STATE: Cell<u64> = const { Cell::new(0x1234_5678_9abc_def1) };
}

/// wyrand, of Wang Yi's wyhash (public domain).
#[inline]
pub(crate) fn draw() -> u64 {
    let state = STATE.get().wrapping_add(0xa076_1d64_78bd_642f);
    STATE.set(state);
    let product = u128::from(state) * u128::from(state ^ 0xe703_7ed1_a0b4_28db);
    (product >> 64) as u64 ^ product as u64
}

/// By multiplication; and what is left of the draw.
#[inline]
pub(crate) fn below(draw: u64, many: usize) -> (usize, u64) {
    let product = u128::from(draw) * many as u128;
    ((product >> 64) as usize, product as u64)
}
