//! The connection is cut while the first list is read: nobody is to be shown a part of it, and it heals.

use std::time::Duration;

use anyhow::{Context as _, bail};
use proto::ServiceName;
use registry::Instances;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use zk_session::READ_BATCH;

use super::first_list;
use crate::bench::report::{Figure, Ratio};
use crate::bench::scenarios::lists::is_live;
use crate::bench::scenarios::promises::{never_above, none};
use crate::bench::scenarios::time::millis;
use crate::bench::stage::Stage;

const PATIENCE: Duration = Duration::from_secs(60);
/// Within so many milliseconds after its reconnect a follower has what it was cut off from.
const HEALED: f64 = 2_000.0;
/// So often it is tried to cut before the list is whole.
const TRIES: usize = 5;

/// What is measured where the first load is cut short.
pub(super) struct CutShort {
    healed: Figure,
    shown: Figure,
}

impl CutShort {
    pub(super) fn new() -> Self {
        Self {
            healed: Figure::new(
                "cut off half-way: from the reconnect until the list is there, and whole",
                "ms",
            ),
            shown: Figure::new("cut off half-way: lists that were shown in part", ""),
        }
    }

    pub(super) fn push(&mut self, healed: Option<Healed>) {
        self.healed.push_known(healed.map(|healed| healed.took));
        self.shown.push_known(healed.map(|healed| healed.in_part as f64));
    }

    pub(super) fn ratios(&self) -> Vec<Ratio> {
        let healed = "cut off half-way: whole after the reconnect, ms";
        let healed = never_above(healed, &self.healed.values, HEALED);
        let shown = none("cut off half-way: lists that were shown in part", &self.shown);
        healed.into_iter().chain(shown).collect()
    }

    pub(super) fn list(self) -> [Figure; 2] {
        [self.healed, self.shown]
    }
}

/// What came of a first load that was cut short.
#[derive(Clone, Copy)]
pub(super) struct Healed {
    /// From the reconnect until the list was whole, in milliseconds.
    took: f64,
    /// How many lists were shown that were not.
    in_part: usize,
}

/// Follows by a way that is cut half-way; nothing where the way to the server is not ours.
///
/// # Errors
///
/// It cannot be cut before the list is whole, or does not heal.
pub(super) async fn cut_short(
    stage: &Stage,
    service: &ServiceName,
    all: usize,
) -> anyhow::Result<Option<Healed>> {
    let Some(way) = stage.way().await? else { return Ok(None) };
    let ours = stage.start_at(&way.connect_string())?;
    first_list(&ours, service, all).await?;
    let answers = way.traffic().borrow().answers;
    ours.close().await;

    let half = all.div_ceil(READ_BATCH).div_ceil(2);
    // Something else than a read may be answered last; then it takes some more.
    for held_back in half..half + TRIES {
        let passing = answers.saturating_sub(held_back as u64);
        let cut = timeout(PATIENCE, cut_after(stage, service, all, passing)).await;
        if let Some(healed) = cut.context("a first load that was cut short does not heal")?? {
            return Ok(Some(healed));
        }
    }
    bail!("a first load of {answers} answers is whole without the last {}", half + TRIES - 1)
}

/// Follows by a way that lets so many answers pass and is then cut; nothing where the list was whole by then.
async fn cut_after(
    stage: &Stage,
    service: &ServiceName,
    all: usize,
    answers: u64,
) -> anyhow::Result<Option<Healed>> {
    let way = stage.way().await?.context("the way to the server is not ours")?;
    way.stall_after(answers);
    let ours = stage.start_at(&way.connect_string())?;
    let discovery = ours.registry.follow(service);
    let in_part = tokio::spawn(in_part(discovery.instances(), all));
    let mut lists = discovery.instances();
    // What comes now is held back: there is nothing to be early for.
    way.traffic().wait_for(|now| now.stalls == 1).await?;
    let link = ours.link().await?;
    way.refuse(true);
    way.cut();
    way.flow();
    link.ended().await;
    let was_whole = lists.borrow_and_update().as_ref().is_some_and(|list| list.len() == all);
    way.refuse(false);
    ours.link().await?;
    let start = Instant::now();
    is_live(&discovery, all).await?;
    lists.wait_for(|list| list.as_ref().is_some_and(|list| list.len() == all)).await?;
    let took = millis(start.elapsed());
    // Whoever looks at its lists looks at them to the end.
    drop(discovery);
    let in_part = in_part.await?;
    ours.close().await;
    Ok((!was_whole || in_part > 0).then_some(Healed { took, in_part }))
}

/// How many lists are shown that are not whole, until no more come.
async fn in_part(mut lists: watch::Receiver<Option<Instances>>, all: usize) -> usize {
    let mut in_part = 0;
    while lists.changed().await.is_ok() {
        let shown = lists.borrow_and_update().as_ref().is_some_and(|list| list.len() != all);
        in_part += usize::from(shown);
    }
    in_part
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::bench::stage::instances;

    fn list(count: u32) -> Option<Instances> {
        let instance =
            |data: proto::NodeData| Arc::new(proto::Instance { id: data.default_id().unwrap(), data });
        Some(instances(count).unwrap().into_iter().map(instance).collect())
    }

    #[tokio::test]
    async fn every_list_that_is_shown_in_part_is_counted_whenever_it_comes() {
        for (shown, expected) in [(&[7][..], 0), (&[3, 7], 1), (&[7, 3, 7, 0], 2), (&[], 0)] {
            let (publish, lists) = watch::channel(None);
            let counting = tokio::spawn(in_part(lists, 7));
            for count in shown {
                publish.send_replace(list(*count));
                // A user that is never late sees each.
                tokio::task::yield_now().await;
            }
            drop(publish);
            assert_eq!(counting.await.unwrap(), expected, "{shown:?}");
        }
    }
}
