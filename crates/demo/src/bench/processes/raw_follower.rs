//! The least that must be done to follow a directory, by the bare client: a recursive watch, and one read for each new node.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use futures::StreamExt as _;
use futures::future::{BoxFuture, FutureExt as _, try_join_all};
use futures::stream::FuturesUnordered;
use zookeeper_client::{AddWatchMode, Client, Error, EventType, MultiReadResult, PersistentWatcher};

use crate::bench::processes::following::Followed;
use crate::bench::processes::look::Fingerprint;

/// As many as one read of ours asks for.
const TOGETHER: usize = zk_session::READ_BATCH;

/// A read that was asked for by the event of this number, and its answer; nothing for a node that is gone.
type Read = BoxFuture<'static, (u64, String, Result<Option<Vec<u8>>, Error>)>;

pub(crate) struct RawFollower {
    client: Client,
    directory: String,
    watcher: PersistentWatcher,
    nodes: BTreeMap<String, Vec<u8>>,
    reads: FuturesUnordered<Read>,
    /// By which event each node that is there was last made; what was read before it was deleted is not its value.
    made: BTreeMap<String, u64>,
    events: u64,
}

impl RawFollower {
    /// Watches, and reads all that is there.
    pub(crate) async fn start(client: Client, directory: &str) -> anyhow::Result<Self> {
        let watcher = client.watch(directory, AddWatchMode::PersistentRecursive).await?;
        let mut reads = Vec::new();
        let names = client.list_children(directory).await?;
        for names in names.chunks(TOGETHER) {
            let mut reader = client.new_multi_reader();
            for name in names {
                reader.add_get_data(&format!("{directory}/{name}"))?;
            }
            reads.push(reader.commit());
        }
        let answers = try_join_all(reads).await?;
        let mut nodes = BTreeMap::new();
        for (name, answer) in names.into_iter().zip(answers.into_iter().flatten()) {
            if let MultiReadResult::Data { data, .. } = answer {
                nodes.insert(name, data);
            }
        }
        let (reads, made) = (FuturesUnordered::new(), BTreeMap::new());
        Ok(Self { client, directory: directory.to_owned(), watcher, nodes, reads, made, events: 0 })
    }

    /// Says whether the list changed.
    fn happened(&mut self, event: EventType, path: &str) -> anyhow::Result<bool> {
        let name = path.strip_prefix(&self.directory).and_then(|path| path.strip_prefix('/'));
        let Some(name) = name else { return Ok(false) };
        self.events += 1;
        match event {
            EventType::NodeCreated | EventType::NodeDataChanged => {
                let (number, name) = (self.events, name.to_owned());
                self.made.insert(name.clone(), number);
                let read = self.client.get_data(path);
                let read = async move {
                    let answer = match read.await {
                        Ok((data, _)) => Ok(Some(data)),
                        Err(Error::NoNode) => Ok(None),
                        Err(error) => Err(error),
                    };
                    (number, name, answer)
                };
                self.reads.push(read.boxed());
                Ok(false)
            }
            EventType::NodeDeleted => {
                self.made.remove(name);
                Ok(self.nodes.remove(name).is_some())
            }
            other => bail!("the bare client was told {other:?}"),
        }
    }

    fn has_read(&mut self, number: u64, name: String, data: Option<Vec<u8>>) -> bool {
        let is_latest = self.made.get(&name) == Some(&number);
        let Some(data) = data.filter(|_| is_latest) else { return false };
        self.made.remove(&name);
        self.nodes.insert(name, data);
        true
    }
}

impl Followed for RawFollower {
    async fn changed(&mut self) -> anyhow::Result<()> {
        loop {
            let changed = tokio::select! {
                event = self.watcher.changed() => self.happened(event.event_type, &event.path)?,
                Some((number, name, answer)) = self.reads.next() => {
                    let data = answer.context("the bare client cannot read")?;
                    self.has_read(number, name, data)
                }
            };
            if changed {
                return Ok(());
            }
        }
    }

    fn size(&self) -> usize {
        self.nodes.len()
    }

    fn fingerprint(&self) -> anyhow::Result<Fingerprint> {
        let mut fingerprint = Fingerprint::default();
        for (name, value) in &self.nodes {
            fingerprint.add(name, &proto::decode(value)?);
        }
        Ok(fingerprint)
    }
}
