//! ZooKeeper sessions that are run again when they end, and what must exist while they last.

mod backoff;
mod claim;
mod directory;
mod error;
#[cfg(feature = "fake")]
pub mod fake;
mod follower;
mod gather;
mod keeper;
mod keeping;
mod limits;
mod link;
mod options;
mod path;
mod presence;
mod servers;
mod session;
mod settle;
mod view;
mod zookeeper;

pub use crate::backoff::Backoff;
pub use crate::directory::{Directory, Options, Read};
pub use crate::error::Error;
pub use crate::keeper::{Keeper, Sessions, State};
pub use crate::link::Link;
#[cfg(feature = "tls")]
pub use crate::options::Tls;
pub use crate::options::{Acl, Builder, Reader};
pub use crate::presence::{Held, Name, Presence, Spec, Status};
pub use crate::session::{
    Change, Changed, Changes, Connect, Created, Kind, MAX_COMMIT_BYTES, MAX_DATA, MAX_OPS, Node, Op,
    READ_BATCH, Session, SessionId, Stat, What,
};
pub use crate::view::{BadNode, Entries, Source, View};
pub use crate::zookeeper::ZooKeeper;
