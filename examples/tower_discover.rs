//! Whoever has a balancer already that takes tower's `Discover`, tower's own for example: changes of a followed service.
//!
//! `cargo run -p examples --example tower_discover`, on a fake ZooKeeper, or on the servers that ZK_CONNECT names.

use std::convert::Infallible;
use std::future::ready;

use adapters::tower::Discovered;
use loadbalance::Instances;
use proto::{NodeData, ServiceName};
use registry::{Native, Registry};
use tower::balance::p2c::Balance;
use tower::load::{CompleteOnResponse, PendingRequests};
use tower::{BoxError, Service, ServiceExt, service_fn};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let keeper = examples::keeper()?;
    let registry = Registry::new(keeper.sessions(), Native::default());
    let time = ServiceName::parse("example-tower")?;
    let first = registry.announce(&time, NodeData::at("127.0.0.1:8897".parse()?))?;
    first.registered().await?;

    let discovery = registry.follow(&time);
    let discovered = Discovered::new(discovery.instances(), |instance| {
        let id = instance.id.clone();
        let ask = service_fn(move |what: &'static str| ready(Ok::<_, Infallible>(format!("{id}: {what}"))));
        Ok(PendingRequests::new(ask, CompleteOnResponse::default()))
    });
    let mut balance = Balance::new(discovered);
    println!("{}", ask(&mut balance, "noon").await?);

    // Another one comes, and the first one gets no more requests.
    let second = registry.announce(&time, NodeData::at("127.0.0.1:8898".parse()?))?;
    second.registered().await?;
    first.drain()?;
    let is_drained = |list: &Instances| list.iter().map(|it| it.data.weight).eq([0, 1]);
    discovery.instances().wait_for(|list| list.as_ref().is_some_and(is_drained)).await?;
    println!("{}", ask(&mut balance, "one o'clock").await?);
    first.withdraw().await;
    second.withdraw().await;
    keeper.close().await;
    Ok(())
}

async fn ask<S>(balance: &mut S, what: &'static str) -> anyhow::Result<String>
where
    S: Service<&'static str, Response = String, Error = BoxError>,
{
    let answer = async { balance.ready().await?.call(what).await };
    answer.await.map_err(anyhow::Error::from_boxed)
}
