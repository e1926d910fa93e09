//! The quickstart on real ZooKeeper servers, which ZK_CONNECT names: `zk1:2181,zk2:2181/some/path`.
//!
//! `ZK_CONNECT=127.0.0.1:2181 cargo run -p examples --example on_zookeeper`; stop the server meanwhile and start it
//! again: the instance and the list survive it. Ctrl-C ends it in order, and so does SIGTERM.

use std::pin::pin;
use std::time::Duration;

use anyhow::Context;
use proto::{NodeData, ServiceName};
use registry::{Native, Registry, Source};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use zk_session::{Keeper, ZooKeeper};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // From here on no signal ends it in disorder, and none that comes between two rounds below is lost.
    let mut stop = pin!(stop()?);
    let servers = std::env::var("ZK_CONNECT").context("set ZK_CONNECT, to 127.0.0.1:2181 for example")?;
    let zookeeper = ZooKeeper::builder(&servers).session_timeout(Duration::from_secs(10)).build()?;
    let keeper = Keeper::start(zookeeper);
    let registry = Registry::new(keeper.sessions(), Native::default());
    let example = ServiceName::parse("example")?;

    // Without ZooKeeper a service starts as well: this returns at once, and waiting for it is optional.
    let here = registry.announce(&example, NodeData::at("127.0.0.1:2500".parse()?))?;
    if timeout(Duration::from_secs(5), here.registered()).await.is_err() {
        println!("not registered yet, which goes on in the background: {:?}", *here.status().borrow());
        println!("the connection: {:?}", *keeper.sessions().state().borrow());
    }

    let discovery = registry.follow(&example);
    let mut views = discovery.view();
    loop {
        tokio::select! {
            changed = views.changed() => changed.context("the discovery ended")?,
            () = &mut stop => break,
        }
        if let Some(view) = views.borrow_and_update().clone() {
            let names: Vec<_> = view.entries.iter().map(|instance| instance.id.as_str()).collect();
            match view.source {
                Source::Live => println!("{example}: {names:?}"),
                Source::Stale { .. } => println!("{example}: {names:?} when it was last known"),
            }
        }
    }

    // Each end is bounded: a server that is away must not keep this process.
    let _ = timeout(Duration::from_secs(1), here.withdraw()).await;
    keeper.close().await;
    Ok(())
}

/// Ctrl-C, or SIGTERM, which a deploy sends.
fn stop() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
    })
}
