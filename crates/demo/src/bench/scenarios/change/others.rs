//! Somebody else's session, which makes the changes, and when each of them was seen.

use anyhow::Context as _;
use proto::{NodeData, ServiceName};
use tokio::time::Instant;
use zookeeper_client::{AddWatchMode, Client, EventType};

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

    /// Creates a node or deletes it, and tells when what `see` waits for has come.
    pub(super) async fn change(
        &self,
        node: &Node,
        there: bool,
        see: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<Seen> {
        let options = ephemeral();
        let called = Instant::now();
        let write = async {
            match there {
                true => self.writer.create(&node.path, &node.value, &options).await.map(drop)?,
                false => self.writer.delete(&node.path, None).await?,
            }
            Ok(called.elapsed())
        };
        let see = async { see.await.map(|()| called.elapsed()) };
        let (answered, seen) = tokio::try_join!(write, see)?;
        let micros = |elapsed: std::time::Duration| elapsed.as_secs_f64() * 1e6;
        Ok(Seen { from_call: micros(seen), from_answer: micros(seen) - micros(answered) })
    }

    /// Replaces one node by the next in one transaction, again and again, and tells how long after the deletion a watcher is told of
    /// the creation, in microseconds. None of the nodes is there before and after.
    pub(super) async fn replace_at_once(&self, stage: &Stage, directory: &str) -> anyhow::Result<Vec<f64>> {
        let client = stage.raw().await?;
        let first = self.nodes.first().context("there is nothing to replace")?;
        let last = self.nodes.last().unwrap_or(first);
        let options = ephemeral();
        self.writer.create(&first.path, &first.value, &options).await?;
        let mut told = client.watch(directory, AddWatchMode::PersistentRecursive).await?;
        let mut apart = Vec::new();
        for (old, new) in self.nodes.iter().zip(self.nodes.iter().skip(1)) {
            let mut both = self.writer.new_multi_writer();
            both.add_delete(&old.path, None)?;
            both.add_create(&new.path, &new.value, &options)?;
            let committed = both.commit();
            let deleted = told.changed().await;
            let deleted_at = Instant::now();
            let created = told.changed().await;
            apart.push(deleted_at.elapsed().as_secs_f64() * 1e6);
            anyhow::ensure!(
                (deleted.event_type, created.event_type) == (EventType::NodeDeleted, EventType::NodeCreated),
                "a replacement is told as {deleted:?} and {created:?}"
            );
            committed.await?;
        }
        self.writer.delete(&last.path, None).await?;
        Ok(apart)
    }
}

/// The medians of many changes, each by itself.
pub(super) fn p50(all: &[Seen]) -> Seen {
    let middle = |which: fn(&Seen) -> f64| median(&all.iter().map(which).collect::<Vec<_>>());
    Seen { from_call: middle(|seen| seen.from_call), from_answer: middle(|seen| seen.from_answer) }
}
