//! The server is killed, and away for longer than sessions last.

use std::time::Duration;

use anyhow::Context as _;
use futures::future::try_join_all;
use tokio::time::{Instant, sleep, timeout};

use super::cast::{Cast, TIMEOUT};
use super::{PATIENCE, UNKNOWN, owners};
use crate::bench::report::{Figure, Ratio};
use crate::bench::scenarios::lists::is_live;
use crate::bench::scenarios::promises::none;
use crate::bench::scenarios::time::millis;
use crate::bench::stage::{Ours, Stage};

/// For so long the server is dead.
pub(super) const DOWN: Duration = TIMEOUT.saturating_mul(2);

const WHEN: &str = "server down past the timeout";

/// What is measured where the server is away.
pub(super) struct Killed {
    down: Figure,
    known: Figure,
    lost: Figure,
    missing: Figure,
    unknown: Figure,
    touched: Figure,
    kept: Figure,
}

pub(super) struct Outcome {
    down: Duration,
    /// Nothing where not all was there in time.
    known: Option<Duration>,
    lost: usize,
    missing: usize,
    unknown: usize,
    touched: i32,
    kept: usize,
}

impl Killed {
    pub(super) fn new() -> Self {
        let figure = |what: &str, unit| Figure::new(format!("{WHEN}: {what}"), unit);
        Self {
            down: figure("from the kill until a server serves again", "ms"),
            known: figure(
                "from then until every process knows all of its own to be registered, and both lists are known to be whole",
                "ms",
            )
            .of_some_rounds(),
            lost: figure("instances lost", ""),
            missing: figure("instances missing in either list", ""),
            unknown: figure(UNKNOWN, ""),
            touched: figure("nodes made or deleted", ""),
            kept: figure("sessions that lived on, of those that register", ""),
        }
    }

    pub(super) fn push(&mut self, outcome: &Outcome) {
        self.down.push(millis(outcome.down));
        self.known.push_known(outcome.known.map(millis));
        self.lost.push(outcome.lost as f64);
        self.missing.push(outcome.missing as f64);
        self.unknown.push(outcome.unknown as f64);
        self.touched.push(outcome.touched.into());
        self.kept.push(outcome.kept as f64);
    }

    pub(super) fn ratios(&self) -> Vec<Ratio> {
        let none = |what: &str, figure| none(&format!("{WHEN}: {what}"), figure);
        let lost = none("instances lost", &self.lost);
        let missing = none("instances missing in either list", &self.missing);
        [lost, missing, none(UNKNOWN, &self.unknown)].into_iter().flatten().collect()
    }

    pub(super) fn list(self) -> Vec<Figure> {
        vec![self.down, self.known, self.lost, self.missing, self.unknown, self.touched, self.kept]
    }
}

/// On a server of its own, since it is killed: what else looks at the stage's would suffer.
pub(super) async fn once(other: &Stage, count: u32) -> anyhow::Result<Outcome> {
    other.progress().doing("another server");
    let stage = Stage::set(None, other.progress().clone()).await?;
    let server = stage.own_server().context("there is no server of our own")?;
    let service = stage.service("outage-killed").await?;
    let directory = stage.directory(&service);
    let cast = Cast::start(&stage, &server.connect_string(), &service, count).await?;
    let before = cast.sessions().await?;
    let all = usize::try_from(count)?;
    stage.must_have(&directory, all).await?;
    let untouched = stage.touched(&directory).await?;

    stage.progress().doing("the server is dead");
    let links = try_join_all(cast.registering.iter().map(Ours::link)).await?;
    let start = Instant::now();
    server.kill().await?;
    for link in links {
        timeout(PATIENCE, link.ended()).await.context("a connection outlives its server")?;
    }
    sleep(DOWN.saturating_sub(start.elapsed())).await;
    server.start_again().await?;
    let (down, start) = (start.elapsed(), Instant::now());
    let known = timeout(PATIENCE, async {
        is_live(&cast.outside, all).await?;
        cast.is_whole(all).await.map(|all| all.map(|()| start.elapsed()))
    });
    let known = known.await.ok().transpose()?.flatten();
    let after = cast.sessions().await?;
    // The witness was cut off as well; another one does not wait as long as it may.
    let client = stage.raw().await?;
    let there = owners(&client, &directory).await?;
    let stat = client.check_stat(&directory).await?.context("the directory is gone")?;
    let registered = there.values().filter(|owner| after.contains(owner)).count();
    let outcome = Outcome {
        down,
        known,
        lost: all.saturating_sub(registered),
        missing: cast.missing(&there),
        unknown: cast.unknown(&after, all),
        touched: stat.cversion - untouched,
        kept: before.intersection(&after).count(),
    };
    cast.end().await;
    Ok(outcome)
}
