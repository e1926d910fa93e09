//! What do instances, lists and a leader notice of a server that restarts, and of a cut connection?

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::future::try_join_all;
use leader::{Candidacy, Election, Leadership};
use proto::ServiceName;
use registry::{Discovery, Instances, Registration, Source};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use zk_local::{Proxy, Server};
use zookeeper_client::Client;

use crate::bench::report::{Figure, Limit, Ratio, Report};
use crate::bench::scenarios::cold_start::read;
use crate::bench::stage::{Ours, Stage, instances};

/// The session timeout. A server that was restarted gives all of it again.
const KEPT: Duration = Duration::from_secs(10);
/// How long the connection is cut.
const CUT: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(120);

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Restart,
    Cut,
}

impl Fault {
    const ALL: [Self; 2] = [Self::Restart, Self::Cut];

    fn words(self) -> String {
        match self {
            Self::Restart => "restart".to_owned(),
            Self::Cut => format!("connections cut for {CUT:?}"),
        }
    }
}

struct Figures {
    away: Figure,
    live: Figure,
    raw: Figure,
    changes: Figure,
    remade: Figure,
    lost: Figure,
    leaderships: Figure,
}

impl Figures {
    fn new(fault: Fault) -> Self {
        let figure = |what: &str, unit| Figure::new(format!("{}: {what}", fault.words()), unit);
        Self {
            away: figure("for so long no server could be reached", "ms"),
            live: figure("from then until all are registered, followed and led again", "ms"),
            raw: figure("bare client, connect, list and read all, afterwards", "ms"),
            changes: figure("changes of the list", ""),
            remade: figure("nodes that were made again", ""),
            lost: figure("instances that did not come back", ""),
            leaderships: figure("leaderships lost", ""),
        }
    }

    fn push(&mut self, outcome: &Outcome) {
        self.away.push(outcome.away_ms);
        self.live.push(outcome.live_ms);
        self.raw.push(outcome.raw_ms);
        self.changes.push(outcome.changes as f64);
        self.remade.push(outcome.remade as f64);
        self.lost.push(outcome.lost as f64);
        self.leaderships.push(f64::from(u8::from(outcome.leadership_lost)));
    }

    fn ratios(&self, fault: Fault) -> Vec<Ratio> {
        let ratio =
            |what: &str, values, limit| Ratio { what: format!("{}: {what}", fault.words()), values, limit };
        let none = |figure: &Figure| figure.values.clone();
        vec![
            ratio("live again / bare client", self.live.per(&self.raw), Limit::None),
            ratio("changes of the list", none(&self.changes), Limit::AtMost(0.0)),
            ratio("nodes made again", none(&self.remade), Limit::AtMost(0.0)),
            ratio("leaderships lost", none(&self.leaderships), Limit::AtMost(0.0)),
            ratio("instances lost", none(&self.lost), Limit::AtMost(0.0)),
        ]
    }

    fn list(self) -> [Figure; 7] {
        [self.away, self.live, self.raw, self.changes, self.remade, self.lost, self.leaderships]
    }
}

/// On a server of its own, since it is killed: what else looks at the stage's would suffer.
pub(crate) async fn run(other: &Stage, count: u32, rounds: u32) -> anyhow::Result<Report> {
    let stage = Stage::set(None, other.progress().clone()).await?;
    let mut all = Fault::ALL.map(|fault| (fault, Figures::new(fault)));
    for round in 0..=rounds {
        stage.progress().round(round);
        for (fault, figures) in &mut all {
            let service = stage.service(&format!("restart-{round}-{fault:?}")).await?;
            let outcome = timeout(PATIENCE, once(&stage, *fault, &service, count)).await;
            let outcome = outcome.context("not all is live again")??;
            if round > 0 {
                figures.push(&outcome);
            }
        }
    }
    let ratios = all.iter().flat_map(|(fault, figures)| figures.ratios(*fault)).collect();
    Ok(Report {
        name: "restart",
        title: "A restart and a cut under many registrations".to_owned(),
        about: format!(
            "One process registers all, another follows them, a third leads; all of them in one process of this machine, each with \
             a session of its own. The server is killed and started again with its data; every connection is cut and refused for \
             {CUT:?}. All is live again when the follower's list is known to be the truth, every registration is known to be \
             registered, and somebody leads. Nodes are told apart by the transaction that made them."
        ),
        server: stage.server().await?,
        rounds,
        figures: all.into_iter().flat_map(|(_, figures)| figures.list()).collect(),
        ratios,
    })
}

struct Outcome {
    away_ms: f64,
    live_ms: f64,
    raw_ms: f64,
    changes: u64,
    remade: usize,
    lost: usize,
    leadership_lost: bool,
}

async fn once(stage: &Stage, fault: Fault, service: &ServiceName, count: u32) -> anyhow::Result<Outcome> {
    let server = stage.own_server().context("there is no server of our own")?;
    let proxy = Proxy::start(server.address()).await?;
    let connect = if fault == Fault::Cut { proxy.connect_string() } else { server.connect_string() };
    let cast = Cast::start(stage, &connect, service, count).await?;
    let directory = stage.directory(service);
    let before = made_by(&stage.raw().await?, &directory).await?;
    let changes = Counted::start(cast.discovery.instances());

    let start = Instant::now();
    cast.cut_off(async || strike(fault, server, &proxy).await).await?;
    mend(fault, server, &proxy).await?;
    let (away, back) = (start.elapsed(), Instant::now());
    cast.is_live().await?;
    let live = back.elapsed();

    let start = Instant::now();
    let client = stage.raw().await?;
    read(&client, &directory, 100, before.len()).await?;
    let raw = start.elapsed();
    let after = made_by(&client, &directory).await?;
    let outcome = Outcome {
        away_ms: millis(away),
        live_ms: millis(live),
        raw_ms: millis(raw),
        changes: changes.stop().await?,
        remade: remade(&before, &after),
        lost: before.keys().filter(|name| !after.contains_key(*name)).count(),
        leadership_lost: !cast.leadership.holds(),
    };
    cast.end(stage, service).await?;
    Ok(outcome)
}

async fn strike(fault: Fault, server: &Server, proxy: &Proxy) -> anyhow::Result<()> {
    match fault {
        Fault::Restart => server.kill().await?,
        Fault::Cut => {
            proxy.refuse(true);
            proxy.cut();
        }
    }
    Ok(())
}

/// As soon as the server answers again.
async fn mend(fault: Fault, server: &Server, proxy: &Proxy) -> anyhow::Result<()> {
    match fault {
        Fault::Restart => server.start_again().await?,
        Fault::Cut => {
            sleep(CUT).await;
            proxy.refuse(false);
        }
    }
    Ok(())
}

/// Three processes, as far as ZooKeeper can tell.
struct Cast {
    registers: Ours,
    registrations: Vec<Registration>,
    follows: Ours,
    discovery: Discovery,
    leads: Ours,
    candidacy: Candidacy,
    leadership: Leadership,
}

impl Cast {
    async fn start(stage: &Stage, connect: &str, service: &ServiceName, count: u32) -> anyhow::Result<Self> {
        let start = || stage.start_for(connect, KEPT);
        let (registers, follows, leads) = (start()?, start()?, start()?);
        let data = instances(count)?;
        let candidate = data.first().context("there are no instances")?.clone();
        let election = Election::new(leads.registry.sessions().clone(), stage.root().clone());
        let candidacy = election.campaign(service, candidate)?;
        let leadership = candidacy.elected().await?;
        let registrations = registers.registry.announce_all(service, data)?;
        for registration in &registrations {
            registration.registered().await?;
        }
        let discovery = follows.registry.follow(service);
        let mut lists = discovery.instances();
        lists.wait_for(|list| list.as_ref().is_some_and(|list| list.len() == registrations.len())).await?;
        let cast = Self { registers, registrations, follows, discovery, leads, candidacy, leadership };
        cast.is_live().await?;
        Ok(cast)
    }

    fn all(&self) -> [&Ours; 3] {
        [&self.registers, &self.follows, &self.leads]
    }

    /// Lets a fault happen and waits until every session has lost its connection by it.
    async fn cut_off(&self, strike: impl AsyncFnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        let links = try_join_all(self.all().map(Ours::link)).await?;
        strike().await?;
        for link in links {
            link.ended().await;
        }
        Ok(())
    }

    /// Waits until all are connected, registered and followed, and somebody leads.
    async fn is_live(&self) -> anyhow::Result<()> {
        try_join_all(self.all().map(Ours::link)).await?;
        let all = self.registrations.len();
        let mut views = self.discovery.view();
        let live = views.wait_for(|view| {
            view.as_ref().is_some_and(|view| view.source == Source::Live && view.entries.len() == all)
        });
        live.await.context("the list ended")?;
        for registration in &self.registrations {
            registration.registered().await?;
        }
        self.candidacy.elected().await?;
        Ok(())
    }

    async fn end(self, stage: &Stage, service: &ServiceName) -> anyhow::Result<()> {
        let client = stage.raw().await?;
        for ours in [self.registers, self.follows, self.leads] {
            ours.close().await;
        }
        drop((self.registrations, self.discovery, self.candidacy));
        let left = client.list_children(&stage.directory(service)).await?.len();
        if left > 0 {
            bail!("{left} nodes outlive their session");
        }
        Ok(())
    }
}

/// Counts the lists that somebody meets who follows.
struct Counted {
    counting: JoinHandle<u64>,
    stop: tokio::sync::oneshot::Sender<()>,
}

impl Counted {
    fn start(mut lists: watch::Receiver<Option<Instances>>) -> Self {
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        lists.mark_unchanged();
        let counting = tokio::spawn(async move {
            let mut count = 0;
            loop {
                tokio::select! {
                    biased;
                    changed = lists.changed() => match changed {
                        Ok(()) => {
                            lists.mark_unchanged();
                            count += 1;
                        }
                        Err(_) => return count,
                    },
                    _ = &mut stopped => return count,
                }
            }
        });
        Self { counting, stop }
    }

    async fn stop(self) -> anyhow::Result<u64> {
        // Who counts may have ended.
        let _ = self.stop.send(());
        Ok(self.counting.await?)
    }
}

/// By which transaction each node of a directory was made.
async fn made_by(client: &Client, directory: &str) -> anyhow::Result<BTreeMap<String, i64>> {
    client.sync(directory).await?;
    let names = client.list_children(directory).await?;
    let paths: Vec<_> = names.iter().map(|name| format!("{directory}/{name}")).collect();
    let stats = try_join_all(paths.iter().map(|path| client.check_stat(path))).await?;
    Ok(names.into_iter().zip(stats).filter_map(|(name, stat)| Some((name, stat?.czxid))).collect())
}

/// How many are there that were made anew.
fn remade(before: &BTreeMap<String, i64>, after: &BTreeMap<String, i64>) -> usize {
    after.iter().filter(|(name, made)| before.get(*name).is_some_and(|earlier| earlier != *made)).count()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_made_again_when_another_transaction_made_it() {
        let nodes = |all: &[(&str, i64)]| all.iter().map(|&(name, made)| (name.to_owned(), made)).collect();
        let before = nodes(&[("a", 1), ("b", 2), ("c", 3)]);
        assert_eq!(remade(&before, &before), 0);
        assert_eq!(remade(&before, &nodes(&[("a", 1), ("b", 9), ("d", 4)])), 1, "c is lost, and d is new");
    }

    #[tokio::test]
    async fn the_lists_that_somebody_meets_are_counted() {
        let (lists, followed) = watch::channel(None);
        let counted = Counted::start(followed);
        lists.send_replace(None);
        assert_eq!(counted.stop().await.unwrap(), 1);
    }
}
