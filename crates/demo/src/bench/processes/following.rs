//! A process that follows services, over one session or many.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use anyhow::{Context as _, bail};
use proto::ServiceName;
use registry::{Discovery, Instances, Source, View};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};

use super::came::last_of_all;
use super::clock::{Work, now_ns};
use super::fingerprint::Fingerprint;
use super::kept::Kept;
use super::memory::Memory;
use super::part::{Part, begun};
use super::seen::{Seen, settled};
use super::words::{Ask, Consumer, Told};
use crate::bench::scenarios::lists::shows;

pub(super) struct Following {
    sessions: Kept,
    discoveries: Vec<Discovery>,
    consumer: Arc<Consuming>,
    /// Lets a consumer go on that blocks its thread.
    release: Option<mpsc::Sender<()>>,
    /// Tells that it does.
    blocks: Option<JoinHandle<Result<(), mpsc::RecvError>>>,
    work: Work,
}

/// What a consumer does with lists.
struct Consuming {
    seen: watch::Sender<Seen>,
    /// What the next list makes its consumer wait for.
    blocked_by: Mutex<Option<Blockade>>,
}

/// What a consumer waits for, and where it says that it does.
struct Blockade {
    blocks: mpsc::Sender<()>,
    until: mpsc::Receiver<()>,
}

impl Following {
    pub(super) async fn begin(
        connect: &str,
        services: &[String],
        sessions: u32,
        session: Duration,
        consumer: Consumer,
    ) -> anyhow::Result<Self> {
        let services = services.iter().map(|service| ServiceName::parse(service));
        let services = services.collect::<Result<Vec<_>, _>>()?;
        let sessions = Kept::open(connect, sessions, session).await?;
        let mut discoveries = Vec::new();
        for ours in sessions.all() {
            discoveries.extend(services.iter().map(|service| ours.registry.follow(service)));
        }
        let consuming =
            Arc::new(Consuming { seen: watch::Sender::new(Seen::default()), blocked_by: Mutex::default() });
        if consumer != Consumer::Away {
            for discovery in &discoveries {
                tokio::spawn(consuming.clone().consume(discovery.instances()));
            }
        }
        let work = Work::default();
        Ok(Self { sessions, discoveries, consumer: consuming, release: None, blocks: None, work })
    }

    fn block(&mut self) {
        let ((release, until), (blocks, told)) = (mpsc::channel(), mpsc::channel());
        *lock(&self.consumer.blocked_by) = Some(Blockade { blocks, until });
        // Told by a thread to a thread: a task that the consumer woke just before it blocks may wait in its thread's queue for as long.
        self.blocks = Some(spawn_blocking(move || told.recv()));
        self.release = Some(release);
    }

    /// Waits until the consumer blocks its thread.
    async fn blocked(&mut self) -> anyhow::Result<()> {
        let Some(blocks) = self.blocks.take() else { bail!("nothing was to block") };
        blocks.await?.context("the consumer is gone")
    }

    /// Waits until all lists show those that come, one after the other.
    async fn come(&self, ids: Vec<String>) -> anyhow::Result<Vec<u64>> {
        let ids: Arc<[String]> = ids.into();
        last_of_all(self.lists().map(|list| come(list, ids.clone()))).await
    }

    async fn mark(&self) -> anyhow::Result<()> {
        let lowest = shortest(self.lists()).await?;
        self.consumer.seen.send_modify(|seen| seen.mark(lowest));
        Ok(())
    }

    /// What callers are to use.
    fn lists(&self) -> impl Iterator<Item = watch::Receiver<Option<Instances>>> {
        self.discoveries.iter().map(Discovery::instances)
    }

    /// Waits until the only list is this one and stays it.
    async fn settles(&mut self, wanted: Fingerprint) -> anyhow::Result<()> {
        let [discovery] = &self.discoveries[..] else {
            bail!("one list settles, and not {}", self.discoveries.len());
        };
        let (lists, work) = (discovery.instances(), &mut self.work);
        let look = || {
            let list = lists.borrow().clone();
            Ok(work.apart(|| list.as_ref().map(Fingerprint::of_list).unwrap_or_default()))
        };
        settled(self.consumer.seen.subscribe(), wanted, look).await
    }

    async fn equals(&mut self, last: &str, wanted: Fingerprint) -> anyhow::Result<()> {
        for mut list in self.discoveries.iter().map(Discovery::instances) {
            let work = &mut self.work;
            let mut equal =
                |list: &Instances| shows(list, last) && work.apart(|| Fingerprint::of_list(list) == wanted);
            list.wait_for(|list| list.as_ref().is_some_and(&mut equal)).await?;
        }
        Ok(())
    }
}

impl Part for Following {
    async fn answer(&mut self, ask: Ask) -> anyhow::Result<Told> {
        self.release = None;
        let mut views: Vec<_> = self.discoveries.iter().map(Discovery::view).collect();
        let links = self.sessions.links().await?;
        views.iter_mut().for_each(watch::Receiver::mark_unchanged);
        match ask {
            Ask::Block => self.block(),
            Ask::Mark => self.mark().await?,
            _ => {}
        }
        begun()?;
        let mut came = Vec::new();
        match ask {
            Ask::Whole { len } => {
                let whole = |view: &View| view.entries.len() == len && view.source == Source::Live;
                for view in &mut views {
                    view.wait_for(|view| view.as_ref().is_some_and(whole)).await?;
                }
                // They are published after the views.
                for mut list in self.lists() {
                    list.wait_for(|list| list.as_ref().is_some_and(|list| list.len() == len)).await?;
                }
            }
            Ask::Shows { id, there } => {
                for mut list in self.lists() {
                    list.wait_for(|list| list.as_ref().is_some_and(|list| shows(list, &id) == there)).await?;
                }
            }
            Ask::Equals { last, fingerprint } => self.equals(&last, fingerprint).await?,
            Ask::Settles { fingerprint } => self.settles(fingerprint).await?,
            Ask::Return => {
                self.sessions.reconnected(&links).await?;
                for view in &mut views {
                    // Nothing else happens: a view that changed and is the truth was marked stale in between.
                    view.changed().await?;
                    view.wait_for(|view| view.as_ref().is_some_and(|view| view.source == Source::Live))
                        .await?;
                }
            }
            Ask::Block => self.blocked().await?,
            Ask::Come { ids } => came = self.come(ids).await?,
            Ask::Mark | Ask::State => {}
        }
        Ok(Told {
            at: now_ns(),
            memory: Memory::own()?,
            cpu_us: self.work.micros()?,
            lost: self.sessions.lost(),
            granted_ms: self.sessions.granted_ms()?,
            connections: self.sessions.connections(),
            seen: *self.consumer.seen.borrow(),
            came,
        })
    }

    async fn end(self) {
        drop(self.discoveries);
        self.sessions.close().await;
    }
}

impl Consuming {
    async fn consume(self: Arc<Self>, mut lists: watch::Receiver<Option<Instances>>) {
        while lists.changed().await.is_ok() {
            let Some(size) = lists.borrow_and_update().as_ref().map(registry::List::len) else { continue };
            self.seen.send_modify(|seen| seen.list(size));
            let blocked_by = lock(&self.blocked_by).take();
            if let Some(Blockade { blocks, until }) = blocked_by {
                // Whoever asked may be gone, and whoever lets it go on ends it by that.
                let _ = blocks.send(());
                // As a program does that forgets that it is in a task: the thread is gone until this returns.
                let _ = until.recv();
            }
        }
    }
}

/// When a list showed each of those that come one after the other.
async fn come(mut list: watch::Receiver<Option<Instances>>, ids: Arc<[String]>) -> anyhow::Result<Vec<u64>> {
    let mut came = Vec::new();
    for id in ids.iter() {
        list.wait_for(|list| list.as_ref().is_some_and(|list| shows(list, id))).await?;
        came.push(now_ns());
    }
    Ok(came)
}

/// The size of the shortest list, once all are there: a list that is not published yet is not an empty one.
async fn shortest(lists: impl Iterator<Item = watch::Receiver<Option<Instances>>>) -> anyhow::Result<usize> {
    let mut shortest = None;
    for mut list in lists {
        let size = list.wait_for(Option::is_some).await?.as_ref().map(registry::List::len);
        shortest = shortest.into_iter().chain(size).min();
    }
    Ok(shortest.unwrap_or_default())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::FutureExt as _;
    use proto::Instance;

    use super::*;
    use crate::bench::stage::instances;

    fn list(count: u32) -> Instances {
        let instance = |data: proto::NodeData| Arc::new(Instance { id: data.default_id().unwrap(), data });
        instances(count).unwrap().into_iter().map(instance).collect()
    }

    #[test]
    fn a_list_that_is_not_published_yet_is_no_empty_one() {
        let (published, early) = watch::channel(Some(list(7)));
        let (late, lists) = watch::channel(None);
        let mut marked = pin!(shortest([early, lists].into_iter()));
        assert!(marked.as_mut().now_or_never().is_none());
        late.send_replace(Some(list(5)));
        assert_eq!(marked.now_or_never().unwrap().unwrap(), 5);
        published.send_replace(Some(list(0)));
        assert_eq!(shortest([published.subscribe()].into_iter()).now_or_never().unwrap().unwrap(), 0);
    }
}
