//! All who register are cut off until their sessions are over, while the server runs.

use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::future::try_join_all;
use tokio::time::{Instant, timeout};
use zk_local::Proxy;

use super::cast::Cast;
use super::{PATIENCE, UNKNOWN, owners};
use crate::bench::outside::writer::fill;
use crate::bench::report::{Figure, Ratio};
use crate::bench::scenarios::lists::is_live;
use crate::bench::scenarios::promises::none;
use crate::bench::scenarios::time::millis;
use crate::bench::stage::{Ours, Stage, instances};

const WHEN: &str = "cut off past the timeout";

/// What is measured where clients are cut off.
pub(super) struct Cut {
    away: Figure,
    seen: Figure,
    known: Figure,
    raw: Figure,
    lost: Figure,
    again: Figure,
    missing: Figure,
    unknown: Figure,
}

impl Cut {
    pub(super) fn new() -> Self {
        let figure = |what: &str, unit| Figure::new(format!("{WHEN}: {what}"), unit);
        let raw = figure("bare client, connect and create all in transactions", "ms").bare().of_some_rounds();
        Self {
            away: figure("from the cut until the server has ended all sessions", "ms"),
            seen: figure("from the opening until all are in a list that was never cut off", "ms")
                .of_some_rounds(),
            known: figure(
                "until every process knows all of its own to be registered, and a list of theirs is whole",
                "ms",
            )
            .of_some_rounds()
            .beside(raw.what.clone()),
            raw,
            lost: figure("instances lost", ""),
            again: figure("nodes made more often than once", ""),
            missing: figure("instances missing in either list", ""),
            unknown: figure(UNKNOWN, ""),
        }
    }

    pub(super) fn push(&mut self, outcome: &Outcome, raw: Duration) {
        self.away.push(millis(outcome.away));
        self.seen.push_known(outcome.seen.map(millis));
        // A round that did not come to its end has nothing to be divided by.
        if let Some(known) = outcome.known {
            self.known.push(millis(known));
            self.raw.push(millis(raw));
        }
        self.unknown.push(outcome.unknown as f64);
        self.lost.push(outcome.lost as f64);
        self.again.push(outcome.again as f64);
        self.missing.push(outcome.missing as f64);
    }

    pub(super) fn ratios(&self) -> Vec<Ratio> {
        let none = |what: &str, figure| none(&format!("{WHEN}: {what}"), figure);
        none("instances lost", &self.lost)
            .into_iter()
            .chain(none("nodes made more often than once", &self.again))
            .chain(none("instances missing in either list", &self.missing))
            .chain(none(UNKNOWN, &self.unknown))
            .collect()
    }

    pub(super) fn list(self) -> Vec<Figure> {
        let Self { away, seen, known, raw, lost, again, missing, unknown } = self;
        vec![away, seen, known, raw, lost, again, missing, unknown]
    }
}

pub(super) struct Outcome {
    away: Duration,
    /// Nothing where a list was not whole in time.
    seen: Option<Duration>,
    known: Option<Duration>,
    lost: usize,
    again: i64,
    missing: usize,
    unknown: usize,
}

pub(super) async fn once(stage: &Stage, round: u32, count: u32) -> anyhow::Result<Outcome> {
    let server = stage.own_server().context("clients are cut off from a server of our own only")?;
    let service = stage.service(&format!("outage-{round}")).await?;
    let directory = stage.directory(&service);
    let proxy = Proxy::start(server.address()).await?;
    stage.progress().doing("registering");
    let cast = Cast::start(stage, &proxy.connect_string(), &service, count).await?;
    let before = cast.sessions().await?;
    let all = usize::try_from(count)?;
    stage.must_have(&directory, all).await?;

    stage.progress().doing("cut off");
    let links = try_join_all(cast.registering.iter().map(Ours::link)).await?;
    let start = Instant::now();
    proxy.refuse(true);
    proxy.cut();
    for link in links {
        link.ended().await;
    }
    let over = timeout(PATIENCE, stage.until_children(&directory, 0)).await;
    over.context("the server does not end the sessions")??;
    let away = start.elapsed();
    // Who watches may be told a little later; what it shows when the way is opened must not be what was there before.
    let empty = timeout(PATIENCE, cast.nobody_is_seen()).await;
    empty.context("the list of who is not cut off does not become empty")??;
    let untouched = stage.touched(&directory).await?;

    let start = Instant::now();
    proxy.refuse(false);
    let (seen, known) = tokio::join!(
        timeout(PATIENCE, async { is_live(&cast.outside, all).await.map(|()| start.elapsed()) }),
        timeout(PATIENCE, async { cast.is_whole(all).await.map(|all| all.map(|()| start.elapsed())) }),
    );
    let (seen, known) = (seen.ok().transpose()?, known.ok().transpose()?.flatten());
    let after = cast.sessions().await?;
    if let Some(kept) = before.intersection(&after).next() {
        bail!("the session {kept:#x} was to end and lives");
    }
    let there = owners(&stage.witness, &directory).await?;
    let registered = there.values().filter(|owner| after.contains(owner)).count();
    let made = i64::from(stage.touched(&directory).await? - untouched);
    let outcome = Outcome {
        away,
        seen,
        known,
        lost: all.saturating_sub(registered),
        again: (made - i64::from(count)).max(0),
        missing: cast.missing(&there),
        unknown: cast.unknown(&after, all),
    };
    cast.end().await;
    stage.until_children(&directory, 0).await?;
    Ok(outcome)
}

/// How long it takes at least that somebody who has no session has all nodes.
pub(super) async fn bare(stage: &Stage, round: u32, count: u32) -> anyhow::Result<Duration> {
    let service = stage.service(&format!("outage-{round}-bare")).await?;
    let nodes = stage.nodes(&service, &instances(count)?)?;
    let start = Instant::now();
    let client = stage.raw().await?;
    fill(&client, &nodes).await?;
    let took = start.elapsed();
    stage.must_have(&stage.directory(&service), nodes.len()).await?;
    Ok(took)
}
