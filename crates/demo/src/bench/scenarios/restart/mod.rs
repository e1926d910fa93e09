//! What do instances, lists and a leader notice of a server that restarts, and of a cut connection?

mod cast;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use futures::future::try_join_all;
use proto::ServiceName;
use tokio::time::{Instant, sleep, timeout};
use zk_local::{Proxy, Server};
use zookeeper_client::Client;

use self::cast::{Cast, Counted};
use super::promises::none;
use super::time::millis;
use crate::bench::outside::reader::read_so_many;
use crate::bench::report::{Figure, Ratio, Report};
use crate::bench::stage::Stage;

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
        let raw = figure("bare client, connect, list and read all, afterwards", "ms").bare();
        Self {
            away: figure("for so long no server could be reached", "ms"),
            live: figure("from then until all are registered, followed and led again", "ms")
                .beside(raw.what.clone()),
            raw,
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
        let none = |what: &str, figure| none(&format!("{}: {what}", fault.words()), figure);
        none("changes of the list", &self.changes)
            .into_iter()
            .chain(none("nodes made again", &self.remade))
            .chain(none("leaderships lost", &self.leaderships))
            .chain(none("instances lost", &self.lost))
            .collect()
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
             registered, and somebody leads. That waits for the next try of whoever was refused: a session pauses between two tries, at random, \
             from 50 ms at first to 800 ms at most, so that not all come back together. The bare client does the least of that, with a new session on \
             a calm server: it pauses for nobody, and says how long reading takes. Nodes are told apart by the transaction that made them."
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
    read_so_many(&client, &directory, 100, before.len()).await?;
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
}
