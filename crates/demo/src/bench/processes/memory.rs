//! How much memory a process holds, as the kernel counts it.

use std::fs;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// Resident memory in kilobytes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Memory {
    pub(crate) now: u64,
    /// The most that it ever was.
    pub(crate) peak: u64,
}

/// The memory of this process.
pub(crate) fn ours() -> anyhow::Result<Memory> {
    of(std::process::id())
}

pub(crate) fn of(pid: u32) -> anyhow::Result<Memory> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let field = |name: &str| -> anyhow::Result<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next());
        Ok(number.with_context(|| format!("{path} has no {name}"))?.parse()?)
    };
    Ok(Memory { now: field("VmRSS:")?, peak: field("VmHWM:")? })
}
