//! Many watchers in one process: how long until the last of them knows of a change?

use futures::future::{join_all, try_join_all};

use super::CROWD_CHANGES;
use super::follower::{Pair, Side, Times};
use super::others::p50;
use super::watcher::Watcher;
use crate::bench::processes::Who;
use crate::bench::scenarios::order::Order;
use crate::bench::stage::Stage;

/// As many sessions, each with a watch and a list of its own.
pub(super) const CROWD: usize = 50;

pub(super) async fn times(stage: &Stage, side: &Side, order: Order) -> anyhow::Result<Option<Times>> {
    let (mut ours, mut raw) = (None, None);
    for who in order.both() {
        stage.progress().doing(&format!("{CROWD} watchers"));
        match who {
            Who::Registry => ours = Some(pair(stage, side, who).await?),
            Who::BareClient => raw = Some(pair(stage, side, who).await?),
        }
    }
    Ok(ours.zip(raw).map(|(ours, raw)| Times { ours, raw }))
}

async fn pair(stage: &Stage, Side { service, later }: &Side, who: Who) -> anyhow::Result<Pair> {
    let watch = || Watcher::start(stage, stage.connect(), service, who);
    let mut crowd = try_join_all((0..CROWD).map(|_| watch())).await?;
    let mut seen = [Vec::new(), Vec::new()];
    for (there, seen) in [true, false].into_iter().zip(&mut seen) {
        for node in later.nodes().iter().take(CROWD_CHANGES) {
            let see = async {
                try_join_all(crowd.iter_mut().map(|watcher| watcher.shows(node, there))).await?;
                Ok(())
            };
            seen.push(later.change(node, there, see).await?);
        }
    }
    join_all(crowd.into_iter().map(Watcher::end)).await;
    let [added, deleted] = seen.map(|seen| p50(&seen));
    Ok(Pair { added, deleted })
}
