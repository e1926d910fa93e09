//! The least that must be done to follow a directory, by the bare client: a recursive watch, and one read for each new node.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, bail};
use futures::StreamExt as _;
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::FuturesUnordered;
use proto::{Root, ServiceName};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use zookeeper_client::{AddWatchMode, Client, Error, EventType, PersistentWatcher};

use super::clock::{Work, now_ns};
use super::fingerprint::Fingerprint;
use super::memory::Memory;
use super::part::{Part, begun};
use super::seen::{Seen, settled};
use super::words::{Ask, Told};
use crate::bench::outside::reader::read_all;
use crate::bench::stage::{ROOT, raw};

/// As many as one read of ours asks for.
const TOGETHER: usize = zk_session::READ_BATCH;

/// A read that was asked for by the event of this number, and its answer; nothing for a node that is gone.
type Read = BoxFuture<'static, (u64, String, Result<Option<Vec<u8>>, Error>)>;

/// A process that follows a directory by the bare client.
pub(super) struct Bare {
    known: Arc<Known>,
    following: JoinHandle<anyhow::Result<()>>,
    work: Work,
}

/// What is known of the directory.
pub(super) struct Known {
    nodes: Mutex<BTreeMap<String, Vec<u8>>>,
    seen: watch::Sender<Seen>,
}

/// The task that keeps it true.
pub(super) struct Follower {
    client: Client,
    directory: String,
    watcher: PersistentWatcher,
    pub(super) known: Arc<Known>,
    reads: FuturesUnordered<Read>,
    /// By which event each node that is there was last made; what was read before it was deleted is not its value.
    made: BTreeMap<String, u64>,
    events: u64,
}

impl Bare {
    pub(super) async fn begin(connect: &str, service: &str) -> anyhow::Result<Self> {
        let directory = Root::parse(ROOT)?.instances_dir(&ServiceName::parse(service)?);
        let follower = Follower::start(raw(connect).await?, &directory).await?;
        let known = follower.known.clone();
        Ok(Self { known, following: tokio::spawn(follower.follow()), work: Work::default() })
    }
}

impl Part for Bare {
    async fn answer(&mut self, ask: Ask) -> anyhow::Result<Told> {
        if matches!(ask, Ask::Mark) {
            let size = self.known.nodes().len();
            self.known.seen.send_modify(|seen| seen.mark(size));
        }
        begun()?;
        let (known, work) = (&self.known, &mut self.work);
        let so = async {
            match ask {
                Ask::Whole { len } => known.until(|nodes| nodes.len() == len).await,
                Ask::Settles { fingerprint } => {
                    settled(known.seen.subscribe(), fingerprint, || work.apart(|| known.fingerprint())).await
                }
                Ask::Mark | Ask::State => Ok(()),
                other => bail!("the bare client is not asked {other:?}"),
            }
        };
        tokio::select! {
            // The reason comes before what follows from it.
            biased;
            ended = &mut self.following => {
                ended??;
                bail!("the bare client follows no more");
            }
            so = so => so?,
        }
        Ok(Told {
            at: now_ns(),
            memory: Memory::own()?,
            cpu_us: self.work.micros()?,
            lost: 0,
            granted_ms: 0,
            connections: 1,
            seen: *self.known.seen.borrow(),
            came: Vec::new(),
        })
    }

    async fn end(self) {
        self.following.abort();
    }
}

impl Known {
    fn nodes(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until what is known is so.
    pub(super) async fn until(&self, is: impl Fn(&BTreeMap<String, Vec<u8>>) -> bool) -> anyhow::Result<()> {
        // First watched, then looked at: what changes in between is not missed.
        let mut seen = self.seen.subscribe();
        while !is(&self.nodes()) {
            seen.changed().await?;
        }
        Ok(())
    }

    fn fingerprint(&self) -> anyhow::Result<Fingerprint> {
        let mut fingerprint = Fingerprint::default();
        for (name, value) in &*self.nodes() {
            fingerprint.add(name, &proto::decode(value)?);
        }
        Ok(fingerprint)
    }

    /// Changes what is known, and says whether that made another list. Nobody sees the one without the other.
    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> bool) {
        let mut nodes = self.nodes();
        if change(&mut nodes) {
            self.seen.send_modify(|seen| seen.list(nodes.len()));
        }
    }
}

impl Follower {
    /// Watches, and reads all that is there.
    pub(super) async fn start(client: Client, directory: &str) -> anyhow::Result<Self> {
        let watcher = client.watch(directory, AddWatchMode::PersistentRecursive).await?;
        let nodes: BTreeMap<_, _> = read_all(&client, directory, TOGETHER).await?.into_iter().collect();
        let mut seen = Seen { changed_ns: now_ns(), ..Seen::default() };
        seen.mark(nodes.len());
        let known = Arc::new(Known { nodes: Mutex::new(nodes), seen: watch::Sender::new(seen) });
        let (reads, made) = (FuturesUnordered::new(), BTreeMap::new());
        Ok(Self { client, directory: directory.to_owned(), watcher, known, reads, made, events: 0 })
    }

    pub(super) async fn follow(mut self) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                event = self.watcher.changed() => self.happened(event.event_type, &event.path)?,
                Some((number, name, answer)) = self.reads.next() => {
                    let data = answer.context("the bare client cannot read")?;
                    self.has_read(number, name, data);
                }
            }
        }
    }

    fn happened(&mut self, event: EventType, path: &str) -> anyhow::Result<()> {
        let name = path.strip_prefix(&self.directory).and_then(|path| path.strip_prefix('/'));
        let Some(name) = name else { return Ok(()) };
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
            }
            EventType::NodeDeleted => {
                self.made.remove(name);
                self.known.change(|nodes| nodes.remove(name).is_some());
            }
            other => bail!("the bare client was told {other:?}"),
        }
        Ok(())
    }

    fn has_read(&mut self, number: u64, name: String, data: Option<Vec<u8>>) {
        let is_latest = self.made.get(&name) == Some(&number);
        let Some(data) = data.filter(|_| is_latest) else { return };
        self.made.remove(&name);
        self.known.change(|nodes| {
            nodes.insert(name, data);
            true
        });
    }
}
