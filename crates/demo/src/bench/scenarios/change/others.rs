//! Somebody else's session, which makes the changes, and when each of them was seen.

use proto::{NodeData, ServiceName};
use registry::{Discovery, Instances};
use tokio::sync::watch;
use tokio::time::Instant;
use zookeeper_client::{AddWatchMode, Client, EventType, PersistentWatcher};

use crate::bench::report::median;
use crate::bench::stage::{Stage, ephemeral};

/// Instances that come and go, and the session of somebody else that makes them.
pub(super) struct Others {
    writer: Client,
    nodes: Vec<Node>,
}

/// An instance as it is stored.
pub(super) struct Node {
    pub(super) id: String,
    pub(super) path: String,
    value: Vec<u8>,
}

/// When a change was seen, in microseconds.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    pub(super) from_call: f64,
    pub(super) from_answer: f64,
}

/// The bare client with a watch on all of a directory.
pub(super) struct Bare {
    client: Client,
    watcher: PersistentWatcher,
}

impl Others {
    pub(super) async fn new(
        stage: &Stage,
        service: &ServiceName,
        instances: &[NodeData],
    ) -> anyhow::Result<Self> {
        let node = |(data, (path, value)): (&NodeData, _)| {
            Ok(Node { id: data.default_id()?.to_string(), path, value })
        };
        let nodes = instances.iter().zip(stage.nodes(service, instances)?).map(node);
        Ok(Self { writer: stage.raw().await?, nodes: nodes.collect::<anyhow::Result<_>>()? })
    }

    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Creates a node, and tells when what `see` waits for has come.
    pub(super) async fn add(
        &self,
        node: &Node,
        see: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<Seen> {
        let options = ephemeral();
        let write = async { Ok(self.writer.create(&node.path, &node.value, &options).await.map(|_| ())?) };
        seen(write, see).await
    }

    /// The same for a node that goes.
    pub(super) async fn delete(
        &self,
        node: &Node,
        see: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<Seen> {
        seen(async { Ok(self.writer.delete(&node.path, None).await?) }, see).await
    }

    /// Creates all nodes, one after the other, each when the one before is in the list.
    pub(super) async fn add_all(&self, discovery: &Discovery) -> anyhow::Result<Vec<Seen>> {
        let mut lists = discovery.instances();
        let mut all = Vec::new();
        for node in &self.nodes {
            all.push(self.add(node, shows(&mut lists, &node.id, true)).await?);
        }
        Ok(all)
    }

    /// Deletes all nodes likewise.
    pub(super) async fn delete_all(&self, discovery: &Discovery) -> anyhow::Result<Vec<Seen>> {
        let mut lists = discovery.instances();
        let mut all = Vec::new();
        for node in &self.nodes {
            all.push(self.delete(node, shows(&mut lists, &node.id, false)).await?);
        }
        Ok(all)
    }

    /// Creates all nodes, each when the bare client has read the one before.
    pub(super) async fn add_all_for(&self, bare: &mut Bare) -> anyhow::Result<Vec<Seen>> {
        let mut all = Vec::new();
        for node in &self.nodes {
            all.push(self.add(node, bare.reads(&node.path)).await?);
        }
        Ok(all)
    }

    /// Deletes the first nodes, watched or not, for what comes next.
    pub(super) async fn take_away(&self, how_many: usize) -> anyhow::Result<()> {
        for node in self.nodes.iter().take(how_many) {
            self.writer.delete(&node.path, None).await?;
        }
        Ok(())
    }
}

impl Bare {
    pub(super) async fn watch(client: Client, directory: &str) -> anyhow::Result<Self> {
        let watcher = client.watch(directory, AddWatchMode::PersistentRecursive).await?;
        Ok(Self { client, watcher })
    }

    /// Waits until it is told of a node, and reads that.
    pub(super) async fn reads(&mut self, path: &str) -> anyhow::Result<()> {
        let mut event = self.watcher.changed().await;
        while event.event_type != EventType::NodeCreated || event.path != path {
            anyhow::ensure!(event.event_type != EventType::Session, "the bare client lost its session");
            event = self.watcher.changed().await;
        }
        self.client.get_data(path).await?;
        Ok(())
    }
}

/// Waits until an instance is in the list, or no longer is.
pub(super) async fn shows(
    lists: &mut watch::Receiver<Option<Instances>>,
    id: &str,
    wanted: bool,
) -> anyhow::Result<()> {
    let has = |list: &Instances| list.binary_search_by(|instance| instance.id.as_str().cmp(id)).is_ok();
    lists.wait_for(|list| list.as_ref().is_some_and(|list| has(list) == wanted)).await?;
    Ok(())
}

/// The medians of many changes, each by itself.
pub(super) fn p50(all: &[Seen]) -> Seen {
    let middle = |which: fn(&Seen) -> f64| median(&all.iter().map(which).collect::<Vec<_>>());
    Seen { from_call: middle(|seen| seen.from_call), from_answer: middle(|seen| seen.from_answer) }
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
