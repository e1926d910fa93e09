//! ZooKeeper sessions that are run again when they end, and what must exist while they last.

mod backoff;
mod claim;
mod directory;
mod error;
#[cfg(feature = "fake")]
pub mod fake;
mod gather;
mod keeper;
mod limits;
mod link;
mod options;
mod path;
mod presence;
mod servers;
mod session;
mod settle;
mod zookeeper;

pub use crate::backoff::Backoff;
pub use crate::directory::{BadNode, Directory, Entries, Options, Read, Source, View};
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
pub use crate::zookeeper::ZooKeeper;
