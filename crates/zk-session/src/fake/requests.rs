//! How much was asked of the server.

/// How many requests of each kind a [`FakeZk`](super::FakeZk) has received, whatever its answers were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Requests {
    /// Attempts to connect, those at an unreachable server too.
    pub connects: u64,
    /// Single creates.
    pub creates: u64,
    /// Single sets.
    pub sets: u64,
    /// Single deletes.
    pub deletes: u64,
    /// Commits, each counted once.
    pub multis: u64,
    /// Single reads of a node with its data.
    pub gets: u64,
    /// Single reads of a node without its data.
    pub exists: u64,
    /// Listings of a node's children.
    pub lists: u64,
    /// Reads of many nodes: one for each [`READ_BATCH`](crate::READ_BATCH) of them.
    pub batches: u64,
    /// Watches set, on a node or on a tree. One on a node reads it too and is counted here only.
    pub watches: u64,
    /// Syncs.
    pub syncs: u64,
    /// Watch events that somebody got. They are no requests, and not part of any sum.
    pub events: u64,
}

impl Requests {
    /// All requests but connects.
    pub fn total(&self) -> u64 {
        self.reads() + self.writes() + self.watches + self.syncs
    }

    /// Gets, exists, lists and batches.
    pub fn reads(&self) -> u64 {
        self.gets + self.exists + self.lists + self.batches
    }

    /// Creates, sets, deletes and multis.
    pub fn writes(&self) -> u64 {
        self.creates + self.sets + self.deletes + self.multis
    }
}

/// What kind of request this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Create,
    Set,
    Delete,
    Multi,
    Get,
    Exists,
    List,
    Batch,
    Watch,
    Sync,
}

impl Asked {
    pub(super) fn is_write(self) -> bool {
        matches!(self, Self::Create | Self::Set | Self::Delete | Self::Multi)
    }

    pub(super) fn count(self, requests: &mut Requests) {
        let kind = match self {
            Self::Create => &mut requests.creates,
            Self::Set => &mut requests.sets,
            Self::Delete => &mut requests.deletes,
            Self::Multi => &mut requests.multis,
            Self::Get => &mut requests.gets,
            Self::Exists => &mut requests.exists,
            Self::List => &mut requests.lists,
            Self::Batch => &mut requests.batches,
            Self::Watch => &mut requests.watches,
            Self::Sync => &mut requests.syncs,
        };
        *kind += 1;
    }
}
