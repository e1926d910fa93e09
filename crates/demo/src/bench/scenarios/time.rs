//! Times as figures have them.

use std::time::Duration;

/// In milliseconds.
pub(super) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Milliseconds between two moments of the [clock](crate::bench::processes::now_ns) that all processes share; negative
/// where the second was before the first.
pub(super) fn millis_between(from_ns: u64, to_ns: u64) -> f64 {
    (to_ns as f64 - from_ns as f64) / 1e6
}
