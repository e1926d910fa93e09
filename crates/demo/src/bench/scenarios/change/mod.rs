//! How long does it take until one change is in the list, and what does it cost?

mod crowd;
mod follower;
mod others;
mod size;
mod watcher;

use anyhow::Context as _;
use registry::Registration;

use self::follower::{Side, Times};
use self::others::Others;
use self::size::Size;
use super::order::Order;
use crate::bench::report::{Limit, Ratio, Report};
use crate::bench::stage::{Ours, Stage, instances, registered};

/// The changes of each kind in a round.
const CHANGES: usize = 100;
/// The changes of a round while many watch.
const CROWD_CHANGES: usize = 25;
/// The size of the small service, which is measured in the same rounds as the one asked for.
const FEW: u32 = 100;

/// How much of a request the pings of all sessions may be for one change; a read for some of them would be more.
const PINGS: f64 = 0.1;
/// The most bytes that a follower may receive for a change, as many being added as deleted.
const BYTES: f64 = 200.0;
/// Why a change takes longer among many.
const COLD: &str = "a change copies a block of 128 entries and a reference for each block, which are cold in the cache of a process \
                    that slept: some 25 µs more at 10,000";

/// Measures in a service of so many instances, and in a small one beside it.
pub(crate) async fn run(stage: &Stage, count: u32, rounds: u32) -> anyhow::Result<Report> {
    let mut few = Size::beside(FEW);
    let mut size = Size::new(count);
    for round in 0..=rounds {
        stage.progress().round(round);
        let mut sizes = if count == FEW { vec![&mut size] } else { vec![&mut few, &mut size] };
        one_round(stage, &mut sizes, round).await?;
    }
    let (added, deleted) = (&size.add_received.values, &size.delete_received.values);
    let in_turn = added.iter().zip(deleted).map(|(added, deleted)| f64::midpoint(*added, *deleted)).collect();
    let beside = |what: &str| format!("{what}, to the same among {FEW}");
    let ratios = vec![
        // What is there before the writer knows has no time that could be divided, and none that could be judged.
        Ratio::new(beside("one added"), size.added.per(&few.added), Limit::None),
        Ratio::new(
            beside("one added, from the call"),
            size.added_from_call.per(&few.added_from_call),
            Limit::AtMostBut(1.2, COLD),
        ),
        Ratio::new(
            "requests for one added, and pings",
            size.add_requests.values.clone(),
            Limit::AtMost(1.0 + PINGS),
        ),
        Ratio::new(
            "requests for one deleted, and pings",
            size.delete_requests.values.clone(),
            Limit::AtMost(PINGS),
        ),
        Ratio::new(
            "bytes received for a change, the mean of one added and one deleted",
            in_turn,
            Limit::AtMost(BYTES),
        ),
    ];
    Ok(Report {
        name: "change",
        title: "One change".to_owned(),
        about: format!(
            "Somebody else's session creates and deletes one instance after the other, {CHANGES} of each in a round, and \
             {CROWD_CHANGES} of each while {} sessions in one process watch, until the last of them has it; a round's figure is \
             the median of them. Unless said otherwise, times run from the writer's acknowledgement until the instance is, or no \
             longer is, in the list; one that is there before the writer has its acknowledgement counts as negative; so what is judged runs from the call. Deletions are timed from the call: \
             the bare client is told of one before the writer is. The bare \
             client has a recursive watch and reads a node that was created. Our list holds a deletion for a moment, so that the two \
             halves of a replacement are not seen apart; how far apart they are told to a watcher of the bare client is measured as well. \
             A service of {FEW} is measured together with a larger one, a change of the one after a change of the other. \
             Requests are counted by the server and bytes by a proxy, in a pass of its own; pings are in them.",
            crowd::CROWD
        ),
        server: stage.server().await?,
        rounds,
        figures: size.figures().into_iter().chain(few.figures()).collect(),
        ratios,
    })
}

/// A change in a service of [`FEW`], in microseconds from the writer's call until one watcher knows of it: the medians of a round.
pub(super) struct Known {
    pub(super) added: f64,
    pub(super) raw_added: f64,
    pub(super) deleted: f64,
    pub(super) raw_deleted: f64,
}

/// Measures that alone.
pub(super) async fn by_one_watcher(stage: &Stage, round: u32) -> anyhow::Result<Known> {
    let filler = stage.ours().await?;
    let (side, filled) = filled_side(stage, &filler, FEW, round).await?;
    registered(&filled).await?;
    let times = follower::times(stage, std::slice::from_ref(&side), Order { round }).await?;
    filler.close().await;
    drop(filled);
    stage.until_children(&stage.directory(&side.service), 0).await?;
    let Times { ours, raw } = times.into_iter().next().context("nothing was measured")?;
    Ok(Known {
        added: ours.added.from_call,
        raw_added: raw.added.from_call,
        deleted: ours.deleted.from_call,
        raw_deleted: raw.deleted.from_call,
    })
}

/// A service with so many in it, and those who come later; registered when [`registered`] says so.
async fn filled_side(
    stage: &Stage,
    filler: &Ours,
    count: u32,
    round: u32,
) -> anyhow::Result<(Side, Vec<Registration>)> {
    let service = stage.service(&format!("change-{round}-{count}")).await?;
    let mut there = instances(count + u32::try_from(CHANGES)?)?;
    let later = Others::new(stage, &service, &there.split_off(count.try_into()?)).await?;
    let filled = filler.registry.announce_all(&service, there)?;
    Ok((Side { service, later }, filled))
}

/// Sizes beside each other; what is measured of one alone is that of the last.
async fn one_round(stage: &Stage, sizes: &mut [&mut Size], round: u32) -> anyhow::Result<()> {
    stage.progress().doing("filling the services");
    let order = Order { round };
    let filler = stage.ours().await?;
    let (mut filled, mut sides) = (Vec::new(), Vec::new());
    for size in &*sizes {
        let (side, registrations) = filled_side(stage, &filler, size.count, round).await?;
        filled.extend(registrations);
        sides.push(side);
    }
    registered(&filled).await?;
    let times = follower::times(stage, &sides, order).await?;
    for ((size, side), watched) in sizes.iter_mut().zip(&sides).zip(times) {
        let (crowd, cost, apart) = match size.with_crowd {
            true => (
                crowd::times(stage, side, order).await?,
                follower::cost(stage, side).await?,
                side.later.replace_at_once(stage, &stage.directory(&side.service)).await?,
            ),
            false => (None, None, Vec::new()),
        };
        if round > 0 {
            size.push(size::Round { watched, crowd, cost, apart });
        }
    }
    // The session first: registrations that are dropped while it is open are withdrawn, each by a request.
    filler.close().await;
    drop(filled);
    for side in &sides {
        stage.until_children(&stage.directory(&side.service), 0).await?;
    }
    Ok(())
}
