//! Who leads? Asked once, and followed, by a program that does not stand for election, on a fake ZooKeeper.
//!
//! `cargo run -p examples --example leader_observe`

use leader::{Election, Root, Source, View};
use proto::{NodeData, ServiceName};
use zk_session::Keeper;
use zk_session::fake::FakeZk;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let zk = FakeZk::default();
    let (servers, client) = (Keeper::start(zk.client()), Keeper::start(zk.client()));
    let time = ServiceName::parse("time")?;
    let standing = Election::new(servers.sessions(), Root::default());
    let asking = Election::new(client.sessions(), Root::default());

    println!("before anybody stands: {:?}", asking.master(&time).await?);
    let observer = asking.observe(&time);
    let mut views = observer.view();

    let first = standing.campaign(&time, NodeData::at("127.0.0.1:8897".parse()?))?;
    first.elected().await?;
    // Who campaigns at the same moment may be first in the line: it is the servers that decide.
    let second = standing.campaign(&time, NodeData::at("127.0.0.1:8898".parse()?))?;
    show(views.wait_for(|view| leads(view, "127.0.0.1:8897")).await?.as_ref());
    first.resign().await;
    second.elected().await?;
    show(views.wait_for(|view| leads(view, "127.0.0.1:8898")).await?.as_ref());

    // From memory, without a request.
    println!("now: {}", observer.master().map_or_else(|| "nobody".to_owned(), |master| master.id.clone()));
    client.close().await;
    servers.close().await;
    Ok(())
}

fn leads(view: &Option<View>, id: &str) -> bool {
    view.as_ref().and_then(|view| view.master.as_ref()).is_some_and(|master| master.id == id)
}

fn show(view: Option<&View>) {
    let Some(View { master: Some(master), source }) = view else { return };
    let trust = if *source == Source::Live { "live" } else { "the last that was known" };
    let address = match &master.data {
        Ok(data) => data.address.as_ref().map_or_else(|| "no address".to_owned(), ToString::to_string),
        Err(why) => format!("unreadable: {why}"),
    };
    println!("{} leads at {address} ({trust})", master.id);
}
