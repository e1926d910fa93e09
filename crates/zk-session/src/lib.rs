//! ZooKeeper sessions that are run again when they end, and what must exist while they last.
//!
//! A [`Keeper`] opens a connection, and the next one whenever it ended. Bodies run on every connection
//! ([`Sessions::each`]): whatever they had set up is set up again, so there is no reconnecting to think of. Two bodies
//! are ready made: a [`Presence`] is an ephemeral node that this process wants to exist; a [`Directory`] is the children of
//! a node, kept equal to the truth and published as whole lists.
//!
//! `ZooKeeper` connects to real servers (feature `zookeeper`, on unless it is switched off); `fake` is an in-memory one with faults,
//! for tests (feature `fake`). Features `tls` and `sasl` add what their names say.
//!
//! # Errors
//!
//! [`Error`] is named for what a caller does next. [`Error::Interrupted`] is the one to think of: what was asked may have happened, so look
//! again on the next connection; [`Error::Unreachable`] passes by itself; [`Error::Rejected`] needs somebody to change something;
//! [`Error::Invalid`] was refused before anything was sent. A body that runs under [`Sessions::each`] uses `?` for all of them:
//! it is run again.
//!
//! # Examples
//!
//! ```
//! use std::sync::Arc;
//!
//! use zk_session::fake::FakeZk;
//! use zk_session::{Directory, Keeper, Kind, Name, Options, Presence, Spec};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let zk = FakeZk::default();
//! let keeper = Keeper::start(zk.client());
//!
//! let presence = Presence::hold(
//!     keeper.sessions(),
//!     Spec {
//!         directory: "/workers".to_owned(),
//!         name: Name::Own("w1".to_owned()),
//!         data: b"ready".to_vec(),
//!         parents: Kind::Container,
//!     },
//! )?;
//!
//! let read = Arc::new(|name: &str, _: &zk_session::Node| Ok(Some(name.to_owned())));
//! let workers = Directory::follow(keeper.sessions(), "/workers".to_owned(), Options::default(), read);
//! let mut lists = workers.entries();
//! lists.wait_for(|list| list.as_ref().is_some_and(|list| list.len() == 1)).await?;
//!
//! // The session expires. The node comes back in a new one; nobody has to do anything.
//! for session in zk.sessions() {
//!     zk.expire(session);
//! }
//! zk.until(|zk| zk.get("/workers/w1").is_some()).await;
//!
//! presence.withdraw().await;
//! keeper.close().await;
//! # Ok(())
//! # }
//! ```

mod among;
mod backoff;
mod by_directory;
mod claim;
mod clock;
mod directory;
mod enlisted;
mod error;
mod evidence;
#[cfg(feature = "fake")]
pub mod fake;
mod follower;
mod gather;
mod given_up;
mod keeper;
mod keeping;
mod lease;
#[cfg(any(feature = "fake", feature = "zookeeper"))]
mod limits;
mod link;
#[cfg(feature = "zookeeper")]
mod options;
mod parent;
mod path;
mod presence;
mod publisher;
mod renewing;
mod roll;
mod rows;
#[cfg(feature = "zookeeper")]
mod servers;
mod session;
mod settle;
mod standing;
mod taking;
mod told;
mod unread;
mod view;
mod wish;
#[cfg(feature = "zookeeper")]
mod zookeeper;

pub use list::List;

pub use crate::backoff::Backoff;
pub use crate::clock::{BootClock, Clock, Moment};
pub use crate::directory::{Directory, Options, Read};
pub use crate::error::Error;
pub use crate::keeper::{Keeper, Sessions, State};
pub use crate::lease::{Lease, Renewal};
pub use crate::link::Link;
#[cfg(feature = "tls")]
pub use crate::options::Tls;
#[cfg(feature = "zookeeper")]
pub use crate::options::{Acl, Builder, Reader};
pub use crate::presence::{Held, Name, Presence, Spec, Status};
pub use crate::renewing::Grant;
pub use crate::session::{
    Change, Changed, Changes, Connect, Created, Kind, MAX_COMMIT_BYTES, MAX_DATA, MAX_OPS, Node, Op,
    READ_BATCH, Session, SessionId, Stat, What,
};
pub use crate::view::{BadNode, Entries, Source, View};
#[cfg(feature = "zookeeper")]
pub use crate::zookeeper::ZooKeeper;
