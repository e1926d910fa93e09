//! How an instance stands that is registered here, and why something was not done with it.

use std::sync::Arc;
use std::time::Duration;

use proto::NodeData;
use registry::Status;
use tokio::sync::watch;
use tokio::time::Instant;

use super::table::Missing;

/// An instance that is registered here, at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) token: Box<str>,
    pub(crate) ttl: Duration,
    /// When it is over unless it is renewed.
    pub(crate) ends: Instant,
    pub(crate) data: NodeData,
    pub(crate) status: watch::Receiver<Status>,
    /// Whether it was registered here before, and what was said of it then is overwritten.
    pub(crate) overwrites: bool,
    /// Whether it was so by another program, which may still believe that it has it.
    pub(crate) took_over: bool,
}

/// How the instances stand that are registered here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ByState {
    pub(crate) registered: usize,
    pub(crate) registering: usize,
    pub(crate) replaced: usize,
}

/// What becomes of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// It is this one.
    Is(u32),
    /// It is 0, and the one before is remembered.
    Drained,
    /// It is what it was before.
    Undrained,
}

impl Weight {
    /// The weight after this change, and what it is to be when it is drained no more. `before` is that until now.
    pub(super) fn after(self, before: u32) -> (u32, u32) {
        match (self, before) {
            (Self::Is(weight), _) => (weight, weight),
            (Self::Drained, before) => (0, before),
            // One that came with a weight of 0 gets what instances have that say nothing about it.
            (Self::Undrained, 0) => (NodeData::DEFAULT_WEIGHT, NodeData::DEFAULT_WEIGHT),
            (Self::Undrained, before) => (before, before),
        }
    }
}

/// Why something was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// It is not registered here. Register it again.
    #[error("it is not registered by this gateway, or was not renewed in time: register it again")]
    Unknown,
    /// Another program has registered the same id here since.
    #[error(
        "this is not the lease that it has: another program has registered the same id since, unless the lease is mistyped"
    )]
    Another,
    /// Somebody else has registered the same id in ZooKeeper since.
    #[error("a newer process has registered the same id in ZooKeeper since")]
    Replaced,
    /// It was taken away before it was there.
    #[error("it was withdrawn while it was being registered")]
    Withdrawn,
    /// It cannot be stored.
    #[error("{0}")]
    Invalid(Arc<str>),
    /// There are as many as may be.
    #[error("{most} instances are registered by this gateway or on their way out, and no more may be")]
    Full { most: usize },
    /// We are about to end.
    #[error("this gateway is being stopped")]
    Closed,
}

impl From<registry::Error> for Refused {
    fn from(error: registry::Error) -> Self {
        match error {
            registry::Error::Invalid(what) => Self::Invalid(what),
            registry::Error::Replaced => Self::Replaced,
            _ => Self::Closed,
        }
    }
}

impl From<Missing> for Refused {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Unknown => Self::Unknown,
            Missing::Another => Self::Another,
        }
    }
}
