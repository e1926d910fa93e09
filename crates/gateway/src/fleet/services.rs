//! Which services there are, and how many instances each has.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use proto::ServiceName;
use registry::{Layout, Services};
use tokio::time::Instant;
use zk_session::{Link, Source};

use super::{Answer, Fleet, Shared};

/// How many instances each service has; `None` where ZooKeeper refuses to tell.
pub type Counts = BTreeMap<ServiceName, Option<usize>>;

/// Whether a service exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existence {
    /// It has a directory, or was configured.
    There,
    /// It has none.
    Nowhere,
    /// ZooKeeper could not be asked.
    Unknown,
}

/// The layout has one service, and it is another one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the flat layout has one service, and {service:?} is not what it is called here; accepted: {}", accepted(.only))]
pub struct Elsewhere {
    service: ServiceName,
    only: BTreeSet<ServiceName>,
}

/// What services can be called: as anybody likes, or in a layout that has one, as the gateway was told, else as its directory.
#[derive(Clone, Debug, Default)]
pub struct Callable {
    only: Option<BTreeSet<ServiceName>>,
}

impl Callable {
    /// In this layout, for a gateway that was started with these names.
    pub fn of(layout: &dyn Layout, configured: &BTreeSet<ServiceName>) -> Self {
        let Services::Single { name, .. } = layout.services() else { return Self::default() };
        let only = if configured.is_empty() { name.into_iter().collect() } else { configured.clone() };
        Self { only: Some(only) }
    }

    /// Refuses what no service is called.
    ///
    /// # Errors
    ///
    /// When the layout has one service, and this is another name.
    pub fn check(&self, service: &ServiceName) -> Result<(), Elsewhere> {
        match &self.only {
            Some(only) if !only.contains(service) => {
                Err(Elsewhere { service: service.clone(), only: only.clone() })
            }
            _ => Ok(()),
        }
    }
}

fn accepted(only: &BTreeSet<ServiceName>) -> String {
    match only.is_empty() {
        true => "none, for its directory has no name for a service; --service gives it one".to_owned(),
        false => only.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", "),
    }
}

impl Fleet {
    /// Whether a service has a directory, or was configured. That it has none is what ZooKeeper answered to a question that was asked after
    /// this began; however many ask for what is not there, it is asked ten times a second at most.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn existence(&self, service: &ServiceName) -> Existence {
        if self.shared.configured.contains(service) {
            return Existence::There;
        }
        if self.check_layout(service).is_err() {
            return Existence::Nowhere;
        }
        // That it was there a moment ago is good enough, that it was not is none: it may be what somebody has registered before they asked.
        let (ask, patience) = (self.ask_names(), self.shared.options.patience);
        let names = self.shared.names.get_sufficient(patience, |names| names.contains(service), ask).await;
        match names {
            Some(names) if names.value.contains(service) => Existence::There,
            Some(Answer { stale_since: None, .. }) => Existence::Nowhere,
            Some(_) | None => Existence::Unknown,
        }
    }

    /// Refuses a service that this layout cannot have. The flat one has one, which is called as the gateway was told, else as its directory.
    ///
    /// # Errors
    ///
    /// When the layout has one service, and this is another name.
    pub fn check_layout(&self, service: &ServiceName) -> Result<(), Elsewhere> {
        self.shared.callable.check(service)
    }

    /// The names of all services, asked for at most once a second for this; `None` when ZooKeeper never told them.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn names(&self) -> Option<Answer<BTreeSet<ServiceName>>> {
        self.shared.names.get(self.shared.options.patience, self.ask_names()).await
    }

    fn ask_names(
        &self,
    ) -> impl Future<Output = Result<BTreeSet<ServiceName>, registry::Error>> + Send + use<> {
        let fleet = self.clone();
        async move {
            let there = fleet.shared.registry.services().await?;
            let Shared { callable, configured, .. } = &*fleet.shared;
            let names = match &callable.only {
                Some(only) if !configured.is_empty() => only.clone(),
                _ => there.into_iter().chain(configured.iter().cloned()).collect(),
            };
            Ok(names)
        }
    }

    /// Takes note of a service that somebody has just registered with: where it is not among the known ones, it is asked anew, the next time,
    /// which there are.
    pub(crate) fn may_be_new(&self, service: &ServiceName) {
        if !self.shared.names.last().is_some_and(|names| names.contains(service)) {
            self.shared.names.forget();
            self.shared.counts.forget();
        }
    }

    /// How many instances each service has, asked for at most once a second; `None` when ZooKeeper never told.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn counts(&self) -> Option<Answer<Counts>> {
        let begun = Instant::now();
        let names = self.names().await?;
        let (fleet, all) = (self.clone(), names.value.clone());
        let ask = async move { fleet.count(&all).await };
        // What the first question took, the second is waited for less.
        let patience = self.shared.options.patience;
        let left = patience.saturating_sub(begun.elapsed());
        let mut counts = self.shared.counts.get_within(left, patience, ask).await?;
        counts.stale_since = counts.stale_since.into_iter().chain(names.stale_since).min();
        Some(counts)
    }

    /// How many instances those services have that are known without asking: those that were configured, and those with instances when a list
    /// of them came last. `None` while there is no list of any.
    pub fn known_counts(&self) -> Option<Counts> {
        let followed = self.all_followed();
        let lists: BTreeMap<_, _> = followed
            .iter()
            .filter_map(|followed| Some((followed.service(), followed.now()?.view.entries.len())))
            .collect();
        if lists.is_empty() {
            return None;
        }
        let listed = lists.iter().filter(|(_, count)| **count > 0).map(|(service, _)| *service);
        let services = self.shared.configured.iter().chain(listed);
        Some(services.map(|service| (service.clone(), lists.get(service).copied())).collect())
    }

    /// Counts what is followed here, and asks for the rest in a few requests.
    async fn count(&self, services: &BTreeSet<ServiceName>) -> Result<Counts, registry::Error> {
        let (mut counts, mut unknown) = (BTreeMap::new(), Vec::new());
        for service in services {
            let followed = self.shared.read().get(service).map(|entry| entry.followed.clone());
            // A list that is not known to be the truth is no better than asking.
            let live =
                followed.and_then(|followed| followed.now()).filter(|now| now.view.source == Source::Live);
            match live {
                Some(now) => {
                    counts.insert(service.clone(), Some(now.view.entries.len()));
                }
                None => unknown.push((service, self.shared.registry.layout().directory(service))),
            }
        }
        let unknown = &unknown;
        let asked = self.shared.registry.sessions().each(|link| async move {
            let asked = join_all(unknown.iter().map(|(_, directory)| children(&link, directory))).await;
            asked.into_iter().collect::<Result<Vec<_>, _>>()
        });
        let asked = asked.await.ok_or(registry::Error::Closed)?;
        counts.extend(unknown.iter().zip(asked).map(|((service, _), count)| ((*service).clone(), count)));
        Ok(counts)
    }
}

/// How many nodes are in a directory; `None` when that is refused, which asking again would not change.
async fn children(link: &Link, directory: &str) -> Result<Option<usize>, zk_session::Error> {
    let count = match link.get_soon(directory).await {
        // Who may not read it may ask whether it is there, and is told how many are in it.
        Err(zk_session::Error::Rejected { .. }) => {
            link.exists(directory).await.map(|stat| stat.map(|it| it.children))
        }
        node => node.map(|node| node.map(|node| node.stat.children)),
    };
    match count {
        Ok(count) => Ok(Some(count.unwrap_or(0))),
        Err(error @ zk_session::Error::Interrupted) => Err(error),
        Err(_) => Ok(None),
    }
}
