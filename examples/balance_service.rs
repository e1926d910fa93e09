//! Load balancing over a service: who is registered is picked, who is drained is not any more, on a fake ZooKeeper.
//!
//! `cargo run -p examples --example balance_service`

use std::collections::BTreeMap;
use std::time::Duration;

use loadbalance::{Balancer, Name, Request};
use proto::{NodeData, ServiceName};
use registry::{Native, Registry};
use tokio::time::{sleep, timeout};
use zk_session::Keeper;
use zk_session::fake::FakeZk;

/// No state is waited for longer.
const LIMIT: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let zk = FakeZk::default();
    let keeper = Keeper::start(zk.client());
    let registry = Registry::new(keeper.sessions(), Native::default());
    let time = ServiceName::parse("time")?;
    let big = registry.announce(&time, NodeData::at("127.0.0.1:8897".parse()?).with_weight(5))?;
    let small = registry.announce(&time, NodeData::at("127.0.0.1:8898".parse()?))?;
    big.registered().await?;
    small.registered().await?;

    // By name, as it may stand in a configuration. The discovery feeds the balancer: keep it.
    let algorithm: Name = "weight-round-robin".parse()?;
    let discovery = registry.follow(&time);
    let balancer = Balancer::follow(discovery.instances(), algorithm.algorithm());
    timeout(LIMIT, balancer.ready()).await??;
    show("both", &balancer)?;

    big.drain()?; // stays registered, gets no more requests
    becomes(&balancer, 1).await?;
    show("one is drained", &balancer)?;

    small.withdraw().await;
    becomes(&balancer, 0).await?;
    if let Err(why) = balancer.pick(&Request::default()) {
        println!("nobody: {why}");
    }
    // Somebody may come soon: this waits, but not for ever.
    let late = registry.announce(&time, NodeData::at("127.0.0.1:8899".parse()?))?;
    let picked = balancer.pick_within(LIMIT, &Request::default()).await?;
    println!("{} came", picked.id);

    late.withdraw().await;
    keeper.close().await;
    Ok(())
}

/// Twelve requests.
fn show(when: &str, balancer: &Balancer) -> anyhow::Result<()> {
    let mut served = BTreeMap::new();
    for _ in 0..12 {
        let picked = balancer.pick(&Request::default())?;
        *served.entry(picked.id.clone()).or_insert(0) += 1;
    }
    println!("{when}:");
    served.iter().for_each(|(id, requests)| println!("  {id} got {requests}"));
    Ok(())
}

/// News take a moment, and requests go on meanwhile. Only an example wants to see the moment.
async fn becomes(balancer: &Balancer, many: usize) -> anyhow::Result<()> {
    let reached = async {
        while balancer.candidates().len() != many {
            sleep(Duration::from_millis(1)).await;
        }
    };
    Ok(timeout(LIMIT, reached).await?)
}
