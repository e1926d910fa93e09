//! The instances of a service, as they come and go.

use std::sync::Arc;

use proto::{Instance, ServiceName};
use tokio::sync::watch;
use zk_session::{Directory, Entries, Options, Sessions};

use crate::{Changes, Error, Layout};

/// A whole list of instances, in the order of their ids. One that [`Roles`](crate::Roles) made of it may have the master behind the others.
pub type Instances = Entries<Instance>;

/// The instances of a service at one moment (`entries`), how far that can be trusted (`source`), and the nodes that
/// cannot be used (`bad`).
pub type View = zk_session::View<Instance>;

/// Follows the instances of one service, until it is dropped.
///
/// Whole lists are published, each as good as can be known: losing ZooKeeper empties none (see
/// [`zk_session::Directory`] for what is kept for how long). Receivers stay usable when this is dropped or the keeper
/// is closed, and keep the last value.
///
/// # Examples
///
/// ```
/// use registry::{Native, NodeData, Registry, ServiceName};
/// use zk_session::{Keeper, fake::FakeZk};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let keeper = Keeper::start(FakeZk::default().client());
/// # let registry = Registry::new(keeper.sessions(), Native::default());
/// # let time = ServiceName::parse("time")?;
/// let discovery = registry.follow(&time);
/// let here = registry.announce(&time, NodeData::at("10.0.0.7:8897".parse()?))?;
/// let mut lists = discovery.instances();
/// lists.wait_for(|list| list.iter().flatten().any(|instance| instance.id == *here.id())).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Discovery {
    service: ServiceName,
    path: String,
    directory: Directory<Instance>,
}

impl Discovery {
    pub(crate) fn follow(
        sessions: Sessions,
        layout: Arc<dyn Layout>,
        service: &ServiceName,
        options: Options,
    ) -> Self {
        let path = layout.directory(service);
        let read = Arc::new(move |name: &str, node: &zk_session::Node| layout.read(name, node));
        let directory = Directory::follow(sessions, path.clone(), options, read);
        Self { service: service.clone(), path, directory }
    }

    /// Which service.
    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    /// The directory that its instances are in.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The list that callers are to use; `None` before the first whole one. What a balancer follows. It is published
    /// after the [`view`](Self::view), which is never behind.
    pub fn instances(&self) -> watch::Receiver<Option<Instances>> {
        self.directory.entries()
    }

    /// The list with its source and the bad nodes; `None` before the first whole one.
    pub fn view(&self) -> watch::Receiver<Option<View>> {
        self.directory.view()
    }

    /// Waits for the first whole list, and gives the latest when that is here. Bound it: without ZooKeeper this waits.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] when the keeper was closed before.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn ready(&self) -> Result<Instances, Error> {
        let mut lists = self.instances();
        let first = lists.wait_for(Option::is_some).await;
        first.ok().and_then(|list| list.clone()).ok_or(Error::Closed)
    }

    /// Why the service cannot be followed right now, if an operator has to know: too many instances, or an ACL.
    pub fn problem(&self) -> watch::Receiver<Option<zk_session::Error>> {
        self.directory.problem()
    }

    /// What changes from one list to the next, for those who want that; the first is everything that is there.
    pub fn changes(&self) -> Changes {
        Changes::of(self.instances())
    }
}
