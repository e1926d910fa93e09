//! Load balancing over a fixed list, without ZooKeeper: in turn by weight, the next one for a request that failed, and the
//! same one for the same key.
//!
//! `cargo run -p examples --example balance_fixed`; it needs the crates `loadbalance` and `proto` alone.

use std::collections::HashSet;

use loadbalance::{Balancer, Hash, PickError, Request, WeightedRoundRobin};
use proto::{Instance, NodeData};

fn server(address: &str, weight: u32) -> anyhow::Result<Instance> {
    Ok(Instance::new(NodeData::at(address.parse()?).with_weight(weight))?)
}

/// What would be a request to somebody else.
fn ask(server: &Instance) -> Result<(), &'static str> {
    if server.id.as_str() == "10.0.0.1:80" { Err("refused") } else { Ok(()) }
}

/// Asks one after the other until one answers; `Err` when everybody was asked.
fn send(balancer: &Balancer) -> Result<(), PickError> {
    let mut tried = HashSet::new();
    loop {
        // Counts as in flight until it is dropped.
        let picked = balancer.pick(&Request::default().tried(&tried))?;
        match ask(&picked) {
            Ok(()) => {
                println!("{} answered, at try {}", picked.id, tried.len() + 1);
                return Ok(());
            }
            Err(_) => {
                tried.insert(picked.id.clone());
                picked.failed();
            }
        }
    }
}

fn main() -> anyhow::Result<()> {
    let servers = [server("10.0.0.1:80", 5)?, server("10.0.0.2:80", 1)?, server("10.0.0.3:80", 1)?];
    let balancer = Balancer::fixed(servers.clone(), WeightedRoundRobin::default());
    for _ in 0..7 {
        println!("{} is next", balancer.pick(&Request::default())?.id);
    }
    send(&balancer)?;

    // The same server for the same path, here and in every other process with this list.
    let by_url = Balancer::fixed(servers, Hash::by_url());
    for path in ["/data/video?id=7", "/data/video?id=8", "/data/video?id=7"] {
        println!("{path} belongs to {}", by_url.pick(&Request::url(path))?.id);
    }
    // A hash without a key is an error, not a random pick.
    if let Err(why) = by_url.pick(&Request::default()) {
        println!("{why}");
    }
    println!("{}", by_url.explain(&Request::url("/data/video?id=7")));

    // Another list, by hand.
    by_url.replace([server("10.0.0.9:80", 1)?]);
    println!("now it belongs to {}", by_url.pick(&Request::url("/data/video?id=7"))?.id);
    Ok(())
}
