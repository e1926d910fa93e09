//! Is anything lost when processes are cut off for longer than their sessions last, and how soon is all there again?

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::future::try_join_all;
use proto::ServiceName;
use registry::{Discovery, Registration, Source};
use tokio::time::{Instant, timeout};
use zk_local::Proxy;

use super::promises::none;
use super::time::millis;
use crate::bench::outside::writer::fill;
use crate::bench::report::{Figure, Limit, Ratio, Report};
use crate::bench::stage::{Ours, Stage, instances};

/// Sessions that register, as many processes would.
const SESSIONS: usize = 10;
/// How long the server waits for them.
const TIMEOUT: Duration = Duration::from_secs(3);
/// How long the server may take to end all sessions, and how long all may take to be registered: what is missing then is lost.
const PATIENCE: Duration = Duration::from_secs(60);

const WHEN: &str = "cut off past the timeout";

struct Figures {
    away: Figure,
    seen: Figure,
    known: Figure,
    raw: Figure,
    lost: Figure,
    again: Figure,
    missing: Figure,
    /// Of the rounds in which all came back.
    to_bare: Vec<f64>,
}

impl Figures {
    fn new() -> Self {
        let figure = |what: &str, unit| Figure::new(format!("{WHEN}: {what}"), unit);
        Self {
            away: figure("from the cut until the server has ended all sessions", "ms"),
            seen: figure("from the opening until all are in a list that was never cut off", "ms"),
            known: figure(
                "until every process knows all of its own to be registered, and a list of theirs is whole",
                "ms",
            ),
            raw: figure("bare client, connect and create all in transactions", "ms").bare(),
            lost: figure("instances lost", ""),
            again: figure("nodes made more often than once", ""),
            missing: figure("instances missing in either list", ""),
            to_bare: Vec::new(),
        }
    }

    fn push(&mut self, outcome: &Outcome) {
        self.away.push(millis(outcome.away));
        if let Some(seen) = outcome.seen {
            self.seen.push(millis(seen));
            self.to_bare.push(seen.as_secs_f64() / outcome.raw.as_secs_f64());
        }
        if let Some(known) = outcome.known {
            self.known.push(millis(known));
        }
        self.raw.push(millis(outcome.raw));
        self.lost.push(outcome.lost as f64);
        self.again.push(outcome.again as f64);
        self.missing.push(outcome.missing as f64);
    }

    fn ratios(&self) -> Vec<Ratio> {
        let none = |what: &str, figure| none(&format!("{WHEN}: {what}"), figure);
        let to_bare = format!("{WHEN}: in a list again / bare client");
        [Ratio::new(to_bare, self.to_bare.clone(), Limit::None)]
            .into_iter()
            .chain(none("instances lost", &self.lost))
            .chain(none("nodes made more often than once", &self.again))
            .chain(none("instances missing in either list", &self.missing))
            .collect()
    }

    fn list(self) -> Vec<Figure> {
        vec![self.away, self.seen, self.known, self.raw, self.lost, self.again, self.missing]
    }
}

pub(crate) async fn run(stage: &Stage, count: u32, rounds: u32) -> anyhow::Result<Report> {
    let mut figures = Figures::new();
    for round in 0..=rounds {
        stage.progress().round(round);
        let outcome = once(stage, round, count).await?;
        if round > 0 {
            figures.push(&outcome);
        }
    }
    Ok(Report {
        name: "outage",
        title: "All who register are cut off until their sessions are over".to_owned(),
        about: format!(
            "{SESSIONS} sessions of {TIMEOUT:?} share all instances, and reach the server by a proxy; one of them follows the service as well. \
             A session of another process, which is not cut off, follows it too. The proxy refuses everybody until the server, which runs all \
             the time, has deleted every node; then it lets them through, and the time runs. An instance is lost that is not registered after {PATIENCE:?} by \
             a session that lives. A node that is made once too often was made by a process twice, or by two. Lost is lost: these counts are \
             those of all rounds together. The bare client connects and creates the same nodes, in transactions that do not wait for each other."
        ),
        server: stage.server().await?,
        rounds,
        ratios: figures.ratios(),
        figures: figures.list(),
    })
}

struct Outcome {
    away: Duration,
    /// Nothing where a list was not whole in time.
    seen: Option<Duration>,
    known: Option<Duration>,
    raw: Duration,
    lost: usize,
    again: i64,
    missing: usize,
}

async fn once(stage: &Stage, round: u32, count: u32) -> anyhow::Result<Outcome> {
    let server = stage.own_server().context("clients are cut off from a server of our own only")?;
    let raw = bare(stage, round, count).await?;
    let service = stage.service(&format!("outage-{round}")).await?;
    let directory = stage.directory(&service);
    let proxy = Proxy::start(server.address()).await?;
    stage.progress().doing("registering");
    let cast = Cast::start(stage, &proxy.connect_string(), &service, count).await?;
    let before = cast.sessions().await?;
    stage.must_have(&directory, usize::try_from(count)?).await?;

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
        timeout(PATIENCE, async { whole(&cast.outside, count).await.map(|()| start.elapsed()) }),
        timeout(PATIENCE, async { cast.is_whole(count).await.map(|all| all.map(|()| start.elapsed())) }),
    );
    let (seen, known) = (seen.ok().transpose()?, known.ok().transpose()?.flatten());
    let after = cast.sessions().await?;
    if let Some(kept) = before.intersection(&after).next() {
        bail!("the session {kept:#x} was to end and lives");
    }
    let there = owners(stage, &directory).await?;
    let registered = there.values().filter(|owner| after.contains(owner)).count();
    let made = i64::from(stage.touched(&directory).await? - untouched);
    let outcome = Outcome {
        away,
        seen,
        known,
        raw,
        lost: usize::try_from(count)?.saturating_sub(registered),
        again: (made - i64::from(count)).max(0),
        missing: cast.missing(&there),
    };
    cast.end().await;
    stage.until_children(&directory, 0).await?;
    Ok(outcome)
}

/// How long it takes at least that somebody who has no session has all nodes.
async fn bare(stage: &Stage, round: u32, count: u32) -> anyhow::Result<Duration> {
    let service = stage.service(&format!("outage-{round}-bare")).await?;
    let nodes = stage.nodes(&service, &instances(count)?)?;
    let start = Instant::now();
    let client = stage.raw().await?;
    fill(&client, &nodes).await?;
    let took = start.elapsed();
    stage.must_have(&stage.directory(&service), nodes.len()).await?;
    Ok(took)
}

/// The processes that are cut off, and one that is not.
struct Cast {
    registering: Vec<Ours>,
    registrations: Vec<Registration>,
    /// Who follows over the first of these sessions.
    inside: Discovery,
    watching: Ours,
    outside: Discovery,
}

impl Cast {
    async fn start(stage: &Stage, connect: &str, service: &ServiceName, count: u32) -> anyhow::Result<Self> {
        let all = instances(count)?;
        let (mut registering, mut registrations) = (Vec::new(), Vec::new());
        for share in all.chunks(all.len().div_ceil(SESSIONS)) {
            let ours = stage.start_for(connect, TIMEOUT)?;
            registrations.extend(ours.registry.announce_all(service, share.to_vec())?);
            registering.push(ours);
        }
        let watching = stage.ours().await?;
        let outside = watching.registry.follow(service);
        let inside = registering.first().context("nobody registers")?.registry.follow(service);
        let cast = Self { registering, registrations, inside, watching, outside };
        let whole = async {
            tokio::try_join!(whole(&cast.outside, count), async {
                cast.is_whole(count).await?.context("a registration ended")
            })
        };
        timeout(PATIENCE, whole).await.context("not all are registered")??;
        Ok(cast)
    }

    /// The sessions that register, connected.
    async fn sessions(&self) -> anyhow::Result<BTreeSet<i64>> {
        let sessions = timeout(PATIENCE, try_join_all(self.registering.iter().map(Ours::session))).await;
        Ok(sessions.context("not all are connected")??.into_iter().map(|session| session.0).collect())
    }

    /// Waits until all are known to be registered by those who register them, one of whom has a list that is whole; nothing
    /// if one of them was given up.
    async fn is_whole(&self, count: u32) -> anyhow::Result<Option<()>> {
        try_join_all(self.registering.iter().map(Ours::link)).await?;
        for registration in &self.registrations {
            if registration.registered().await.is_err() {
                return Ok(None);
            }
        }
        whole(&self.inside, count).await.map(Some)
    }

    async fn nobody_is_seen(&self) -> anyhow::Result<()> {
        let mut lists = self.outside.instances();
        lists.wait_for(|list| list.as_ref().is_some_and(registry::List::is_empty)).await?;
        Ok(())
    }

    /// How many of what is there are not in both lists.
    fn missing(&self, there: &BTreeMap<String, i64>) -> usize {
        let lists = [&self.inside, &self.outside].map(|discovery| discovery.instances().borrow().clone());
        let shows = |list: &Option<registry::Instances>, id: &str| {
            let found =
                |list: &registry::Instances| list.binary_search_by(|it| it.id.as_str().cmp(id)).is_ok();
            list.as_ref().is_some_and(found)
        };
        there.keys().filter(|id| !lists.iter().all(|list| shows(list, id))).count()
    }

    async fn end(self) {
        for ours in self.registering.into_iter().chain([self.watching]) {
            ours.close().await;
        }
    }
}

/// Waits until a list has all and is known to be the truth.
async fn whole(discovery: &Discovery, count: u32) -> anyhow::Result<()> {
    let all = usize::try_from(count)?;
    let mut views = discovery.view();
    let whole = |view: &registry::View| view.source == Source::Live && view.entries.len() == all;
    views.wait_for(|view| view.as_ref().is_some_and(whole)).await.context("the list ended")?;
    Ok(())
}

/// The session of each node.
async fn owners(stage: &Stage, directory: &str) -> anyhow::Result<BTreeMap<String, i64>> {
    let names = stage.witness.list_children(directory).await?;
    let paths: Vec<_> = names.iter().map(|name| format!("{directory}/{name}")).collect();
    let stats = try_join_all(paths.iter().map(|path| stage.witness.check_stat(path))).await?;
    Ok(names.into_iter().zip(stats).filter_map(|(name, stat)| Some((name, stat?.ephemeral_owner))).collect())
}
