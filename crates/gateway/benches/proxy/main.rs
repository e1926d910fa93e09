//! What the proxy takes beside nginx: requests per second, their times, and the processor time of each.
//!
//! `cargo bench -p gateway --bench proxy` runs all of it; nginx and wrk (Debian has both) have to be there. Each proxy is a process
//! with one worker on a processor of its own; what asks and what answers share another one. All are measured in turn, round by
//! round, so that whatever else the machine does meets all of them. Nothing here passes or fails.

mod load;
mod peers;
mod table;

use std::time::Duration;

use anyhow::Context;
use clap::Parser;

use crate::load::{Load, Measured};
use crate::peers::{Peer, Role};

/// Measures the proxy beside nginx.
#[derive(Debug, Parser)]
#[command(name = "cargo bench -p gateway --bench proxy --")]
struct Args {
    /// How often each is measured, in turn.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// For how many seconds at a time.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Only loads whose name has this.
    #[arg(long, default_value = "")]
    load: String,
    /// Only these: direct, nginx, gateway, legacy.
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// What a process of the bench does; for itself.
    #[arg(long, hide = true)]
    role: Option<Role>,
    /// Where the service is; for such a process.
    #[arg(long, hide = true)]
    service: Option<std::net::SocketAddr>,
    /// What cargo says to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(role) = args.role {
        return peers::play(role, args.service);
    }
    let service = peers::start(Role::Service, None)?;
    let wanted = |peer: &Peer| args.peers.is_empty() || args.peers.iter().any(|name| *name == peer.name);
    let peers: Vec<_> = peers::all(service.address)?.into_iter().filter(wanted).collect();
    for load in Load::ALL.iter().filter(|load| load.name.contains(&args.load)) {
        let mut measured: Vec<Vec<Measured>> = peers.iter().map(|_| Vec::new()).collect();
        for round in 0..=args.rounds {
            for (peer, measured) in peers.iter().zip(&mut measured) {
                // The first round warms up, and is not counted.
                let time = Duration::from_secs(if round == 0 { 1 } else { args.seconds });
                let result =
                    load.run(peer, time).with_context(|| format!("{} of {}", load.name, peer.name))?;
                if round > 0 {
                    measured.push(result);
                }
            }
        }
        table::print(load, &peers, &measured);
    }
    Ok(())
}
