//! Writes to ZooKeeper itself that count only while we lead: the check and the write are one transaction, on a fake ZooKeeper.
//!
//! `cargo run -p examples --example leader_fenced`

use leader::{Election, Error, Op, Root};
use proto::{NodeData, ServiceName};
use zk_session::Keeper;
use zk_session::fake::FakeZk;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let zk = FakeZk::default();
    zk.put("/config", "old");
    let keeper = Keeper::start(zk.client());
    let election = Election::new(keeper.sessions(), Root::default());

    let candidacy =
        election.campaign(&ServiceName::parse("config")?, NodeData::at("127.0.0.1:8897".parse()?))?;
    let leadership = candidacy.elected().await?;
    let write = |data: &str| [Op::Set { path: "/config".to_owned(), data: data.into(), version: None }];
    leadership.commit(&write("new")).await?;
    println!("written: {}", String::from_utf8(zk.get("/config").map(|node| node.data).unwrap_or_default())?);

    // Somebody deletes our node, and the notification is on its way: the guard cannot know. ZooKeeper does.
    zk.hold_watches(true);
    zk.remove(leadership.path());
    println!("the guard says: {}", leadership.holds());
    match leadership.commit(&write("stale")).await {
        Err(Error::Lost(why)) => println!("refused: {why}"),
        other => anyhow::bail!("this should have been refused, and was {other:?}"),
    }
    zk.hold_watches(false);
    println!(
        "unchanged: {}",
        String::from_utf8(zk.get("/config").map(|node| node.data).unwrap_or_default())?
    );
    keeper.close().await;
    Ok(())
}
