//! The clock that leases are measured by.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

/// A moment of one [`Clock`]; those of different clocks have nothing to do with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(Duration);

impl Moment {
    /// The moment this long after the clock's origin.
    pub fn after_origin(passed: Duration) -> Self {
        Self(passed)
    }

    /// How long after the clock's origin this is.
    pub fn since_origin(self) -> Duration {
        self.0
    }

    /// How much later this is than `earlier`; nothing if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later))
    }
}

/// Tells how much time passes, for leases.
///
/// Every implementation promises: it never goes back, nobody can set it, and it is not slower than real time, also while
/// the machine sleeps. A lease that is measured by a clock that stands still outlives its session.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Now.
    fn now(&self) -> Moment;
}

/// The time since this machine started, in which it may have slept: `CLOCK_BOOTTIME` on Linux.
///
/// Elsewhere `CLOCK_MONOTONIC`, which on some systems stands still while the machine sleeps.
#[derive(Clone, Copy, Debug, Default)]
pub struct BootClock;

#[cfg(any(target_os = "linux", target_os = "android"))]
const BOOT: rustix::time::ClockId = rustix::time::ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const BOOT: rustix::time::ClockId = rustix::time::ClockId::Monotonic;

impl Clock for BootClock {
    fn now(&self) -> Moment {
        let now = rustix::time::clock_gettime(BOOT);
        // Neither is ever negative: the clock starts with the machine.
        let (seconds, nanos) = (u64::try_from(now.tv_sec), u32::try_from(now.tv_nsec));
        Moment(Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_the_machine_goes_on_and_is_the_kernels() {
        let uptime = || -> f64 {
            let text = std::fs::read_to_string("/proc/uptime").unwrap();
            text.split(' ').next().unwrap().parse().unwrap()
        };
        let (before, now, after) = (uptime(), BootClock.now(), uptime());
        let now = now.since_origin().as_secs_f64();
        // The file has hundredths.
        assert!(before - 0.02 <= now && now <= after + 0.02, "{before} {now} {after}");
        assert!(BootClock.now() <= BootClock.now());
    }

    #[test]
    fn times_between_moments_are_never_negative() {
        let moment = |ms| Moment::after_origin(Duration::from_millis(ms));
        assert_eq!(moment(7).since(moment(3)), Duration::from_millis(4));
        assert_eq!(moment(3).since(moment(7)), Duration::ZERO);
        assert_eq!(moment(3) + Duration::from_millis(4), moment(7));
        assert_eq!((moment(3) + Duration::MAX).since_origin(), Duration::MAX);
    }
}
