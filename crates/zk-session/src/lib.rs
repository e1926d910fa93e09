//! ZooKeeper sessions that are run again when they end, and what must exist while they last.

mod error;
#[cfg(feature = "fake")]
pub mod fake;
mod session;

pub use crate::error::Error;
pub use crate::session::{
    Change, Changed, Changes, Connect, Created, Kind, MAX_COMMIT_BYTES, MAX_DATA, MAX_OPS, Node, Op,
    READ_BATCH, Session, SessionId, Stat, What,
};
