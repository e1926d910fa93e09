//! What the clock on the wall shows, for people and for what they compare with their own.

use jiff::Timestamp;
use tokio::time::Instant;

/// Now, in Unix milliseconds.
pub(crate) fn now() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0)
}

/// What it showed at a moment of the other clock, or will show, in Unix milliseconds.
pub(crate) fn at(moment: Instant) -> u64 {
    let now_here = Instant::now();
    let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    match moment.checked_duration_since(now_here) {
        Some(ahead) => now().saturating_add(millis(ahead)),
        None => now().saturating_sub(millis(now_here.duration_since(moment))),
    }
}
