//! What is published of a directory.

use list::List;
use tokio::time::Instant;

/// The entries of a [`Directory`](crate::Directory), in the order of their names.
pub type Entries<T> = List<T>;

/// A [`Directory`](crate::Directory) at one moment.
#[derive(Debug)]
pub struct View<T> {
    /// What is in it.
    pub entries: Entries<T>,
    /// Whether that is known to be the truth.
    pub source: Source,
    /// What is in it but cannot be used, in the order of the paths.
    pub bad: Entries<BadNode>,
}

impl<T> Clone for View<T> {
    fn clone(&self) -> Self {
        Self { entries: self.entries.clone(), source: self.source, bad: self.bad.clone() }
    }
}

/// How far a [`View`] can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It is what ZooKeeper says.
    Live,
    /// It is the last that was known, or what ZooKeeper says and those who may come back.
    Stale {
        /// Since when it is not known to be the truth.
        since: Instant,
    },
}

/// A node that cannot be used. Another version of the same node is another one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BadNode {
    /// Where it is.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
    /// The transaction that made it.
    pub czxid: i64,
    /// The transaction that last wrote it.
    pub mzxid: i64,
}
