//! Flags towards ZooKeeper, and what is made of them: which servers, how both sides are known, and where in them services are.

mod access;
mod place;
mod security;
mod variables;

pub use self::access::{Access, servers};
pub use self::place::{Layout, Place};
pub use self::security::{Rights, Security};
pub use self::variables::{by_flags_alone, variables};
