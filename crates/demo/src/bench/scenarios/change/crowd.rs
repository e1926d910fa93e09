//! Many watchers in one process: how long until the last of them knows of a change?

use futures::future::{join_all, try_join_all};
use proto::ServiceName;

use super::CROWD_CHANGES;
use super::others::{Bare, Others, Seen, p50, shows};
use crate::bench::stage::Stage;

/// As many sessions, each with a watch and a list of its own.
pub(super) const CROWD: usize = 50;

/// The medians of a round.
pub(super) struct Times {
    pub(super) ours: Seen,
    pub(super) raw: Seen,
}

pub(super) async fn times(stage: &Stage, service: &ServiceName, later: &Others) -> anyhow::Result<Times> {
    stage.progress().doing(&format!("{CROWD} bare clients"));
    let raw = raw(stage, service, later).await?;
    later.take_away(CROWD_CHANGES).await?;
    stage.progress().doing(&format!("{CROWD} watchers"));
    let ours = ours(stage, service, later).await?;
    later.take_away(CROWD_CHANGES).await?;
    Ok(Times { ours: p50(&ours), raw: p50(&raw) })
}

async fn raw(stage: &Stage, service: &ServiceName, later: &Others) -> anyhow::Result<Vec<Seen>> {
    let directory = stage.directory(service);
    let watch = async || Bare::watch(stage.raw().await?, &directory).await;
    let mut crowd = try_join_all((0..CROWD).map(|_| watch())).await?;
    let mut all = Vec::new();
    for node in later.nodes().iter().take(CROWD_CHANGES) {
        let see = async {
            try_join_all(crowd.iter_mut().map(|bare| bare.reads(&node.path))).await?;
            Ok(())
        };
        all.push(later.add(node, see).await?);
    }
    Ok(all)
}

async fn ours(stage: &Stage, service: &ServiceName, later: &Others) -> anyhow::Result<Vec<Seen>> {
    let follow = async || {
        let ours = stage.ours().await?;
        let discovery = ours.registry.follow(service);
        discovery.ready().await?;
        Ok::<_, anyhow::Error>((ours, discovery))
    };
    let crowd = try_join_all((0..CROWD).map(|_| follow())).await?;
    let mut lists: Vec<_> = crowd.iter().map(|(_, discovery)| discovery.instances()).collect();
    let mut all = Vec::new();
    for node in later.nodes().iter().take(CROWD_CHANGES) {
        let see = async {
            try_join_all(lists.iter_mut().map(|lists| shows(lists, &node.id, true))).await?;
            Ok(())
        };
        all.push(later.add(node, see).await?);
    }
    join_all(crowd.into_iter().map(|(ours, _)| ours.close())).await;
    Ok(all)
}
