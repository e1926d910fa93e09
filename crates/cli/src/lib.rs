//! What the command lines of our programs share: flags towards ZooKeeper and what is made of them, being asked to stop, the log,
//! what a program ends with, and what it teaches: completions for shells and manual pages.
//!
//! For binaries alone; no library of ours depends on it. What one program has and no other stays with that program.

pub mod ending;
pub mod flags;
pub mod listening;
pub mod log;
pub mod output;
pub mod signals;
pub mod teaching;
pub mod zookeeper;
