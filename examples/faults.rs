//! A test of a program of one's own, with the faults that production has: sessions that end, answers that are lost, a ZooKeeper that is away.
//!
//! `cargo run -p examples --example faults`. In a project of yours `start` is yours, and `main` is a test: `#[tokio::test(start_paused = true)]`
//! makes its clock run ahead whenever everybody waits. Put `zk-session` with the feature `fake` among the `[dev-dependencies]`.

use std::time::Duration;

use loadbalance::{Balancer, Request, RoundRobin};
use proto::{NodeData, ServiceName};
use registry::{Discovery, Native, Registration, Registry, Source};
use tokio::time::timeout;
use zk_session::fake::FakeZk;
use zk_session::{Connect, Keeper};

/// No state is waited for longer.
const LIMIT: Duration = Duration::from_secs(30);

/// What is tested: it is in the list, and asks whom the list has.
struct Program {
    keeper: Keeper,
    here: Registration,
    discovery: Discovery,
    balancer: Balancer,
}

/// Takes whatever it connects to, which is `ZooKeeper::builder(…).build()?` in production.
fn start(zookeeper: impl Connect) -> anyhow::Result<Program> {
    let keeper = Keeper::start(zookeeper);
    let registry = Registry::new(keeper.sessions(), Native::default());
    let hello = ServiceName::parse("hello")?;
    let here = registry.announce(&hello, NodeData::at("127.0.0.1:9001".parse()?))?;
    let discovery = registry.follow(&hello);
    let balancer = Balancer::follow(discovery.instances(), RoundRobin::default());
    Ok(Program { keeper, here, discovery, balancer })
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let zk = FakeZk::default();
    // Whether the answer to the very first request comes must make no difference.
    zk.lose_next_reply();
    let program = start(zk.client())?;
    timeout(LIMIT, program.here.registered()).await??;
    // The first list may be of the moment before: this one has the instance.
    timeout(LIMIT, program.balancer.wait_for(|all| all.len() == 1)).await??;
    let node = program.here.path();
    println!("registered, though an answer was lost");

    // A fault, and then the state that it has to lead to. Nothing sleeps in the hope of it.
    let before = zk.owner(node);
    zk.sessions().into_iter().for_each(|session| zk.expire(session));
    timeout(LIMIT, zk.until(|zk| zk.owner(node).is_some_and(|owner| Some(owner) != before))).await?;
    println!("registered again after the session ended");

    // The server is away: the last list stays, marked, and is picked from.
    let mut views = program.discovery.view();
    zk.stop();
    let is_stale = |source| matches!(source, Source::Stale { .. });
    timeout(LIMIT, views.wait_for(|view| view.as_ref().is_some_and(|view| is_stale(view.source)))).await??;
    let picked = program.balancer.pick(&Request::default())?;
    println!("picked without ZooKeeper: {}", picked.id);
    zk.start();
    timeout(LIMIT, views.wait_for(|view| view.as_ref().is_some_and(|view| !is_stale(view.source)))).await??;
    println!("the list is live again");

    // An orderly end leaves nothing behind.
    let path = node.to_owned();
    program.here.withdraw().await;
    program.keeper.close().await;
    println!("left behind: {:?}", zk.get(&path).is_some());
    Ok(())
}
