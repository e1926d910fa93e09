//! A first program: two instances register and one client follows them, on a fake ZooKeeper inside this process.
//!
//! `cargo run -p examples --example quickstart`; `on_zookeeper.rs` is for real servers.

use proto::{NodeData, ServiceName};
use registry::{InstanceChange, Native, Registry};
use zk_session::Keeper;
use zk_session::fake::FakeZk;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // A server, and one program's connection to it. The keeper opens the next one whenever it ends.
    let zk = FakeZk::default();
    let keeper = Keeper::start(zk.client());
    let registry = Registry::new(keeper.sessions(), Native::default());
    let time = ServiceName::parse("time")?;

    let discovery = registry.follow(&time);
    let mut changes = discovery.changes();

    // Announcing returns at once; waiting for it is optional.
    let first = registry.announce(&time, NodeData::at("127.0.0.1:8897".parse()?))?;
    first.registered().await?;
    println!("registered at {}", first.path());
    print(changes.next().await);

    let second =
        registry.announce(&time, NodeData::at("127.0.0.1:8898".parse()?).with_metadata("zone", "b"))?;
    print(changes.next().await);

    first.drain()?; // stays registered, gets no more requests
    print(changes.next().await);

    second.withdraw().await;
    print(changes.next().await);

    println!("left: {:?}", zk.children(discovery.path()));
    keeper.close().await;
    Ok(())
}

fn print(changes: Option<Vec<InstanceChange>>) {
    for change in changes.into_iter().flatten() {
        match change {
            InstanceChange::Added(instance) => println!("+ {}", instance.id),
            InstanceChange::Removed(instance) => println!("- {}", instance.id),
            InstanceChange::Updated { after, .. } => {
                println!("~ {} has weight {} now", after.id, after.data.weight);
            }
        }
    }
}
