//! What many instances, services, watchers and changes cost, and what that does not end.
//!
//! Memory is that of a process of its own, which does nothing but what is measured: a [`child::Child`] of this program,
//! whose side is [`part`].

pub(crate) mod burst;
mod changes;
mod child;
pub(crate) mod large;
mod memory;
pub(crate) mod part;
pub(crate) mod services;
pub(crate) mod slow;
pub(crate) mod watchers;

use proto::{Address, NodeData};

use super::report::Figure;
use super::stage::Stage;
use part::Told;

/// An instance with a name as long as those that orchestrators give: of 100,000, the names alone are 5 MB.
fn instance(number: u32, weight: u32) -> anyhow::Result<NodeData> {
    let host = format!("instance-{number:07}.pool-b.zone-1.region-2.example.net");
    let mut data = NodeData::at(Address::new(&host, 8897)?)
        .with_weight(weight)
        .with_metadata("version", "2.14.0")
        .with_metadata("zone", "b");
    // Any time will do; but given, so that the same instance is the same bytes.
    data.registered_at = 1_700_000_000_000 + u64::from(number);
    Ok(data)
}

/// Milliseconds from a moment here to one that a child told. What was there before is no time at all.
fn millis(from: u64, told: &Told) -> f64 {
    told.at.saturating_sub(from) as f64 / 1e6
}

fn megabytes(kilobytes: u64) -> f64 {
    kilobytes as f64 / 1024.0
}

/// Notes a number of requests where there is one: only a server of our own is asked what it counted.
fn note(figure: &mut Figure, requests: Option<u64>) {
    if let Some(requests) = requests {
        figure.push(requests as f64);
    }
}

/// What the server holds: bytes of its heap, and of the data as it reckons them.
async fn server_memory(stage: &Stage) -> anyhow::Result<Option<f64>> {
    let Some(pid) = stage.own_server().and_then(zk_local::Server::pid) else { return Ok(None) };
    Ok(Some(megabytes(memory::of(pid)?.now)))
}
