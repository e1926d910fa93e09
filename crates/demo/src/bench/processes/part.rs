//! The part of a bench that is done in a process of its own, which is asked by lines on stdin and tells on stdout.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use anyhow::bail;
use futures::future::try_join_all;
use proto::ServiceName;
use registry::{Discovery, Instances, Registration, Source};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::watch;
use zk_session::{SessionId, State};

use crate::bench::processes::look::now_ns;
use crate::bench::processes::memory::{self, Memory};
use crate::bench::scenarios::scale::instance;
use crate::bench::stage::Ours;
use crate::output::print;

/// What a process is started for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Role {
    /// Announces `each` instances of a service on each of so many sessions.
    Announce { connect: String, service: String, sessions: u32, each: u32 },
    /// Follows services, all of them on each of so many sessions.
    Follow { connect: String, services: Vec<String>, sessions: u32, consumer: Consumer },
}

/// Who uses the lists of a follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Consumer {
    /// Somebody who looks at each that comes while it looks.
    Looks,
    /// Nobody looks before it is asked for.
    Away,
    /// A task that blocks its thread at the first list after [`Ask::Block`], until something else is asked for.
    Blocks,
}

/// What a process is asked. It tells once when it has begun to look, and once when it is so.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// Everything is there: lists have so many instances and are the truth, or all is registered.
    Whole { len: usize },
    /// All lists show this instance, or do not.
    Shows { id: String, there: bool },
    /// The lists have the instance that was written last and are, as a whole, what they should be.
    Equals { last: String, digest: u64 },
    /// The connections went, and everything is as it was again.
    Return,
    /// The next list blocks the consumer.
    Block,
    /// Nothing; only what the process is like now.
    State,
}

/// What a process tells.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Told {
    /// Monotonic nanoseconds, the same clock for all processes of the machine.
    pub(crate) at: u64,
    pub(crate) memory: Memory,
    /// Sessions that are not those of the beginning.
    pub(crate) lost: usize,
    /// How often a connection was made.
    pub(crate) connections: usize,
    /// How many lists the consumer was woken for.
    pub(crate) lists: u64,
}

/// What a list says, in any order.
pub(crate) fn digest<'a>(list: impl Iterator<Item = (&'a str, u32)>) -> u64 {
    let one = |of: (&str, u32)| {
        let mut hasher = DefaultHasher::new();
        of.hash(&mut hasher);
        hasher.finish()
    };
    list.map(one).fold(0, u64::wrapping_add)
}

pub(crate) async fn run(role: &str) -> anyhow::Result<ExitCode> {
    let mut part = Part::begin(serde_json::from_str(role)?).await?;
    let mut asked = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = asked.next_line().await? {
        part.answer(&serde_json::from_str(&line)?).await?;
    }
    part.end().await;
    Ok(ExitCode::SUCCESS)
}

struct Part {
    sessions: Vec<Kept>,
    registrations: Vec<Registration>,
    discoveries: Vec<Discovery>,
    consumer: Arc<Watching>,
    /// Lets a consumer go on that blocks its thread.
    release: Option<mpsc::Sender<()>>,
}

/// A session, and which it was at first.
struct Kept {
    ours: Ours,
    first: SessionId,
    connections: Arc<AtomicUsize>,
}

/// What a consumer does with lists.
#[derive(Default)]
struct Watching {
    lists: AtomicU64,
    /// What the next list makes its consumer wait for.
    blocked_by: std::sync::Mutex<Option<mpsc::Receiver<()>>>,
}

impl Part {
    async fn begin(role: Role) -> anyhow::Result<Self> {
        let (connect, count) = match &role {
            Role::Announce { connect, sessions, .. } | Role::Follow { connect, sessions, .. } => {
                (connect, *sessions)
            }
        };
        let open = (0..count).map(|_| Kept::open(connect));
        let mut part = Self {
            sessions: try_join_all(open).await?,
            registrations: Vec::new(),
            discoveries: Vec::new(),
            consumer: Arc::default(),
            release: None,
        };
        match role {
            Role::Announce { service, each, .. } => {
                let service = ServiceName::parse(&service)?;
                for (number, kept) in (0..).zip(&part.sessions) {
                    let those = (number * each..(number + 1) * each).map(|number| instance(number, 1));
                    let those = those.collect::<anyhow::Result<Vec<_>>>()?;
                    part.registrations.extend(kept.ours.registry.announce_all(&service, those)?);
                }
            }
            Role::Follow { services, consumer, .. } => {
                let services = services.iter().map(|service| ServiceName::parse(service));
                let services = services.collect::<Result<Vec<_>, _>>()?;
                for kept in &part.sessions {
                    let follow = |service| kept.ours.registry.follow(service);
                    part.discoveries.extend(services.iter().map(follow));
                }
                if consumer != Consumer::Away {
                    for discovery in &part.discoveries {
                        tokio::spawn(part.consumer.clone().consume(discovery.instances()));
                    }
                }
            }
        }
        Ok(part)
    }

    async fn answer(&mut self, ask: &Ask) -> anyhow::Result<()> {
        self.release = None;
        let mut views: Vec<_> = self.discoveries.iter().map(Discovery::view).collect();
        let mut lists: Vec<_> = self.discoveries.iter().map(Discovery::instances).collect();
        let links = self.links().await?;
        views.iter_mut().for_each(watch::Receiver::mark_unchanged);
        if matches!(ask, Ask::Block) {
            self.block();
        }
        self.tell()?;
        match ask {
            Ask::Whole { len } => {
                for registration in &self.registrations {
                    registration.registered().await?;
                }
                for view in &mut views {
                    let whole =
                        |view: &registry::View| view.entries.len() == *len && view.source == Source::Live;
                    view.wait_for(|view| view.as_ref().is_some_and(whole)).await?;
                }
            }
            Ask::Shows { id, there } => {
                for list in &mut lists {
                    list.wait_for(|list| list.as_ref().is_some_and(|list| shows(list, id) == *there)).await?;
                }
            }
            Ask::Equals { last, digest: wanted } => {
                let equal = |list: &Instances| {
                    shows(list, last)
                        && digest(list.iter().map(|it| (it.id.as_str(), it.data.weight))) == *wanted
                };
                for list in &mut lists {
                    list.wait_for(|list| list.as_ref().is_some_and(equal)).await?;
                }
            }
            Ask::Return => {
                for link in &links {
                    link.ended().await;
                }
                // Every body of the old connection was woken by its end before we were; once a new one has answered,
                // none of them counts as done any more.
                for link in self.links().await? {
                    // One that is lost again is followed by another, which is what registrations then wait for.
                    let _ = link.sync("/").await;
                }
                for registration in &self.registrations {
                    registration.registered().await?;
                }
                for view in &mut views {
                    // Nothing else happens: a view that changed and is the truth was marked stale in between.
                    view.changed().await?;
                    let live = |view: &registry::View| view.source == Source::Live;
                    view.wait_for(|view| view.as_ref().is_some_and(live)).await?;
                }
            }
            Ask::Block | Ask::State => {}
        }
        self.tell()
    }

    async fn links(&self) -> anyhow::Result<Vec<zk_session::Link>> {
        try_join_all(self.sessions.iter().map(|kept| kept.ours.link())).await
    }

    fn block(&mut self) {
        let (release, blocked_by) = mpsc::channel();
        *lock(&self.consumer.blocked_by) = Some(blocked_by);
        self.release = Some(release);
    }

    fn tell(&self) -> anyhow::Result<()> {
        let lost = self.sessions.iter().filter(|kept| kept.is_lost()).count();
        let connections = self.sessions.iter().map(|kept| kept.connections.load(Ordering::Relaxed)).sum();
        let lists = self.consumer.lists.load(Ordering::Relaxed);
        let told = Told { at: now_ns(), memory: memory::ours()?, lost, connections, lists };
        print(serde_json::to_string(&told)?)
    }

    async fn end(self) {
        let Self { sessions, registrations, discoveries, .. } = self;
        drop(discoveries);
        for kept in sessions {
            kept.ours.close().await;
        }
        drop(registrations);
    }
}

impl Kept {
    async fn open(connect: &str) -> anyhow::Result<Self> {
        let ours = Ours::start(connect)?;
        let mut state = ours.registry.sessions().state();
        let connected = state.wait_for(|state| matches!(state, State::Connected { .. })).await;
        let State::Connected { id: first, .. } = connected?.clone() else {
            bail!("a session was closed while it was opened");
        };
        let connections = Arc::new(AtomicUsize::new(1));
        let counted = connections.clone();
        tokio::spawn(async move {
            while state.changed().await.is_ok() {
                if matches!(*state.borrow_and_update(), State::Connected { .. }) {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Ok(Self { ours, first, connections })
    }

    /// Whether its session is another one by now; without a connection that is not known.
    fn is_lost(&self) -> bool {
        match *self.ours.registry.sessions().state().borrow() {
            State::Connected { id, .. } | State::Suspended { id, .. } => id != self.first,
            State::Connecting { .. } | State::Closed => true,
        }
    }
}

impl Watching {
    async fn consume(self: Arc<Self>, mut lists: watch::Receiver<Option<Instances>>) {
        while lists.changed().await.is_ok() {
            lists.borrow_and_update();
            self.lists.fetch_add(1, Ordering::Relaxed);
            let blocked_by = lock(&self.blocked_by).take();
            if let Some(blocked_by) = blocked_by {
                // As a program does that forgets that it is in a task: the thread is gone until this returns.
                let _ = blocked_by.recv();
            }
        }
    }
}

fn shows(list: &Instances, id: &str) -> bool {
    list.binary_search_by(|instance| instance.id.as_str().cmp(id)).is_ok()
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
