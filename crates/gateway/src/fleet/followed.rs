//! One service that is followed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use leader::Observer;
use loadbalance::{Balancer, Name};
use proto::{Instance, InstanceId, ServiceName};
use registry::{Discovery, Instances, Roles, View};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::published::{Leading, Published};
use super::revision::Revisions;

/// How long a list waits for the first word on who leads. They come together, unless one of them is refused.
const TOGETHER: Duration = Duration::from_secs(1);

/// A service that is followed for as long as this is held, with one watch on its instances and one on who leads, however many ask.
#[derive(Debug)]
pub struct Followed {
    service: ServiceName,
    discovery: Discovery,
    channels: Arc<Channels>,
    task: AbortHandle,
    /// Whether whoever is the master takes no requests that others may answer.
    roles: bool,
    /// One for each algorithm, so that turns go on from one pick to the next.
    balancers: [OnceLock<Balancer>; Name::ALL.len()],
    picks: [Picks; Name::ALL.len()],
}

/// How many picks were asked for, and what became of them.
#[derive(Debug, Default)]
pub(crate) struct Picks {
    picked: AtomicU64,
    nobody: AtomicU64,
}

impl Picks {
    /// How many got an instance.
    pub(crate) fn picked(&self) -> u64 {
        self.picked.load(Ordering::Relaxed)
    }

    /// How many got none.
    pub(crate) fn nobody(&self) -> u64 {
        self.nobody.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
pub(super) struct Channels {
    published: watch::Sender<Option<Arc<Published>>>,
    /// For the proxy, which is told of nothing but the instances.
    lists: watch::Sender<Option<Instances>>,
    master: watch::Sender<Option<Arc<Instance>>>,
}

impl Followed {
    pub(super) fn start(
        discovery: Discovery,
        observer: Option<Observer>,
        roles: bool,
        revisions: Arc<Revisions>,
    ) -> Self {
        let channels = Arc::new(Channels {
            published: watch::Sender::new(None),
            lists: watch::Sender::new(None),
            master: watch::Sender::new(None),
        });
        let service = discovery.service().clone();
        let publishing = Publishing {
            service: service.clone(),
            views: discovery.view(),
            observer,
            channels: channels.clone(),
            revisions,
            roles,
        };
        let task = tokio::spawn(publishing.run()).abort_handle();
        Self {
            service,
            discovery,
            channels,
            task,
            roles,
            balancers: Default::default(),
            picks: Default::default(),
        }
    }

    /// Which service.
    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    /// What is known of it now; `None` before the first whole list.
    pub fn now(&self) -> Option<Arc<Published>> {
        self.channels.published.borrow().clone()
    }

    /// What is known of it, and every change of that (fast ones may be skipped).
    pub fn published(&self) -> watch::Receiver<Option<Arc<Published>>> {
        self.channels.published.subscribe()
    }

    /// What is known of it, waited for as long as `patience`.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn ready(&self, patience: Duration) -> Option<Arc<Published>> {
        if let Some(now) = self.now() {
            return Some(now);
        }
        let mut published = self.published();
        let first = timeout(patience, published.wait_for(Option::is_some)).await;
        first.ok().and_then(Result::ok).and_then(|now| now.clone())
    }

    /// Its instances, as lists that are whole.
    pub fn lists(&self) -> watch::Receiver<Option<Instances>> {
        self.channels.lists.subscribe()
    }

    /// Whoever leads: its id, and what it says about itself. `None` before that is known, while nobody does, and while that cannot be read.
    pub fn master(&self) -> watch::Receiver<Option<Arc<Instance>>> {
        self.channels.master.subscribe()
    }

    /// Why it cannot be followed right now, if an operator has to know.
    pub fn problem(&self) -> Option<zk_session::Error> {
        self.discovery.problem().borrow().clone()
    }

    /// What picks by this algorithm.
    pub fn balancer(&self, algorithm: Name) -> &Balancer {
        self.balancers[place(algorithm)].get_or_init(|| {
            let lists = self.discovery.instances();
            let lists = if self.roles { Roles::follow_for_requests(lists) } else { lists };
            Balancer::follow(lists, algorithm.algorithm())
        })
    }

    /// Counts a pick by this algorithm.
    pub(crate) fn count_pick(&self, algorithm: Name, found: bool) {
        let Picks { picked, nobody } = &self.picks[place(algorithm)];
        let count = if found { picked } else { nobody };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// The picks by each algorithm, since it is followed.
    pub(crate) fn picks(&self) -> impl Iterator<Item = (Name, &Picks)> {
        Name::ALL.into_iter().zip(&self.picks)
    }

    /// Whether somebody has a channel of it.
    pub(super) fn has_listeners(&self) -> bool {
        let Channels { published, lists, master } = &*self.channels;
        published.receiver_count() + lists.receiver_count() + master.receiver_count() > 0
    }
}

/// Where in an array for all algorithms the one of this is.
pub(super) fn place(algorithm: Name) -> usize {
    Name::ALL.iter().position(|name| *name == algorithm).expect("all algorithms are among all")
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Puts together what is known of a service.
struct Publishing {
    service: ServiceName,
    views: watch::Receiver<Option<View>>,
    observer: Option<Observer>,
    channels: Arc<Channels>,
    revisions: Arc<Revisions>,
    roles: bool,
}

impl Publishing {
    async fn run(mut self) {
        let mut leaders = self.observer.as_ref().map(Observer::view);
        let mut waits_until = None;
        loop {
            let view = self.views.borrow_and_update().clone();
            let leading = match &mut leaders {
                None => Leading::Never,
                Some(leaders) => match leaders.borrow_and_update().clone() {
                    Some(leader::View { master, source }) => Leading::Known { master, source },
                    None => Leading::Unknown,
                },
            };
            if let Some(view) = view {
                let until = *waits_until.get_or_insert_with(|| Instant::now() + TOGETHER);
                self.tell(&view, &leading);
                if leading != Leading::Unknown || Instant::now() >= until {
                    self.publish(view, leading.clone());
                }
            }
            let waits = waits_until.filter(|until| leading == Leading::Unknown && Instant::now() < *until);
            let open = tokio::select! {
                changed = self.views.changed() => changed.is_ok(),
                changed = next(&mut leaders) => changed,
                () = at(waits) => true,
            };
            if !open {
                return;
            }
        }
    }

    /// Tells the proxy, which waits for nobody's word on who leads.
    fn tell(&self, view: &View, leading: &Leading) {
        self.channels.lists.send_if_modified(|now| {
            let news = !now.as_ref().is_some_and(|now| now.is_same(&view.entries));
            if news {
                *now = Some(view.entries.clone());
            }
            news
        });
        let master = leading.master().and_then(|master| {
            let id = InstanceId::parse(&master.id).ok()?;
            Some(Arc::new(Instance { id, data: master.data.clone().ok()? }))
        });
        self.channels.master.send_if_modified(|now| {
            let news = *now != master;
            if news {
                *now = master;
            }
            news
        });
    }

    fn publish(&self, view: View, leading: Leading) {
        self.channels.published.send_if_modified(|now| {
            let news = !now.as_ref().is_some_and(|now| now.says(&view, &leading));
            if news {
                let revision = self.revisions.next();
                let service = self.service.clone();
                *now = Some(Arc::new(Published::new(service, revision, view, leading, self.roles)));
            }
            news
        });
    }
}

async fn next<T>(channel: &mut Option<watch::Receiver<T>>) -> bool {
    match channel {
        Some(channel) => channel.changed().await.is_ok(),
        None => std::future::pending().await,
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
