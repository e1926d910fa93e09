//! The steps that scenarios of many instances, services and watchers have in common, each in processes of their own.

use proto::{NodeData, ServiceName};
use zk_local::{Proxy, Server};
use zookeeper_client::{Client, Error};

use super::time::millis_between;
use crate::bench::processes::{Ask, Child, Memory, Role, Told, now_ns};
use crate::bench::report::{Figure, median};
use crate::bench::stage::{Stage, ephemeral};

/// A process that was started, and what it took until all was there.
pub(super) struct Started {
    pub(super) child: Child,
    pub(super) told: Told,
    pub(super) took_ms: f64,
    pub(super) requests: Option<f64>,
}

/// What a cut cost.
pub(super) struct Back {
    pub(super) took_ms: f64,
    pub(super) requests: Option<f64>,
    pub(super) lost: usize,
}

/// The figures of one kind of change, made again and again.
pub(super) struct Single<'a> {
    /// In milliseconds.
    pub(super) took: &'a mut Figure,
    pub(super) requests: &'a mut Figure,
}

/// From when a change is timed.
#[derive(Clone, Copy)]
pub(super) enum Since {
    Call,
    /// It may be seen before that.
    Acknowledgement,
}

/// Starts a process for a role; from just before until it has all, lists of `len` instances where it follows.
pub(super) async fn start(stage: &Stage, role: &Role, len: usize) -> anyhow::Result<Started> {
    let work = async {
        let begin = now_ns();
        let mut child = Child::start(role)?;
        let told = child.ask(&Ask::Whole { len }).await?;
        Ok((child, millis_until(begin, &told), told))
    };
    let ((child, took_ms, told), requests) = stage.counted(work).await?;
    Ok(Started { child, told, took_ms, requests: requests.map(|all| all as f64) })
}

/// Cuts the connections of a process, until all is with it as it was.
pub(super) async fn cut(stage: &Stage, way: &Proxy, child: &mut Child) -> anyhow::Result<Back> {
    let work = async {
        child.expect(&Ask::Return).await?;
        let begin = now_ns();
        way.cut();
        let told = child.told().await?;
        Ok((millis_until(begin, &told), told.lost))
    };
    let ((took_ms, lost), requests) = stage.counted(work).await?;
    Ok(Back { took_ms, requests: requests.map(|all| all as f64), lost })
}

/// Somebody else's session adds each of `data` to a service and then deletes each, one after the other, while a process
/// follows. A round's figure is the median; requests are those for one change, less the writer's.
pub(super) async fn one_by_one(
    stage: &Stage,
    service: &ServiceName,
    data: &[NodeData],
    since: Since,
    followers: &mut Child,
    [added, deleted]: [Single<'_>; 2],
) -> anyhow::Result<()> {
    let writer = stage.raw().await?;
    let ids: Vec<_> =
        data.iter().map(|data| Ok(data.default_id()?.to_string())).collect::<anyhow::Result<_>>()?;
    let nodes = stage.nodes(service, data)?;
    for (there, figures) in [(true, added), (false, deleted)] {
        let work = async {
            let mut all = Vec::new();
            for (id, node) in ids.iter().zip(&nodes) {
                followers.expect(&Ask::Shows { id: id.clone(), there }).await?;
                let called = now_ns();
                write(&writer, node, there).await?;
                let begin = match since {
                    Since::Call => called,
                    Since::Acknowledgement => now_ns(),
                };
                all.push(millis_between(begin, followers.told().await?.at));
            }
            Ok(all)
        };
        let (all, requests) = stage.counted(work).await?;
        figures.took.push(median(&all));
        let each = |all: u64| all.saturating_sub(data.len() as u64) as f64 / data.len() as f64;
        figures.requests.push_known(requests.map(each));
    }
    Ok(())
}

/// Makes or deletes a node.
pub(super) async fn write(
    writer: &Client,
    (path, value): &(String, Vec<u8>),
    there: bool,
) -> Result<(), Error> {
    match there {
        true => writer.create(path, value, &ephemeral()).await.map(|_| ()),
        false => writer.delete(path, None).await,
    }
}

/// Milliseconds from a moment here to one that a process told. What was there before is no time at all.
pub(super) fn millis_until(from: u64, told: &Told) -> f64 {
    told.at.saturating_sub(from) as f64 / 1e6
}

pub(super) fn mebibytes(kilobytes: u64) -> f64 {
    kilobytes as f64 / 1024.0
}

/// What the server holds, in mebibytes, where it is ours.
pub(super) fn server_memory(stage: &Stage) -> anyhow::Result<Option<f64>> {
    let Some(pid) = stage.own_server().and_then(Server::pid) else { return Ok(None) };
    Ok(Some(mebibytes(Memory::of(pid)?.resident_kb)))
}
