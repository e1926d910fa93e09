//! What the scenarios of many instances, services, watchers and changes have in common.

use crate::bench::processes::{Memory, Told};
use crate::bench::report::Figure;
use crate::bench::stage::Stage;

/// Milliseconds from a moment here to one that a child told. What was there before is no time at all.
pub(crate) fn millis(from: u64, told: &Told) -> f64 {
    told.at.saturating_sub(from) as f64 / 1e6
}

pub(crate) fn megabytes(kilobytes: u64) -> f64 {
    kilobytes as f64 / 1024.0
}

/// Notes a number of requests where there is one: only a server of our own is asked what it counted.
pub(crate) fn note(figure: &mut Figure, requests: Option<u64>) {
    if let Some(requests) = requests {
        figure.push(requests as f64);
    }
}

/// What the server holds: bytes of its heap, and of the data as it reckons them.
pub(crate) async fn server_memory(stage: &Stage) -> anyhow::Result<Option<f64>> {
    let Some(pid) = stage.own_server().and_then(zk_local::Server::pid) else { return Ok(None) };
    Ok(Some(megabytes(Memory::of(pid)?.resident_kb)))
}
