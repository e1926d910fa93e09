//! One watcher: how long until it knows of a change, and what it asks the server for that.

use proto::ServiceName;
use zk_local::Proxy;
use zookeeper_client::Client;

use super::others::{Bare, Others, Seen, p50};
use crate::bench::stage::{SESSION, Stage};

/// The medians of a round.
pub(super) struct Times {
    pub(super) added: Seen,
    pub(super) raw_added: Seen,
    pub(super) deleted: Seen,
}

/// What the changes of a round cost, each on the average.
pub(super) struct Cost {
    pub(super) added: Each,
    pub(super) raw_added: Each,
    pub(super) deleted: Each,
}

pub(super) struct Each {
    pub(super) requests: f64,
    pub(super) received: f64,
    pub(super) sent: f64,
}

pub(super) async fn times(stage: &Stage, service: &ServiceName, later: &Others) -> anyhow::Result<Times> {
    stage.progress().doing("one watcher");
    let mut bare = Bare::watch(stage.raw().await?, &stage.directory(service)).await?;
    let raw_added = later.add_all_for(&mut bare).await?;
    drop(bare);
    later.take_away(usize::MAX).await?;

    let ours = stage.ours().await?;
    let discovery = ours.registry.follow(service);
    discovery.ready().await?;
    let added = later.add_all(&discovery).await?;
    let deleted = later.delete_all(&discovery).await?;
    ours.close().await;
    Ok(Times { added: p50(&added), raw_added: p50(&raw_added), deleted: p50(&deleted) })
}

/// Nothing where the server is not ours: it would count what others ask.
pub(super) async fn cost(
    stage: &Stage,
    service: &ServiceName,
    later: &Others,
) -> anyhow::Result<Option<Cost>> {
    let Some(server) = stage.own_server() else { return Ok(None) };
    stage.progress().doing("requests and bytes");
    let proxy = Proxy::start(server.address()).await?;
    let connector =
        Client::connector().with_session_timeout(SESSION).connect(&proxy.connect_string()).await?;
    let mut bare = Bare::watch(connector, &stage.directory(service)).await?;
    let raw_added = counted(stage, &proxy, later, later.add_all_for(&mut bare)).await?;
    drop(bare);
    later.take_away(usize::MAX).await?;
    drop(proxy);

    let proxy = Proxy::start(server.address()).await?;
    let ours = stage.start_at(&proxy.connect_string())?;
    let discovery = ours.registry.follow(service);
    discovery.ready().await?;
    let added = counted(stage, &proxy, later, later.add_all(&discovery)).await?;
    let deleted = counted(stage, &proxy, later, later.delete_all(&discovery)).await?;
    ours.close().await;
    Ok(Some(Cost { added, raw_added, deleted }))
}

/// What changes cost the follower behind a proxy; the writer is not behind it, and its requests are one for each.
async fn counted(
    stage: &Stage,
    proxy: &Proxy,
    later: &Others,
    changes: impl Future<Output = anyhow::Result<Vec<Seen>>>,
) -> anyhow::Result<Each> {
    let bytes = || {
        let traffic = *proxy.traffic().borrow();
        (traffic.bytes_to_client, traffic.bytes_to_server)
    };
    let many = later.nodes().len() as u64;
    let each = |all: u64| all as f64 / many as f64;
    let before = bytes();
    let (_, requests) = stage.counted(changes).await?;
    let after = bytes();
    Ok(Each {
        requests: each(requests.unwrap_or_default().saturating_sub(many)),
        received: each(after.0 - before.0),
        sent: each(after.1 - before.1),
    })
}
