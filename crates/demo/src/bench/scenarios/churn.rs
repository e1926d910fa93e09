//! What does a rolling restart of all instances cost who follows them, and how much of the list is there meanwhile?

use anyhow::Context as _;
use proto::NodeData;
use zk_local::Proxy;

use super::order::Order;
use super::promises::never_above;
use super::time::millis_between;
use crate::bench::outside::writer::{Node, fill, lowest, replace};
use crate::bench::processes::{Ask, Child, Fingerprint, Who, now_ns};
use crate::bench::report::{Figure, Limit, Ratio, Report};
use crate::bench::stage::{Stage, instances};

/// How the instances come back.
#[derive(Clone, Copy, Debug)]
enum Ids {
    New,
    Same,
}

impl Ids {
    const ALL: [Self; 2] = [Self::New, Self::Same];

    fn words(self) -> &'static str {
        match self {
            Self::New => "new ids",
            Self::Same => "same ids",
        }
    }

    /// What is there before and after.
    fn instances(self, count: u32) -> anyhow::Result<(Vec<NodeData>, Vec<NodeData>)> {
        match self {
            Self::New => {
                let mut before = instances(2 * count)?;
                let after = before.split_off(count.try_into()?);
                Ok((before, after))
            }
            Self::Same => {
                let before = instances(count)?;
                let mut after = before.clone();
                after.iter_mut().for_each(|data| data.registered_at += 1_000_000);
                Ok((before, after))
            }
        }
    }
}

/// The figures of one kind of restart.
struct Figures {
    writing: Figure,
    raw_writing: Figure,
    ours: Figure,
    raw: Figure,
    after: Figure,
    raw_after: Figure,
    cpu: Figure,
    raw_cpu: Figure,
    requests: Figure,
    received: Figure,
    sent: Figure,
    lists: Figure,
    lowest: Figure,
    own_lowest: Figure,
    /// By how much the list was below ZooKeeper's own lowest count, as a part of all.
    under: Vec<f64>,
    /// Requests for one instance.
    each: Vec<f64>,
}

impl Figures {
    fn new(ids: Ids) -> Self {
        let figure = |what: &str, unit| Figure::new(format!("{}: {what}", ids.words()), unit);
        let pair = |what: &str, bare: &str| {
            let bare = figure(bare, "ms").bare();
            (figure(what, "ms").beside(bare.what.clone()), bare)
        };
        let (writing, raw_writing) = pair(
            "the writer, from its first call to the last acknowledgement",
            "the writer, while the bare client follows",
        );
        let (ours, raw) = pair(
            "`follow`, from the writer's first call until the list is the truth",
            "bare client, the same by a recursive watch and one get each",
        );
        let (cpu, raw_cpu) =
            pair("CPU of the process with `follow`", "CPU of the process with the bare client");
        Self {
            writing,
            raw_writing,
            ours,
            raw,
            after: figure("`follow`, from the writer's last acknowledgement", "ms"),
            raw_after: figure("bare client, from the writer's last acknowledgement", "ms").bare(),
            cpu,
            raw_cpu,
            requests: figure("requests of `follow`", ""),
            received: figure("bytes that `follow` receives", "B"),
            sent: figure("bytes that `follow` sends", "B"),
            lists: figure("lists that a user of `follow` meets", ""),
            lowest: figure("the shortest of these lists", ""),
            own_lowest: figure("ZooKeeper's own lowest count", ""),
            under: Vec::new(),
            each: Vec::new(),
        }
    }

    fn ratios(&self, ids: Ids) -> Vec<Ratio> {
        let name = |what: &str| format!("{}: {what}", ids.words());
        let ratio = |what, values, limit| Ratio::new(name(what), values, limit);
        let mut ratios = Vec::new();
        ratios.extend(never_above(&name("list under ZooKeeper's own low, part of all"), &self.under, 0.1));
        if !self.each.is_empty() {
            // Two of Curator's.
            ratios.push(ratio("requests for one instance", self.each.clone(), Limit::AtMost(1.0)));
        }
        ratios
    }

    fn list(self) -> [Figure; 14] {
        [
            self.writing,
            self.raw_writing,
            self.ours,
            self.raw,
            self.after,
            self.raw_after,
            self.cpu,
            self.raw_cpu,
            self.requests,
            self.received,
            self.sent,
            self.lists,
            self.lowest,
            self.own_lowest,
        ]
    }
}

/// Measures the replacement of so many instances.
pub(crate) async fn run(stage: &Stage, count: u32, rounds: u32) -> anyhow::Result<Report> {
    let mut all = Ids::ALL.map(|ids| (ids, Figures::new(ids)));
    for round in 0..=rounds {
        stage.progress().round(round);
        for (ids, figures) in &mut all {
            one_round(stage, *ids, count, round, figures).await?;
        }
    }
    let ratios = all.iter().flat_map(|(ids, figures)| figures.ratios(*ids)).collect();
    Ok(Report {
        name: "churn",
        title: "A rolling restart of all instances".to_owned(),
        about: "Somebody else's session deletes each instance and makes another one in its place, 256 at a time, but never more \
                than a tenth of all: once with new ids and once with the same ones. The followers are processes of their own, one after \
                the other, in each round another one first, each with a restart of its own: times from the writer's first call are those of its writer. The list is the \
                truth when it has exactly the new instances and does not change any more; a negative time is before the writer knew of \
                its last write. ZooKeeper's own lowest count is what a watcher beside it is told; how far the list was below that \
                is judged by the worst round. Requests are counted by \
                the server, less the writer's two for each, pings included; bytes by a proxy, in a restart of its own."
            .to_owned(),
        server: stage.server().await?,
        rounds,
        figures: all.into_iter().flat_map(|(_, figures)| figures.list()).collect(),
        ratios,
    })
}

async fn one_round(
    stage: &Stage,
    ids: Ids,
    count: u32,
    round: u32,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let name = |what| format!("churn-{round}-{ids:?}-{what}");
    let (mut ours, mut raw) = (None, None);
    for who in (Order { round }).both() {
        let (what, outcome) = match who {
            Who::Registry => ("ours", &mut ours),
            Who::BareClient => ("raw", &mut raw),
        };
        let restart = Restart::new(stage, ids, count, &name(what)).await?;
        *outcome = Some(restart.run(stage.connect(), who).await?);
    }
    let (ours, raw) = ours.zip(raw).context("both take their turn")?;
    let mut bytes = None;
    if let Some(server) = stage.own_server() {
        let proxy = Proxy::start(server.address()).await?;
        let through = Restart::new(stage, ids, count, &name("proxy")).await?;
        let traffic = || *proxy.traffic().borrow();
        bytes = Some(through.bytes(&proxy.connect_string(), traffic).await?);
    }
    if round == 0 {
        return Ok(());
    }
    figures.writing.push(ours.writing_ms);
    figures.raw_writing.push(raw.writing_ms);
    figures.ours.push(ours.took_ms);
    figures.raw.push(raw.took_ms);
    figures.after.push(ours.took_ms - ours.writing_ms);
    figures.raw_after.push(raw.took_ms - raw.writing_ms);
    figures.cpu.push(ours.cpu_ms);
    figures.raw_cpu.push(raw.cpu_ms);
    figures.lists.push(ours.lists);
    figures.lowest.push(ours.lowest);
    figures.own_lowest.push(ours.own_lowest);
    figures.under.push((ours.own_lowest - ours.lowest).max(0.0) / f64::from(count));
    if let Some(requests) = ours.requests {
        figures.requests.push(requests);
        figures.each.push(requests / f64::from(count));
    }
    if let Some((received, sent)) = bytes {
        figures.received.push(received as f64);
        figures.sent.push(sent as f64);
    }
    Ok(())
}

/// A service that is about to be restarted.
struct Restart<'a> {
    stage: &'a Stage,
    service: proto::ServiceName,
    writer: zookeeper_client::Client,
    before: Vec<Node>,
    after: Vec<Node>,
    truth: Fingerprint,
}

/// What a restart was to a follower.
struct Outcome {
    writing_ms: f64,
    took_ms: f64,
    cpu_ms: f64,
    requests: Option<f64>,
    lists: f64,
    lowest: f64,
    own_lowest: f64,
}

impl<'a> Restart<'a> {
    async fn new(stage: &'a Stage, ids: Ids, count: u32, name: &str) -> anyhow::Result<Self> {
        let service = stage.service(name).await?;
        let (before, after) = ids.instances(count)?;
        let truth = Fingerprint::of(&after)?;
        let (before, after) = (stage.nodes(&service, &before)?, stage.nodes(&service, &after)?);
        let writer = stage.raw().await?;
        fill(&writer, &before).await?;
        Ok(Self { stage, service, writer, before, after, truth })
    }

    async fn run(&self, connect: &str, who: Who) -> anyhow::Result<Outcome> {
        let mut follower = self.followed(connect, who).await?;
        let start = follower.ask(&Ask::Mark).await?;
        let directory = self.stage.directory(&self.service);
        let watching = self.stage.raw().await?;
        let work = async {
            let began = now_ns();
            let write = async {
                replace(&self.writer, &self.before, &self.after).await?;
                Ok(now_ns())
            };
            let (written, own_lowest) = lowest(&watching, &directory, self.before.len(), write).await?;
            let end = follower.ask(&Ask::Settles { fingerprint: self.truth }).await?;
            Ok((began, written, own_lowest, end))
        };
        let ((began, written, own_lowest, end), requests) = self.stage.counted(work).await?;
        follower.stop().await?;
        // The writer's own, and that the watcher was set.
        let others = 2 * self.before.len() as u64 + 1;
        Ok(Outcome {
            writing_ms: millis_between(began, written),
            took_ms: millis_between(began, end.seen.changed_ns),
            cpu_ms: (end.cpu_us - start.cpu_us) as f64 / 1e3,
            requests: requests.map(|all| all.saturating_sub(others) as f64),
            lists: end.seen.lists as f64,
            lowest: end.seen.lowest as f64,
            own_lowest: own_lowest as f64,
        })
    }

    /// A process that follows, and has all that is there before.
    async fn followed(&self, connect: &str, who: Who) -> anyhow::Result<Child> {
        let mut follower = Child::start(&who.follows(connect, &self.service))?;
        follower.ask(&Ask::Whole { len: self.before.len() }).await?;
        Ok(follower)
    }

    /// The bytes that our follower receives and sends.
    async fn bytes(
        &self,
        connect: &str,
        traffic: impl Fn() -> zk_local::Traffic,
    ) -> anyhow::Result<(u64, u64)> {
        let mut follower = self.followed(connect, Who::Registry).await?;
        let before = traffic();
        replace(&self.writer, &self.before, &self.after).await?;
        follower.ask(&Ask::Settles { fingerprint: self.truth }).await?;
        let after = traffic();
        follower.stop().await?;
        Ok((after.bytes_to_client - before.bytes_to_client, after.bytes_to_server - before.bytes_to_server))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_replaces_every_instance_and_keeps_ids_only_where_told() {
        for ids in Ids::ALL {
            let (before, after) = ids.instances(100).unwrap();
            assert_eq!((before.len(), after.len()), (100, 100));
            assert_ne!(Fingerprint::of(&before).unwrap(), Fingerprint::of(&after).unwrap());
            let same =
                before.iter().zip(&after).filter(|(a, b)| a.default_id().unwrap() == b.default_id().unwrap());
            assert_eq!(same.count(), if matches!(ids, Ids::Same) { 100 } else { 0 });
        }
    }
}
