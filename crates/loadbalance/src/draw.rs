//! Random numbers for picks: fast, not secret, a state for each thread.

use std::cell::Cell;

use crate::{Picker, Request};

thread_local! {
    /// 0 before the first draw of a thread.
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// The next number of this thread: wyrand, of Wang Yi's wyhash (public domain), with 64 bits of state. `None` on a thread that
/// has no seed yet: see [`once_more`].
#[inline]
pub(crate) fn draw() -> Option<u64> {
    let state = STATE.get();
    if state == 0 {
        return None;
    }
    let state = state.wrapping_add(0xa076_1d64_78bd_642f);
    STATE.set(state);
    let product = u128::from(state) * u128::from(state ^ 0xe703_7ed1_a0b4_28db);
    Some((product >> 64) as u64 ^ product as u64)
}

/// Picks on a thread that had no seed. What calls this calls nothing else, and so needs to save no registers when it does not.
#[cold]
#[inline(never)]
pub(crate) fn once_more(picker: &dyn Picker, request: &Request<'_>) -> Option<usize> {
    STATE.set(rand::random::<u64>() | 1);
    picker.pick(request)
}

/// A whole number below `many`, from a draw, and what is left of it as a fraction of 2^64. By multiplication instead of a
/// division (Lemire, "Fast Random Integer Generation in an Interval", 2019), without his correction: of N numbers one comes up
/// to N / 2^64 more often than another, which nobody will ever see.
#[inline]
pub(crate) fn below(draw: u64, many: usize) -> (usize, u64) {
    let product = u128::from(draw) * many as u128;
    ((product >> 64) as usize, product as u64)
}
