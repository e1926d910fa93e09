//! What runs as a process of its own, so that its memory and its work can be told apart, and how it is asked.

pub(crate) mod child;
pub(crate) mod follower;
pub(crate) mod following;
pub(crate) mod look;
pub(crate) mod memory;
pub(crate) mod part;
mod raw_follower;
