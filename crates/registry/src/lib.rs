//! Registers instances of services in ZooKeeper, and finds them.
//!
//! A [`Registry`] works on the sessions of a [`zk_session::Keeper`]. [`announce`](Registry::announce) gives a
//! [`Registration`]: an instance that is registered, and again after every outage, until it is withdrawn.
//! [`follow`](Registry::follow) gives a [`Discovery`]: whole lists of the instances, each as good as can be known.
//! Where things are in ZooKeeper is a [`Layout`]: [`Native`] is ours, [`Flat`] that of the old Go
//! programs, [`MasterNormal`] that of the old Go framework.
//!
//! # Errors
//!
//! That ZooKeeper is away is no error: announcing and following return at once, and what is awaited waits, so put a limit around it. Why it
//! waits is told by channels: [`Registration::status`], [`Discovery::problem`], and the state of the sessions. [`Error::Invalid`] is for names
//! and data that are refused before anything is sent, [`Error::Replaced`] for an instance whose id a newer process has taken;
//! a node that cannot be read is left out of the list and named in its [`View`].
//!
//! # Examples
//!
//! The server here is a fake; a real one is connected to with `zk_session::ZooKeeper`.
//!
//! ```
//! use proto::{NodeData, ServiceName};
//! use registry::{Native, Registry};
//! use zk_session::Keeper;
//! use zk_session::fake::FakeZk;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let zk = FakeZk::default();
//! let keeper = Keeper::start(zk.client());
//! let registry = Registry::new(keeper.sessions(), Native::default());
//! let time = ServiceName::parse("time")?;
//!
//! let here = registry.announce(&time, NodeData::at("127.0.0.1:8897".parse()?))?;
//! here.registered().await?;
//!
//! let discovery = registry.follow(&time);
//! let instances = discovery.ready().await?;
//! assert_eq!(instances[0].id.as_str(), "127.0.0.1:8897");
//!
//! // Ask for a state, not for a change: several changes can be one list.
//! here.drain()?;
//! let mut lists = discovery.instances();
//! lists.wait_for(|list| list.iter().flat_map(|list| list.iter()).all(|instance| instance.data.weight == 0)).await?;
//!
//! here.withdraw().await;
//! assert!(zk.children("/headkeeper/time/instances").is_empty());
//! keeper.close().await;
//! # Ok(())
//! # }
//! ```

mod changes;
mod discovery;
mod error;
#[cfg(feature = "http")]
pub mod http;
mod layout;
mod registration;
mod registry;
mod roles;
mod wall;

pub use list::List;
pub use proto::{Instance, InstanceId, Metadata, NodeData, ServiceName};
pub use zk_session::{BadNode, Options, Source};

pub use crate::changes::{Changes, InstanceChange, changes_between};
pub use crate::discovery::{Discovery, Instances, View};
pub use crate::error::Error;
pub use crate::layout::{Flat, Layout, MasterNormal, Native, NewNode, Services};
pub use crate::registration::{Registration, Status};
pub use crate::registry::Registry;
pub use crate::roles::Roles;
