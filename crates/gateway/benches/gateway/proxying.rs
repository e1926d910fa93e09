//! The proxy beside others, before the same service.

use std::time::Duration;

use anyhow::Context;

use crate::load::{Load, Measured};
use crate::page::{Section, proxying};
use crate::peers;
use crate::roles::Role;

/// Measures all loads whose name has this text, a section for each.
pub(crate) fn measure(
    rounds: usize,
    time: Duration,
    name: &str,
    is_wanted: impl Fn(&str) -> bool,
) -> anyhow::Result<Vec<Section>> {
    let service = peers::start(Role::Service, None)?;
    let peers: Vec<_> =
        peers::all(service.address)?.into_iter().filter(|peer| is_wanted(peer.name)).collect();
    let names: Vec<_> = peers.iter().map(|peer| peer.name).collect();
    let mut sections = Vec::new();
    for load in Load::ALL.iter().filter(|load| load.name.contains(name)) {
        let mut measured: Vec<Vec<Measured>> = peers.iter().map(|_| Vec::new()).collect();
        for round in 0..=rounds {
            for (peer, measured) in peers.iter().zip(&mut measured) {
                // The first round warms up, and is not counted.
                let time = if round == 0 { Duration::from_secs(1) } else { time };
                let result =
                    load.run(peer, time).with_context(|| format!("{} of {}", load.name, peer.name))?;
                if round > 0 {
                    measured.push(result);
                }
            }
        }
        sections.push(proxying(load, &names, &measured));
    }
    Ok(sections)
}
