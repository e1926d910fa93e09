//! One watcher: how long until it knows of a change, and what it asks the server for that.

use proto::ServiceName;
use zk_local::Proxy;

use super::CHANGES;
use super::others::{Others, Seen, p50};
use super::watcher::Watcher;
use crate::bench::processes::Who;
use crate::bench::scenarios::order::Order;
use crate::bench::stage::Stage;

/// A service, and what changes in it.
pub(super) struct Side {
    pub(super) service: ServiceName,
    pub(super) later: Others,
}

/// The medians of a round.
pub(super) struct Times {
    pub(super) ours: Pair,
    pub(super) raw: Pair,
}

pub(super) struct Pair {
    pub(super) added: Seen,
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

/// The times on all sides, which take turns, change by change: what the machine does meanwhile meets them alike.
pub(super) async fn times(stage: &Stage, sides: &[Side], order: Order) -> anyhow::Result<Vec<Times>> {
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    for who in order.both() {
        stage.progress().doing("one watcher");
        match who {
            Who::Registry => ours = pairs(stage, sides, who).await?,
            Who::BareClient => raw = pairs(stage, sides, who).await?,
        }
    }
    Ok(ours.into_iter().zip(raw).map(|(ours, raw)| Times { ours, raw }).collect())
}

async fn pairs(stage: &Stage, sides: &[Side], who: Who) -> anyhow::Result<Vec<Pair>> {
    let mut watchers = Vec::new();
    for side in sides {
        watchers.push(Watcher::start(stage, stage.connect(), &side.service, who).await?);
    }
    let mut seen = [true, false].map(|_| vec![Vec::new(); sides.len()]);
    for (there, seen) in [true, false].into_iter().zip(&mut seen) {
        for index in 0..CHANGES {
            for ((Side { later, .. }, watcher), seen) in sides.iter().zip(&mut watchers).zip(&mut *seen) {
                let node = &later.nodes()[index];
                seen.push(later.change(node, there, watcher.shows(node, there)).await?);
            }
        }
    }
    for watcher in watchers {
        watcher.end().await;
    }
    let [added, deleted] = seen;
    let pair = |(added, deleted): (Vec<_>, Vec<_>)| Pair { added: p50(&added), deleted: p50(&deleted) };
    Ok(added.into_iter().zip(deleted).map(pair).collect())
}

/// Nothing where the server is not ours: it would count what others ask.
pub(super) async fn cost(stage: &Stage, side: &Side) -> anyhow::Result<Option<Cost>> {
    if stage.own_server().is_none() {
        return Ok(None);
    }
    stage.progress().doing("requests and bytes");
    let [raw_added, _] = counted(stage, side, Who::BareClient).await?;
    let [added, deleted] = counted(stage, side, Who::Registry).await?;
    Ok(Some(Cost { added, raw_added, deleted }))
}

/// What changes cost a watcher behind a proxy; the writer is not behind it, and its requests are one for each.
async fn counted(stage: &Stage, Side { service, later }: &Side, who: Who) -> anyhow::Result<[Each; 2]> {
    let proxy = stage.way().await?;
    let mut watcher = Watcher::start(stage, &stage.through(proxy.as_ref()), service, who).await?;
    let bytes = || {
        let traffic = proxy.as_ref().map(Proxy::traffic).map(|traffic| *traffic.borrow());
        traffic.map_or((0, 0), |traffic| (traffic.bytes_to_client, traffic.bytes_to_server))
    };
    let many = later.nodes().len() as u64;
    let each = |all: u64| all as f64 / many as f64;
    let mut costs = Vec::new();
    for there in [true, false] {
        let before = bytes();
        let changes = async {
            for node in later.nodes() {
                later.change(node, there, watcher.shows(node, there)).await?;
            }
            Ok(())
        };
        let ((), requests) = stage.counted(changes).await?;
        let after = bytes();
        costs.push(Each {
            requests: each(requests.unwrap_or_default().saturating_sub(many)),
            received: each(after.0 - before.0),
            sent: each(after.1 - before.1),
        });
    }
    watcher.end().await;
    costs.try_into().map_err(|_| anyhow::anyhow!("not both kinds of changes were counted"))
}
