//! How much memory a process holds, as the system counts it.

use std::fs;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// What the system says of a process' memory, in KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Memory {
    pub(crate) resident_kb: u64,
    /// The most that it ever was.
    pub(crate) peak_kb: u64,
}

impl Memory {
    /// Of this process.
    pub(super) fn own() -> anyhow::Result<Self> {
        Self::of(std::process::id())
    }

    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        let path = format!("/proc/{pid}/status");
        let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        Self::read(&status).with_context(|| format!("{path} tells nothing of memory"))
    }

    fn read(status: &str) -> Option<Self> {
        let figure = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.trim().strip_suffix("kB")?.trim().parse().ok()
        };
        Some(Self { resident_kb: figure("VmRSS")?, peak_kb: figure("VmHWM")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_what_the_system_writes() {
        let status = "Name:\tdemo\nVmPeak:\t  999 kB\nVmHWM:\t    2048 kB\nVmRSS:\t   1024 kB\nThreads:\t3\n";
        assert_eq!(Memory::read(status), Some(Memory { resident_kb: 1024, peak_kb: 2048 }));
        assert_eq!(Memory::read("Name:\tkthreadd\n"), None);
        assert!(Memory::own().unwrap().resident_kb > 0);
    }
}
