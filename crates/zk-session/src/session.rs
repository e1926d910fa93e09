//! The seam: what the rest of Headkeeper asks of a ZooKeeper session.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{BoxStream, StreamExt};

use crate::{BootClock, Clock, Error};

/// The largest value of one node that is sent, in bytes.
///
/// Servers drop the connection without an answer at about 1 MiB, so a request is measured before it leaves.
pub const MAX_DATA: usize = 64 * 1024;

/// The most operations that one [`Session::commit`] may hold.
pub const MAX_OPS: usize = 500;

/// The most bytes of paths and data that one [`Session::commit`] may hold.
pub const MAX_COMMIT_BYTES: usize = 512 * 1024;

/// The most paths that one [`Session::get_many`] asks for in a single request; more are split.
pub const READ_BATCH: usize = 100;

/// A ZooKeeper session, reached over one connection.
///
/// When the connection goes, the value is over: every call fails with [`Error::Interrupted`] from then on and
/// [`ended`](Self::ended) returns. The same ZooKeeper session may be met again as a new value with the same
/// [`id`](Self::id); its ephemeral nodes are then still there.
///
/// Every implementation promises: requests are executed in the order of the calls; a call that was dropped may be
/// executed all the same; after `Interrupted` nothing that was asked of this value is executed later than
/// [`ended`](Self::ended) plus the time a packet needs.
///
/// # Errors
///
/// All calls give [`Error::Interrupted`] when the connection goes before the answer came: *it may have happened*.
/// Look again on the next connection. [`Error::Rejected`] is an answer: somebody has to change something first.
///
/// # Cancel safety
///
/// A dropped call is not undone: the request may still be executed.
#[async_trait]
pub trait Session: Send + Sync + fmt::Debug {
    /// Which ZooKeeper session this is.
    fn id(&self) -> SessionId;

    /// The session timeout that the server granted.
    fn timeout(&self) -> Duration;

    /// The node below which everything happens, as others call it: the chroot of the connect string, `/` without one.
    fn chroot(&self) -> &str;

    /// Returns when the connection is gone, for whatever reason. May be called any number of times.
    async fn ended(&self);

    /// Creates a node. Parents must exist: [`Error::NoNode`] otherwise.
    async fn create(&self, path: &str, data: &[u8], kind: Kind) -> Result<Created, Error>;

    /// Writes a node's data; `version` is what it must have now, `None` for any.
    async fn set(&self, path: &str, data: &[u8], version: Option<i32>) -> Result<Stat, Error>;

    /// Deletes a node; `version` is what it must have now, `None` for any.
    async fn delete(&self, path: &str, version: Option<i32>) -> Result<(), Error>;

    /// Reads a node, `None` when there is none.
    async fn get(&self, path: &str) -> Result<Option<Node>, Error>;

    /// A node's [`Stat`] without its data, `None` when there is none.
    async fn exists(&self, path: &str) -> Result<Option<Stat>, Error>;

    /// The names of a node's children in no particular order; [`Error::NoNode`] when there is no such node.
    async fn children(&self, path: &str) -> Result<Vec<String>, Error>;

    /// Reads many nodes, in the order of `paths`, with one request for each [`READ_BATCH`] of them.
    ///
    /// One that is refused, for an ACL perhaps, has its [`Error::Rejected`] in its place, and one that cannot be sent, for servers
    /// list names longer than a path may be here, its [`Error::Invalid`]: it must not hide the others.
    async fn get_many(&self, paths: &[String]) -> Result<Vec<Result<Option<Node>, Error>>, Error>;

    /// Does all of `ops` or none; at most [`MAX_OPS`] and [`MAX_COMMIT_BYTES`].
    ///
    /// # Errors
    ///
    /// [`Error::Aborted`] names the first operation that could not be done.
    async fn commit(&self, ops: &[Op]) -> Result<(), Error>;

    /// Reads a node and is told once when it is created, changed or deleted after that.
    async fn watch_node(&self, path: &str) -> Result<(Option<Node>, Changed), Error>;

    /// Is told of everything that happens to `path` and below it, from the moment that this call returns.
    ///
    /// The path need not exist. A change is in the channel before the answer to any later read that shows it.
    /// A [`watch_node`](Self::watch_node) on the very same path, set later on the same connection, silences this one on
    /// servers before 3.9 (ZOOKEEPER-4466). One on a path below does not.
    async fn watch_tree(&self, path: &str) -> Result<Changes, Error>;

    /// Waits until the server that we are connected to has seen all that was committed before this call.
    async fn sync(&self, path: &str) -> Result<(), Error>;
}

/// Opens connections, one after the other.
#[async_trait]
pub trait Connect: Send + Sync + 'static {
    /// The clock that leases on its sessions are measured by. Unless an implementation says otherwise, the machine's: one that
    /// passes on to another `Connect` passes this on, too.
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(BootClock)
    }

    /// The next connection: of the same session while that lives, of a new one otherwise.
    ///
    /// One attempt at each server; the caller repeats it, and waits in between. The value given before must be over.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`] when no server could be reached, [`Error::Rejected`] when they refuse us.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time; a session that was being made then expires by itself.
    async fn connect(&self) -> Result<Arc<dyn Session>, Error>;

    /// Ends the session in ZooKeeper, if one is alive and a server can be reached: its ephemeral nodes go at once.
    ///
    /// Takes 2 s at most. Nothing can be connected any more afterwards.
    async fn close(&self);
}

/// A ZooKeeper session's number. Prints as the servers print it: `0x100003a2b7c0001`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub i64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// What ZooKeeper knows of a node besides its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Transaction that created the node: another one means another node, even under the same path.
    pub czxid: i64,
    /// Transaction that last wrote its data. With `czxid` it names a version; `version` alone starts over at 0.
    pub mzxid: i64,
    /// How often the data was written, for conditional writes.
    pub version: i32,
    /// When the node was made, in Unix milliseconds of a server's clock. For people to read.
    pub created_at: u64,
    /// The session that an ephemeral node belongs to; `None` for a node that stays.
    pub owner: Option<SessionId>,
    /// How many children it has.
    pub children: usize,
}

/// A node as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its data.
    pub data: Vec<u8>,
    /// What ZooKeeper knows of it.
    pub stat: Stat,
}

/// What kind of node to create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Stays until it is deleted.
    Persistent,
    /// Stays until the server finds that its last child is gone.
    Container,
    /// Goes with the session that made it.
    Ephemeral,
    /// The same, with ten digits behind its name that grow with each node in the directory.
    EphemeralSequential,
}

/// A node that was just created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// Its path, with the sequence if it has one.
    pub path: String,
    /// Its first state.
    pub stat: Stat,
}

/// One step of a [`Session::commit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// The node must be there, with this version if one is given.
    Check {
        /// Which node.
        path: String,
        /// The version it must have, `None` for any.
        version: Option<i32>,
    },
    /// As [`Session::create`].
    Create {
        /// Where.
        path: String,
        /// What is in it.
        data: Vec<u8>,
        /// Of what kind.
        kind: Kind,
    },
    /// As [`Session::set`].
    Set {
        /// Which node.
        path: String,
        /// What is in it from now on.
        data: Vec<u8>,
        /// The version it must have, `None` for any.
        version: Option<i32>,
    },
    /// As [`Session::delete`].
    Delete {
        /// Which node.
        path: String,
        /// The version it must have, `None` for any.
        version: Option<i32>,
    },
}

/// One thing that happened to a watched tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// To which node.
    pub path: String,
    /// What happened.
    pub what: What,
}

/// What happened to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It was made.
    Created,
    /// Its data was written.
    Changed,
    /// It was deleted, or its session ended.
    Deleted,
}

/// Becomes ready once: with what happened to the watched node, or `None` when the connection ended. Dropping it gives the
/// watch up.
pub struct Changed(BoxFuture<'static, Option<What>>);

impl Changed {
    /// A watch that fires when `fired` is ready.
    pub fn new(fired: impl Future<Output = Option<What>> + Send + 'static) -> Self {
        Self(fired.boxed())
    }
}

impl Future for Changed {
    type Output = Option<What>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<What>> {
        self.0.poll_unpin(cx)
    }
}

impl fmt::Debug for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Changed")
    }
}

/// What happens to a watched tree, in order. Dropping it gives the watch up.
pub struct Changes(BoxStream<'static, Change>);

impl Changes {
    /// The changes that `stream` yields; it ends with the connection.
    ///
    /// It is polled by whoever wakes it, perhaps outside a runtime, and while a lock of ours is held: it must not wait for anybody, and must not be woken under a
    /// lock that its poll takes.
    pub fn new(stream: impl futures::Stream<Item = Change> + Send + 'static) -> Self {
        // Fused: to ask once more after the end is no mistake that should panic.
        Self(stream.fuse().boxed())
    }

    /// The next change, `None` when the connection is gone.
    ///
    /// # Cancel safety
    ///
    /// No change is lost when this is dropped before it is ready.
    pub async fn next(&mut self) -> Option<Change> {
        self.0.next().await
    }

    /// The next change if one is here already.
    pub fn try_next(&mut self) -> Option<Change> {
        self.0.next().now_or_never().flatten()
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Changes")
    }
}
