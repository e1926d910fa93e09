//! Times, of a thread and of the wall.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// How long this thread has been on a processor: what others do meanwhile does not count.
pub(crate) fn processor() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

#[expect(clippy::disallowed_methods, reason = "here it is the time of the machine that is asked for")]
pub(crate) fn wall() -> Instant {
    Instant::now()
}
