//! Connecting by TLS, as somebody who is known by a password, to nodes that only he may change and anybody may read.
//!
//! `ZK_CONNECT=zk1:2281 ZK_CA=ca.pem ZK_PASSWORD=… cargo run -p examples --example secured`, with the `secureClientPort` of the servers. The feature
//! `tls` of `zk-session` is needed.

use std::time::Duration;

use anyhow::Context;
use proto::{NodeData, Root, ServiceName};
use registry::{Native, Registry, Status};
use tokio::time::timeout;
use zk_session::{Acl, Builder, Keeper, Reader, Tls, ZooKeeper};

/// No answer is waited for longer.
const LIMIT: Duration = Duration::from_secs(30);

fn servers() -> anyhow::Result<Builder> {
    let servers = std::env::var("ZK_CONNECT").context("set ZK_CONNECT, to zk1:2281 for example")?;
    let authorities = std::env::var("ZK_CA").context("set ZK_CA to a file of those who sign servers")?;
    let ca_pem =
        std::fs::read_to_string(&authorities).with_context(|| format!("cannot read {authorities}"))?;
    // With a certificate of ours as the `identity`, servers can know us by that.
    Ok(ZooKeeper::builder(&servers).tls(Tls { ca_pem, identity: None }))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let password = std::env::var("ZK_PASSWORD").context("set ZK_PASSWORD, ZK_CA and ZK_CONNECT")?;
    let known = servers()?.digest("registry", &password).acl(Acl::Creator { readers: Some(Reader::Anyone) });
    let keeper = Keeper::start(known.build()?);
    let registry = Registry::new(keeper.sessions(), Native { root: Root::parse("/secured")? });
    let mail = ServiceName::parse("mail")?;
    let here = registry.announce(&mail, NodeData::at("127.0.0.1:2501".parse()?))?;
    let registered = timeout(LIMIT, here.registered()).await;
    // A server that is not trusted, or does not speak TLS, cannot be reached: that stands in the state.
    registered.with_context(|| format!("no connection: {:?}", *keeper.sessions().state().borrow()))??;
    println!("registered by TLS at {}", here.path());

    // Somebody without the password reads, and is refused when he writes. That heals when the rights do.
    let stranger = Keeper::start(servers()?.build()?);
    let registry = Registry::new(stranger.sessions(), Native { root: Root::parse("/secured")? });
    let discovery = registry.follow(&mail);
    println!("a stranger sees {}", timeout(LIMIT, discovery.ready()).await??.len());
    let there = registry.announce(&mail, NodeData::at("127.0.0.1:2502".parse()?))?;
    let mut status = there.status();
    let refused = status.wait_for(|now| matches!(now, Status::Registering { problem: Some(_) }));
    if let Status::Registering { problem: Some(problem) } = &*timeout(LIMIT, refused).await?? {
        println!("a stranger may not register: {problem}");
    }

    timeout(LIMIT, here.withdraw()).await?;
    stranger.close().await;
    keeper.close().await;
    Ok(())
}
