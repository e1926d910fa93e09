//! The connection is cut while the first list is read: nobody is to be shown a part of it, and it heals.

use std::time::Duration;

use anyhow::Context as _;
use proto::ServiceName;
use registry::Instances;
use tokio::time::{Instant, timeout};

use super::first_list;
use crate::bench::report::{Figure, Ratio};
use crate::bench::scenarios::lists::is_live;
use crate::bench::scenarios::promises::{never_above, none};
use crate::bench::scenarios::time::millis;
use crate::bench::stage::Stage;

const PATIENCE: Duration = Duration::from_secs(60);
/// Within so many milliseconds after its reconnect a follower has what it was cut off from.
const HEALED: f64 = 2_000.0;

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

    pub(super) fn push(&mut self, healed: Option<(f64, bool)>) {
        self.healed.push_known(healed.map(|(healed, _)| healed));
        self.shown.push_known(healed.map(|(_, shown)| f64::from(u8::from(shown))));
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

/// Follows by a way that is cut half-way. How long after the reconnect the list was whole, in milliseconds, and whether one was shown
/// that was not; nothing where the way to the server is not ours.
pub(super) async fn cut_short(
    stage: &Stage,
    service: &ServiceName,
    all: usize,
) -> anyhow::Result<Option<(f64, bool)>> {
    let (Some(whole), Some(way)) = (stage.way().await?, stage.way().await?) else { return Ok(None) };
    let ours = stage.start_at(&whole.connect_string())?;
    first_list(&ours, service, all).await?;
    let half = whole.traffic().borrow().bytes_to_client / 2;
    ours.close().await;

    let ours = stage.start_at(&way.connect_string())?;
    let link = ours.link().await?;
    let discovery = ours.registry.follow(service);
    let mut lists = discovery.instances();
    let in_part = |list: &Option<Instances>| list.as_ref().is_some_and(|list| list.len() != all);
    let work = async {
        way.traffic().wait_for(|now| now.bytes_to_client > half).await?;
        way.refuse(true);
        way.cut();
        link.ended().await;
        let before = in_part(&lists.borrow_and_update());
        way.refuse(false);
        ours.link().await?;
        let start = Instant::now();
        // The first list that is shown at all, and then the one that is known to be the truth.
        let first = in_part(&*lists.wait_for(Option::is_some).await?);
        is_live(&discovery, all).await?;
        Ok::<_, anyhow::Error>((millis(start.elapsed()), before || first))
    };
    let healed = timeout(PATIENCE, work).await.context("a first load that was cut short does not heal")??;
    ours.close().await;
    Ok(Some(healed))
}
