//! The way in: announces instances, follows and lists services.

use std::sync::Arc;

use proto::{InstanceId, NodeData, ServiceName};
use zk_session::{Link, Name, Options, Presence, Sessions, Spec};

use crate::layout::Services;
use crate::wall::unix_millis;
use crate::{Discovery, Error, Layout, Registration};

/// Announces instances and follows services, on the sessions of one [`Keeper`](zk_session::Keeper).
///
/// A clone is cheap and is the same registry. Several registries, of other layouts perhaps, can share the sessions.
///
/// # Examples
///
/// ```
/// use registry::{Native, NodeData, Registry, ServiceName};
/// use zk_session::{Keeper, fake::FakeZk};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keeper = Keeper::start(FakeZk::default().client()); // or ZooKeeper::builder("zk1:2181").build()?
/// let registry = Registry::new(keeper.sessions(), Native::default());
/// let here = registry.announce(&ServiceName::parse("time")?, NodeData::at("10.0.0.7:8897".parse()?))?;
/// here.registered().await?;
/// assert_eq!(registry.services().await?, [ServiceName::parse("time")?]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Registry {
    sessions: Sessions,
    layout: Arc<dyn Layout>,
}

impl Registry {
    /// A registry with the nodes where `layout` says.
    pub fn new(sessions: Sessions, layout: impl Layout) -> Self {
        Self::with_layout(sessions, Arc::new(layout))
    }

    /// The same for a layout that was chosen at run time.
    pub fn with_layout(sessions: Sessions, layout: Arc<dyn Layout>) -> Self {
        Self { sessions, layout }
    }

    /// The sessions that it works on.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Where its nodes are.
    pub fn layout(&self) -> &dyn Layout {
        &*self.layout
    }

    /// Announces an instance under its [default id](NodeData::default_id): its address, else its unique code.
    ///
    /// Returns at once, and registers as soon as that is possible: a service starts without ZooKeeper as well. To wait,
    /// see [`Registration::registered`].
    ///
    /// # Errors
    ///
    /// As [`announce_as`](Self::announce_as), and when there is no default id.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn announce(&self, service: &ServiceName, data: NodeData) -> Result<Registration, Error> {
        let id = data.default_id().map_err(Error::invalid)?;
        self.announce_as(service, id, data)
    }

    /// Announces an instance under an id of your own. An instance that is there under it is replaced: the newest wins.
    ///
    /// `registered_at` is set to the time of this call unless it is set already.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`], before anything is sent, when the data is not valid, takes more than 64 KiB, or cannot be
    /// stored in this layout, or when the same instance is announced on these sessions already and was not withdrawn.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn announce_as(
        &self,
        service: &ServiceName,
        id: InstanceId,
        data: NodeData,
    ) -> Result<Registration, Error> {
        let Prepared { id, data, spec, path } = self.prepare(&self.layout.directory(service), id, data)?;
        let presence = Presence::hold(self.sessions.clone(), spec)?;
        Ok(Registration::new(id, data, self.layout.clone(), presence, path))
    }

    /// Announces many instances, each as [`announce`](Self::announce) does. They share requests.
    ///
    /// # Errors
    ///
    /// As [`announce`](Self::announce), for the first that is refused; nothing is announced then. Two of one id are refused.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn announce_all(
        &self,
        service: &ServiceName,
        instances: impl IntoIterator<Item = NodeData>,
    ) -> Result<Vec<Registration>, Error> {
        let directory = self.layout.directory(service);
        let (mut prepared, mut specs) = (Vec::new(), Vec::new());
        for data in instances {
            let id = data.default_id().map_err(Error::invalid)?;
            let Prepared { id, data, spec, path } = self.prepare(&directory, id, data)?;
            prepared.push((id, data, path));
            specs.push(spec);
        }
        let presences = Presence::hold_all(&self.sessions, specs)?;
        let started = prepared.into_iter().zip(presences).map(|((id, data, path), presence)| {
            Registration::new(id, data, self.layout.clone(), presence, path)
        });
        Ok(started.collect())
    }

    /// All that can be refused is refused here.
    fn prepare(&self, directory: &str, id: InstanceId, mut data: NodeData) -> Result<Prepared, Error> {
        if data.registered_at == 0 {
            data.registered_at = unix_millis();
        }
        let node = self.layout.node(&id, &data)?;
        let path = proto::path::join(directory, &node.name);
        let spec = Spec {
            directory: directory.to_owned(),
            name: Name::Own(node.name),
            data: node.value,
            parents: self.layout.parents(),
        };
        Ok(Prepared { id, data, spec, path })
    }

    /// Follows the instances of a service from now on. Returns at once; the service need not exist.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn follow(&self, service: &ServiceName) -> Discovery {
        self.follow_with(service, Options::default())
    }

    /// The same with limits of your own.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn follow_with(&self, service: &ServiceName, options: Options) -> Discovery {
        Discovery::follow(self.sessions.clone(), self.layout.clone(), service, options)
    }

    /// The services that there are, in the order of their names.
    ///
    /// A service whose last instance is gone is listed until ZooKeeper removes its directory. While no server can be
    /// reached this waits for one: bound it.
    ///
    /// # Errors
    ///
    /// [`Error::ZooKeeper`] when the server refuses, [`Error::Closed`] when the keeper was closed.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn services(&self) -> Result<Vec<ServiceName>, Error> {
        let services = &self.layout.services();
        let listed = self.sessions.each(|link| async move {
            match list(&link, services).await {
                Err(error @ zk_session::Error::Interrupted) => Err(error),
                // Asking again would not change what was refused.
                answer => Ok(answer),
            }
        });
        Ok(listed.await.ok_or(Error::Closed)??)
    }
}

async fn list(link: &Link, services: &Services) -> Result<Vec<ServiceName>, zk_session::Error> {
    match services {
        Services::ChildrenOf(directory) => {
            link.sync(directory).await?;
            let names = match link.children(directory).await {
                Err(zk_session::Error::NoNode) => {
                    link.check_chroot().await?;
                    Vec::new()
                }
                names => names?,
            };
            Ok(usable(&names))
        }
        Services::Single { directory, name } => {
            link.sync(directory).await?;
            let there = link.exists(directory).await?.is_some();
            if !there {
                link.check_chroot().await?;
            }
            Ok(name.iter().filter(|_| there).cloned().collect())
        }
    }
}

/// Servers list in no order, and names that are none of ours too.
fn usable(names: &[String]) -> Vec<ServiceName> {
    let mut usable: Vec<_> = names.iter().filter_map(|name| ServiceName::parse(name).ok()).collect();
    usable.sort();
    usable
}

/// An instance that can be announced.
struct Prepared {
    id: InstanceId,
    data: NodeData,
    spec: Spec,
    path: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usable_names_are_listed_in_order() {
        let names = ["b", "zookeeper", "a", &"x".repeat(300), "ä", "c"].map(str::to_owned);
        let listed = usable(&names);
        assert_eq!(listed.iter().map(ServiceName::as_str).collect::<Vec<_>>(), ["a", "b", "c", "ä"]);
    }
}
