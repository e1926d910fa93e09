//! What a process that follows a service tells of itself: its list, and what that cost.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use anyhow::Context as _;
use proto::NodeData;
use rustix::time::{ClockId, Timespec, clock_gettime};
use serde::{Deserialize, Serialize};

/// A follower at one moment. One line of JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Look {
    /// How many instances are in its list.
    pub(crate) size: usize,
    /// Which; see [`Fingerprint`].
    pub(crate) fingerprint: u64,
    /// When its list last changed, in nanoseconds of the [clock](now_ns) that all processes share.
    pub(crate) changed_ns: u64,
    /// The shortest list since the last mark.
    pub(crate) lowest: usize,
    /// How many lists there were since the last mark.
    pub(crate) lists: u64,
    /// What its process has used of the processors up to now, without what the fingerprints took.
    pub(crate) cpu_us: u64,
    pub(crate) memory: Memory,
}

/// What the system says of a process' memory, in KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Memory {
    pub(crate) resident_kb: u64,
    pub(crate) peak_kb: u64,
}

/// Which instances are in a list, whatever their order: two lists of different instances have different ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fingerprint(pub(crate) u64);

impl Fingerprint {
    /// Of what a list has to be.
    pub(crate) fn of(all: &[NodeData]) -> anyhow::Result<Self> {
        let mut fingerprint = Self::default();
        for data in all {
            fingerprint.add(data.default_id()?.as_str(), data);
        }
        Ok(fingerprint)
    }

    /// An instance, told apart from an earlier one of the same id by when it was registered.
    pub(crate) fn add(&mut self, id: &str, data: &NodeData) {
        // With the keys that it always has: the same in all processes of this program.
        let mut hasher = DefaultHasher::new();
        (id, data.registered_at).hash(&mut hasher);
        self.0 ^= hasher.finish();
    }
}

impl Memory {
    /// Of this process.
    pub(crate) fn own() -> anyhow::Result<Self> {
        let status = fs::read_to_string("/proc/self/status").context("the system does not tell of memory")?;
        Self::read(&status).context("the system tells nothing of memory")
    }

    fn read(status: &str) -> Option<Self> {
        let figure = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.trim().strip_suffix("kB")?.trim().parse().ok()
        };
        Some(Self { resident_kb: figure("VmRSS")?, peak_kb: figure("VmHWM")? })
    }
}

/// Nanoseconds by the clock that is the same in all processes of this machine.
pub(crate) fn now_ns() -> u64 {
    nanos(clock_gettime(ClockId::Monotonic))
}

/// What this process used of the processors.
pub(crate) fn used() -> Duration {
    Duration::from_nanos(nanos(clock_gettime(ClockId::ProcessCPUTime)))
}

/// What this thread used of a processor.
pub(crate) fn used_by_thread() -> Duration {
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
    use crate::bench::stage::instances;

    #[test]
    fn memory_is_read_from_what_the_system_writes() {
        let status = "Name:\tdemo\nVmPeak:\t  999 kB\nVmHWM:\t    2048 kB\nVmRSS:\t   1024 kB\nThreads:\t3\n";
        assert_eq!(Memory::read(status), Some(Memory { resident_kb: 1024, peak_kb: 2048 }));
        assert_eq!(Memory::read("Name:\tkthreadd\n"), None);
        assert!(Memory::own().unwrap().resident_kb > 0);
    }

    #[test]
    fn a_fingerprint_knows_which_instances_there_are_and_not_their_order() {
        let all = instances(10).unwrap();
        let of = |all: &[NodeData]| Fingerprint::of(all).unwrap();
        let turned: Vec<_> = all.iter().rev().cloned().collect();
        assert_eq!(of(&all), of(&turned));
        assert_ne!(of(&all), of(&all[1..]));
        let mut again = all.clone();
        again[3].registered_at += 1;
        assert_ne!(of(&all), of(&again));
        assert_eq!(of(&[]), Fingerprint(0));
    }

    #[test]
    fn the_clock_goes_on_and_work_is_counted() {
        let (before, used_before) = (now_ns(), used_by_thread());
        let sum = (0..100_000_u64).fold(0, u64::wrapping_add);
        assert!(std::hint::black_box(sum) > 0);
        assert!(now_ns() > before && used_by_thread() > used_before && used() >= used_by_thread());
    }
}
