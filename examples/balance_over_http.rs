//! Registering and load balancing without ZooKeeper: all of it over HTTP, by way of a gateway.
//!
//! `make demo KEEP=1` starts a gateway and prints its address. Then `cargo run -p examples --example balance_over_http`, with
//! `GATEWAYS=http://HOST:PORT` (several with commas) where it is not the usual one.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use loadbalance::{Balancer, Request, WeightedRoundRobin};
use registry::http::Gateways;
use registry::{NodeData, ServiceName, Source};
use tokio::time::timeout;

/// How long anything may take that a gateway has a part in.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let addresses = std::env::var("GATEWAYS").unwrap_or_else(|_| "http://127.0.0.1:8480".to_owned());
    let gateways = Gateways::builder(&addresses).build()?;
    let mail = ServiceName::parse("mail")?;

    // Each is renewed for as long as it is kept, and registered again where it was lost.
    let big = gateways.announce(&mail, NodeData::at("127.0.0.1:2501".parse()?).with_weight(5))?;
    let small = gateways.announce(&mail, NodeData::at("127.0.0.1:2502".parse()?))?;
    for here in [&big, &small] {
        let registered = timeout(PATIENCE, here.registered()).await;
        registered.with_context(|| {
            format!("no gateway at {addresses} registers: {:?}", *here.status().borrow())
        })??;
    }

    // The lists of a gateway are those of ZooKeeper, and so is what a balancer makes of them. Keep the discovery: it feeds it.
    let discovery = gateways.follow(&mail);
    let balancer = Balancer::follow(discovery.instances(), WeightedRoundRobin::from_anywhere());
    // Who is registered is in the lists a moment later: each gateway follows ZooKeeper by itself.
    timeout(PATIENCE, balancer.wait_for(|all| all.len() == 2)).await??;
    let mut served = BTreeMap::new();
    for _ in 0..12 {
        let picked = balancer.pick(&Request::default())?;
        *served.entry(picked.id.clone()).or_insert(0) += 1;
    }
    served.iter().for_each(|(id, requests)| println!("{id} got {requests}"));

    // Losing the gateway would not empty the list: it would be stale, since something was last heard.
    let mut views = discovery.view();
    let live = views.wait_for(|view| view.as_ref().is_some_and(|view| view.source == Source::Live));
    if let Some(view) = &*timeout(PATIENCE, live).await?? {
        println!("the list is {:?}", view.source);
    }
    for here in [big, small] {
        timeout(PATIENCE, here.withdraw()).await?;
    }
    Ok(())
}
