//! Time as all processes of this machine have it, and what a process used of the processors.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// What a process used of the processors, less what it took to look at what others wanted to know.
#[derive(Debug, Default)]
pub(super) struct Work {
    looking: Duration,
}

impl Work {
    /// Does something that is not counted.
    pub(super) fn apart<T>(&mut self, look: impl FnOnce() -> T) -> T {
        // Without an await, so by one thread.
        let begun = used_by_thread();
        let found = look();
        self.looking += used_by_thread().saturating_sub(begun);
        found
    }

    /// In microseconds, up to now.
    pub(super) fn micros(&self) -> anyhow::Result<u64> {
        Ok(used().saturating_sub(self.looking).as_micros().try_into()?)
    }
}

/// Nanoseconds by the clock that is the same in all processes of this machine.
pub(crate) fn now_ns() -> u64 {
    nanos(clock_gettime(ClockId::Monotonic))
}

/// What this process used of the processors.
fn used() -> Duration {
    Duration::from_nanos(nanos(clock_gettime(ClockId::ProcessCPUTime)))
}

/// What this thread used of a processor.
fn used_by_thread() -> Duration {
    Duration::from_nanos(nanos(clock_gettime(ClockId::ThreadCPUTime)))
}

fn nanos(time: Timespec) -> u64 {
    // None of these clocks is ever negative.
    let [seconds, nanos] = [time.tv_sec, time.tv_nsec].map(|it| u64::try_from(it).unwrap_or_default());
    seconds * 1_000_000_000 + nanos
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_on_and_work_is_counted_but_for_what_is_done_apart() {
        let (before, used_before) = (now_ns(), used_by_thread());
        let mut work = Work::default();
        let sum = work.apart(|| (0..1_000_000_u64).fold(0, |sum, it| std::hint::black_box(sum ^ it)));
        std::hint::black_box(sum);
        assert!(now_ns() > before && used_by_thread() > used_before && used() >= used_by_thread());
        assert!(!work.looking.is_zero());
        assert!(Duration::from_micros(work.micros().unwrap()) <= used() - work.looking);
    }
}
