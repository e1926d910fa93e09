//! How long does it take until one change is in the list, and what does it cost?

use proto::{NodeData, ServiceName};
use registry::{Discovery, Instances};
use tokio::sync::watch;
use tokio::time::Instant;
use zk_local::Proxy;
use zookeeper_client::{AddWatchMode, Client, EventType};

use super::report::{Figure, Limit, Ratio, Report, median};
use super::stage::{Stage, ephemeral, instances};

/// The changes of each kind in a round.
const CHANGES: usize = 200;
/// The size of the small service.
const FEW: u32 = 100;

/// How much of a request the pings of all sessions may be for one change; a read for some of them would be more.
const PINGS: f64 = 0.1;

/// What is measured on a service of one size.
struct Size {
    count: u32,
    added: Figure,
    added_from_call: Figure,
    raw_added: Figure,
    deleted: Figure,
    add_requests: Figure,
    add_received: Figure,
    add_sent: Figure,
    delete_requests: Figure,
    delete_received: Figure,
}

impl Size {
    fn new(count: u32) -> Self {
        let figure = |what: &str, unit| Figure::new(format!("{count} instances: {what}"), unit);
        Self {
            count,
            added: figure("one added, from the writer's acknowledgement to the list", "us"),
            added_from_call: figure("the same, from the writer's call", "us"),
            raw_added: figure(
                "bare client, recursive watch and one get, from the writer's acknowledgement",
                "us",
            ),
            deleted: figure("one deleted, from the writer's acknowledgement to the list", "us"),
            add_requests: figure("requests of the follower for one added", ""),
            add_received: figure("bytes that the follower receives for one added", ""),
            add_sent: figure("bytes that the follower sends for one added", ""),
            delete_requests: figure("requests of the follower for one deleted", ""),
            delete_received: figure("bytes that the follower receives for one deleted", ""),
        }
    }

    fn figures(self) -> Vec<Figure> {
        vec![
            self.added,
            self.added_from_call,
            self.raw_added,
            self.deleted,
            self.add_requests,
            self.add_received,
            self.add_sent,
            self.delete_requests,
            self.delete_received,
        ]
    }
}

pub(crate) async fn run(stage: &Stage, count: u32, rounds: u32) -> anyhow::Result<Report> {
    let (mut few, mut many) = (Size::new(FEW), Size::new(count));
    for round in 0..=rounds {
        stage.progress().round(round);
        for size in [&mut few, &mut many] {
            let service = stage.service(&format!("change-{round}-{}", size.count)).await?;
            one_round(stage, size, &service, round > 0).await?;
        }
    }
    let ratio = |what: String, values, limit| Ratio { what, values, limit };
    let mut ratios = vec![
        ratio(format!("added, {count} / {FEW} instances"), many.added.per(&few.added), Limit::AtMost(1.2)),
        ratio(
            format!("added, {count} / {FEW} instances, from the writer's call"),
            many.added_from_call.per(&few.added_from_call),
            Limit::None,
        ),
        ratio(format!("added, {FEW} instances / bare client"), few.added.per(&few.raw_added), Limit::None),
        ratio(
            format!("added, {count} instances / bare client"),
            many.added.per(&many.raw_added),
            Limit::None,
        ),
    ];
    let counts = [
        ("requests for one added, and pings", &many.add_requests, Limit::AtMost(1.0 + PINGS)),
        ("requests for one deleted, and pings", &many.delete_requests, Limit::AtMost(PINGS)),
    ];
    let counts = counts.into_iter().filter(|(_, figure, _)| !figure.values.is_empty());
    ratios.extend(counts.map(|(what, figure, limit)| ratio(what.to_owned(), figure.values.clone(), limit)));
    Ok(Report {
        name: "change",
        title: format!("One change among {FEW} and {count} instances"),
        about: format!(
            "Somebody else's session creates and deletes one instance after the other, {CHANGES} of each in a round; a \
             round's figure is their median. A list that is there before the writer has its acknowledgement counts as \
             negative. A deletion is held for a moment, so that the two halves of a replacement are never seen apart. \
             A list is published whole, and what a change costs more in a large one is almost only the counting of one \
             reference for each of its entries. Requests are counted by the server and bytes by a proxy, in a pass of its own; pings are in them."
        ),
        server: stage.server().await?,
        rounds,
        figures: few.figures().into_iter().chain(many.figures()).collect(),
        ratios,
    })
}

async fn one_round(
    stage: &Stage,
    size: &mut Size,
    service: &ServiceName,
    counts: bool,
) -> anyhow::Result<()> {
    let mut there = instances(size.count + u32::try_from(CHANGES)?)?;
    let later = Others::new(stage, service, &there.split_off(size.count.try_into()?)).await?;
    let filler = stage.ours().await?;
    let filled = filler.registry.announce_all(service, there)?;
    for registration in &filled {
        registration.registered().await?;
    }

    let raw = later.raw_adds(stage, &stage.directory(service)).await?;

    let ours = stage.ours().await?;
    let discovery = ours.registry.follow(service);
    discovery.ready().await?;
    let adds = later.add_all(&discovery).await?;
    let deletes = later.delete_all(&discovery).await?;
    ours.close().await;

    if let Some(server) = stage.own_server().filter(|_| counts) {
        let proxy = Proxy::start(server.address()).await?;
        let ours = stage.start_at(&proxy.connect_string())?;
        let discovery = ours.registry.follow(service);
        discovery.ready().await?;
        let bytes = || {
            let traffic = *proxy.traffic().borrow();
            (traffic.bytes_to_client, traffic.bytes_to_server)
        };
        let each = |all: u64| all as f64 / CHANGES as f64;
        // The writer's own requests are one for each.
        let others = |all: Option<u64>| all.unwrap_or_default().saturating_sub(CHANGES as u64);

        let before = bytes();
        let (_, requests) = stage.counted(later.add_all(&discovery)).await?;
        let after = bytes();
        size.add_received.push(each(after.0 - before.0));
        size.add_sent.push(each(after.1 - before.1));
        size.add_requests.push(each(others(requests)));

        let before = bytes();
        let (_, requests) = stage.counted(later.delete_all(&discovery)).await?;
        size.delete_received.push(each(bytes().0 - before.0));
        size.delete_requests.push(each(others(requests)));
        ours.close().await;
    }
    if counts {
        size.raw_added.push(raw);
        size.added.push(p50(&adds, |seen| seen.from_answer));
        size.added_from_call.push(p50(&adds, |seen| seen.from_call));
        size.deleted.push(p50(&deletes, |seen| seen.from_answer));
    }
    filler.close().await;
    drop(filled);
    Ok(())
}

/// Instances that come and go, and the session of somebody else that makes them.
struct Others {
    writer: Client,
    /// Id, path and value.
    nodes: Vec<(String, String, Vec<u8>)>,
}

/// When a change was seen, in microseconds.
struct Seen {
    from_call: f64,
    from_answer: f64,
}

impl Others {
    async fn new(stage: &Stage, service: &ServiceName, instances: &[NodeData]) -> anyhow::Result<Self> {
        let nodes = stage.nodes(service, instances)?;
        let ids = instances.iter().map(|data| Ok(data.default_id()?.to_string()));
        let ids: Vec<String> = ids.collect::<anyhow::Result<_>>()?;
        let nodes = ids.into_iter().zip(nodes).map(|(id, (path, value))| (id, path, value)).collect();
        Ok(Self { writer: stage.raw().await?, nodes })
    }

    async fn add_all(&self, discovery: &Discovery) -> anyhow::Result<Vec<Seen>> {
        let (mut lists, options) = (discovery.instances(), ephemeral());
        let mut all = Vec::new();
        for (id, path, value) in &self.nodes {
            let write =
                async { self.writer.create(path, value, &options).await.map(|_| ()).map_err(Into::into) };
            all.push(seen(write, shows(&mut lists, id, true)).await?);
        }
        Ok(all)
    }

    async fn delete_all(&self, discovery: &Discovery) -> anyhow::Result<Vec<Seen>> {
        let mut lists = discovery.instances();
        let mut all = Vec::new();
        for (id, path, _) in &self.nodes {
            let write = async { Ok(self.writer.delete(path, None).await?) };
            all.push(seen(write, shows(&mut lists, id, false)).await?);
        }
        Ok(all)
    }

    /// What the bare client takes to learn of a new node and read it; the nodes are deleted again.
    async fn raw_adds(&self, stage: &Stage, directory: &str) -> anyhow::Result<f64> {
        let (client, options) = (stage.raw().await?, ephemeral());
        let mut watcher = client.watch(directory, AddWatchMode::PersistentRecursive).await?;
        let mut all = Vec::new();
        for (_, path, value) in &self.nodes {
            let write =
                async { self.writer.create(path, value, &options).await.map(|_| ()).map_err(Into::into) };
            let see = async {
                let mut event = watcher.changed().await;
                while event.event_type != EventType::NodeCreated || event.path != *path {
                    event = watcher.changed().await;
                }
                client.get_data(path).await?;
                Ok(())
            };
            all.push(seen(write, see).await?);
        }
        for (_, path, _) in &self.nodes {
            self.writer.delete(path, None).await?;
        }
        Ok(p50(&all, |seen| seen.from_answer))
    }
}

async fn shows(lists: &mut watch::Receiver<Option<Instances>>, id: &str, wanted: bool) -> anyhow::Result<()> {
    let has = |list: &Instances| list.binary_search_by(|instance| instance.id.as_str().cmp(id)).is_ok();
    lists.wait_for(|list| list.as_ref().is_some_and(|list| has(list) == wanted)).await?;
    Ok(())
}

async fn seen(
    write: impl Future<Output = anyhow::Result<()>>,
    see: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<Seen> {
    let called = Instant::now();
    let write = async { write.await.map(|()| called.elapsed()) };
    let see = async { see.await.map(|()| called.elapsed()) };
    let (answered, seen) = tokio::try_join!(write, see)?;
    let micros = |elapsed: std::time::Duration| elapsed.as_secs_f64() * 1e6;
    Ok(Seen { from_call: micros(seen), from_answer: micros(seen) - micros(answered) })
}

fn p50(all: &[Seen], which: impl Fn(&Seen) -> f64) -> f64 {
    median(&all.iter().map(which).collect::<Vec<_>>())
}
