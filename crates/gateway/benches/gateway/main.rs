//! What the gateway takes: its proxy beside nginx, a pick over HTTP beside a constant, and streams of events on a real ZooKeeper.
//!
//! `make bench-gateway` runs all of it and writes docs/bench/gateway.md; `cargo bench -p gateway --bench gateway -- --help` tells how to
//! repeat a part. Each proxy is a process with one worker on a processor of its own; what asks and what answers share another one.
//! All are measured in turn, round by round, so that whatever else the machine does meets all of them. Nothing here passes or fails.

mod figures;
mod latencies;
mod load;
mod page;
mod peers;
mod picking;
mod proxying;
mod roles;
mod streams;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::roles::Role;

/// As the program has it: what is measured here are the program's parts.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the gateway.
#[derive(Debug, Parser)]
#[command(name = "cargo bench -p gateway --bench gateway --")]
struct Args {
    /// What to measure; all of it unless told
    #[arg(value_name = "WHAT")]
    what: Vec<What>,
    /// One short round of each: a first look
    #[arg(long)]
    quick: bool,
    /// Only loads of the proxy whose name has this
    #[arg(long, value_name = "TEXT", default_value = "")]
    load: String,
    /// Only these proxies, of direct, nginx, gateway and legacy, which is the least that forwards by hyper-util's client
    #[arg(
        long,
        value_name = "NAME[,NAME...]",
        value_delimiter = ',',
        default_value = "direct,nginx,gateway"
    )]
    peers: Vec<String>,
    /// A folder that gets a page of what was measured, gateway.md
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// What a process of the bench does; for itself.
    #[arg(long, hide = true)]
    role: Option<Role>,
    /// Where the service is; for such a process.
    #[arg(long, hide = true)]
    service: Option<SocketAddr>,
    /// What cargo says to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    Proxy,
    Pick,
    Streams,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(role) = args.role {
        return roles::play(role, args.service);
    }
    let is_wanted = |what| args.what.is_empty() || args.what.contains(&what);
    let before = page::Before::now()?;
    let mut sections = Vec::new();
    let mut tell = |section: page::Section| {
        println!("{}\n", section.text());
        sections.push(section);
    };
    if is_wanted(What::Proxy) {
        let (rounds, time) = if args.quick { (1, 1) } else { (5, 2) };
        let is_peer = |name: &str| args.peers.iter().any(|peer| peer == name);
        for measured in proxying::measure(rounds, Duration::from_secs(time), &args.load, is_peer)? {
            tell(measured);
        }
    }
    if is_wanted(What::Pick) {
        let (rounds, time) = if args.quick { (1, 500) } else { (9, 1_500) };
        tell(page::picking(&picking::measure(rounds, Duration::from_millis(time))?));
    }
    if is_wanted(What::Streams) {
        let rounds = if args.quick { 3 } else { 25 };
        tell(page::streams(&streams::measure(rounds)?));
    }
    let Some(folder) = args.out else { return Ok(()) };
    println!("{}", page::write(&sections, &before, &folder)?.display());
    Ok(())
}
