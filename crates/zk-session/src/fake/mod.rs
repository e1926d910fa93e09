//! An in-memory ZooKeeper with faults, to test services with: no server, no network, no waiting.
//!
//! A [`FakeZk`] is the server. Each program under test gets a [`FakeClient`] of it, and the test causes what
//! goes wrong in production: connections that end, sessions that expire, answers that are lost.
//! Sessions expire by tokio's clock, so a test that pauses it waits for nothing.
//!
//! What the fake does is what ZooKeeper 3.8 was seen to do: the same tests run against both.
//!
//! # Examples
//!
//! ```
//! use zk_session::fake::FakeZk;
//! use zk_session::{Connect, Error, Kind};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Error> {
//! let zk = FakeZk::default();
//! let client = zk.client();
//! let session = client.connect().await?;
//!
//! // The create is done, but its answer is lost with the connection.
//! zk.lose_next_reply();
//! let lost = session.create("/leader", b"me", Kind::Ephemeral).await;
//! assert!(matches!(lost, Err(Error::Interrupted)));
//!
//! // The same session comes back and finds its node.
//! let session = client.connect().await?;
//! assert_eq!(zk.owner("/leader"), Some(session.id()));
//!
//! // When the session ends, the node goes.
//! zk.expire(session.id());
//! assert_eq!(zk.get("/leader"), None);
//! # Ok(())
//! # }
//! ```

mod client;
mod requests;
mod server;
mod session;
mod shared;
mod tree;
mod watches;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub use self::client::FakeClient;
pub use self::requests::Requests;
use self::server::{Fault, Server, SessionState};
use self::shared::Shared;
use self::tree::{Tree, parent};
use crate::path;
use crate::{Kind, Node, Op, SessionId};

/// An in-memory ZooKeeper server with faults. Clones are the same server.
///
/// # Examples
///
/// ```
/// use zk_session::{Connect, Kind, fake::FakeZk};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let zk = FakeZk::default();
/// let client = zk.client(); // for a program under test
/// let session = client.connect().await?;
/// session.create("/here", b"", Kind::Ephemeral).await?;
/// zk.expire(session.id()); // a fault
/// zk.until(|zk| zk.get("/here").is_none()).await; // and a state
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct FakeZk {
    shared: Arc<Shared>,
}

/// The data and the sessions of a [`FakeZk`] at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    tree: Tree,
    sessions: BTreeMap<SessionId, SessionState>,
}

impl Default for FakeZk {
    /// Grants sessions of 4 s.
    fn default() -> Self {
        Self::with_timeout(Duration::from_secs(4))
    }
}

impl FakeZk {
    /// What it is called where a connect string is shown.
    pub const NAME: &str = "fake";

    /// A server that grants sessions of this timeout.
    pub fn with_timeout(timeout: Duration) -> Self {
        Self { shared: Arc::new(Shared::new(timeout)) }
    }

    /// Lets others run between requests in an order that `seed` decides, where it is the same few steps otherwise.
    ///
    /// What was under way when a connection breaks is then sometimes executed, too.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        self.shared.with(|server| server.seed(seed));
        self
    }

    /// A new client, which shares nothing with the others but the server.
    pub fn client(&self) -> FakeClient {
        FakeClient::new(self.shared.clone())
    }
}

/// Faults.
impl FakeZk {
    /// Ends the connection of a session. The session lives on for its timeout, and its client may come back.
    pub fn disconnect(&self, id: SessionId) {
        self.shared.with(|server| server.disconnect(id));
    }

    /// Ends all connections.
    pub fn disconnect_all(&self) {
        self.shared.with(Server::disconnect_all);
    }

    /// Ends a session now: its connection goes, then its nodes.
    pub fn expire(&self, id: SessionId) {
        self.shared.with(|server| server.expire(id));
    }

    /// Cuts everybody off, or no longer. Sessions expire meanwhile, as they do on an ensemble that is well.
    pub fn set_reachable(&self, reachable: bool) {
        self.shared.with(|server| server.set_reachable(reachable));
    }

    /// Grants this timeout from the next connection on, also to sessions that live.
    pub fn set_timeout(&self, timeout: Duration) {
        self.shared.with(|server| server.set_timeout(timeout));
    }

    /// Stops the server. Nobody's session expires while it is down.
    pub fn stop(&self) {
        self.shared.with(Server::stop);
    }

    /// Starts the server again. Every session has its whole timeout to come back.
    pub fn start(&self) {
        self.shared.with(Server::start);
    }

    /// The next write of anybody is done, but its answer is lost: the connection ends. Each call is for one write.
    pub fn lose_next_reply(&self) {
        self.shared.with(|server| server.faults.push_back(Fault::LoseReply));
    }

    /// As [`lose_next_reply`](Self::lose_next_reply), for the next write of one session.
    pub fn lose_next_reply_of(&self, id: SessionId) {
        self.shared.with(|server| server.fault_of(id, Fault::LoseReply));
    }

    /// The next write of anybody is lost before it is done: the connection ends. Each call is for one write.
    pub fn drop_next_request(&self) {
        self.shared.with(|server| server.faults.push_back(Fault::DropRequest));
    }

    /// As [`drop_next_request`](Self::drop_next_request), for the next write of one session.
    pub fn drop_next_request_of(&self, id: SessionId) {
        self.shared.with(|server| server.fault_of(id, Fault::DropRequest));
    }

    /// Freezes the server, or wakes it: nothing is done or answered, nobody's session expires, connections stay,
    /// and a new one is not answered within the session timeout. What was asked meanwhile is done on waking.
    pub fn set_mute(&self, mute: bool) {
        self.shared.with(|server| server.set_mute(mute));
    }

    /// Makes the connection of one session half-open: what is sent on it does not arrive, but it does not end.
    ///
    /// The session expires after its timeout, for the server hears nothing of it; the client is not told. A real
    /// client gives such a connection up by itself, this one does not: it is for what must not rely on that.
    /// A new connection of the client is well.
    pub fn mute(&self, id: SessionId) {
        self.shared.with(|server| server.mute(id, true));
    }

    /// Undoes [`mute`](Self::mute): what was sent meanwhile arrives, or the connection ends if its session did.
    pub fn unmute(&self, id: SessionId) {
        self.shared.with(|server| server.mute(id, false));
    }

    /// Holds all watch events back, or lets them go, in order. A connection that ends takes its own with it.
    ///
    /// Answers are not held back, so a read can be ahead of the events; a real server never lets it.
    pub fn hold_watches(&self, hold: bool) {
        self.shared.with(|server| server.watches.hold(hold));
    }

    /// Holds back the answers to reads of the data of `path` and of the names of its children, and to a sync of it, or lets them go. What
    /// they say is what was there when they were asked; watch events come meanwhile.
    ///
    /// So it is for a client that reads many nodes of which one is answered late, or that has a watch event in its hands
    /// before the answer which came first.
    pub fn hold_reads(&self, path: &str, hold: bool) {
        self.shared.with(|server| server.hold_reads(path, hold));
    }

    /// Refuses writes to `path` and below it, or no longer, as an ACL would.
    pub fn refuse(&self, path: &str, refuse: bool) {
        self.shared.with(|server| match refuse {
            true => server.writes_refused.insert(path.to_owned()),
            false => server.writes_refused.remove(path),
        });
    }

    /// Refuses reads of `path` and below it, or no longer. Watches on trees are granted all the same, as 3.8 does.
    pub fn refuse_reads(&self, path: &str, refuse: bool) {
        self.shared.with(|server| match refuse {
            true => server.reads_refused.insert(path.to_owned()),
            false => server.reads_refused.remove(path),
        });
    }

    /// Refuses reads of `path` itself, or no longer, as the ACL of that node alone would: those below it may be read.
    pub fn refuse_reads_at(&self, path: &str, refuse: bool) {
        self.shared.with(|server| match refuse {
            true => server.reads_refused_at.insert(path.to_owned()),
            false => server.reads_refused_at.remove(path),
        });
    }

    /// What the server has now, to go back to.
    pub fn snapshot(&self) -> Snapshot {
        let (tree, sessions) = self.shared.with(|server| (server.tree.clone(), server.session_states()));
        Snapshot { tree, sessions }
    }

    /// Goes back to an older state: all connections end, transaction numbers go back, sessions that are not in
    /// it are gone, and those that are in it live for their timeout.
    pub fn restore(&self, snapshot: &Snapshot) {
        let Snapshot { tree, sessions } = snapshot.clone();
        self.shared.with(|server| server.restore(tree, sessions));
    }
}

/// Changes by somebody else, past all refusals and with paths as long as they like.
impl FakeZk {
    /// Writes a node, made if need be with all nodes above it. One that is there keeps its owner.
    ///
    /// # Panics
    ///
    /// When the node cannot be: its path is malformed, or it would be below an ephemeral one.
    pub fn put(&self, path: &str, data: impl AsRef<[u8]>) {
        self.shared.with(|server| {
            let (path, data) = (path.to_owned(), data.as_ref().to_vec());
            match server.tree.get(&path) {
                Some(_) => edit(server, vec![Op::Set { path, data, version: None }], None),
                None => make(server, &path, data, None),
            }
        });
    }

    /// Makes an ephemeral node of `owner`, in place of the one that is there if any, with all nodes above it.
    ///
    /// An owner that the server does not know is a [`stranger`](Self::stranger) from then on.
    ///
    /// # Panics
    ///
    /// When the node cannot be: see [`put`](Self::put); or the one in its place has children.
    pub fn put_ephemeral(&self, path: &str, data: impl AsRef<[u8]>, owner: SessionId) {
        self.shared.with(|server| {
            server.adopt(owner);
            if server.tree.get(path).is_some() {
                edit(server, vec![Op::Delete { path: path.to_owned(), version: None }], None);
            }
            make(server, path, data.as_ref().to_vec(), Some(owner));
        });
    }

    /// Deletes a node and all below it; says whether it was there.
    pub fn remove(&self, path: &str) -> bool {
        self.shared.with(|server| {
            let all = server.tree.descendants(path);
            for path in &all {
                edit(server, vec![Op::Delete { path: path.clone(), version: None }], None);
            }
            !all.is_empty()
        })
    }

    /// Deletes the containers whose last child is gone, as a real server does once a minute. One that is empty
    /// only because of that goes the next time.
    pub fn reap_containers(&self) {
        self.shared.with(|server| {
            for path in server.tree.empty_containers() {
                edit(server, vec![Op::Delete { path, version: None }], None);
            }
        });
    }

    /// Lets the next sequence in a directory be this one, as if so many nodes had been made in it. Servers count in 32 bits
    /// with a sign: what comes after 2,147,483,647 is negative, and no sequence of ten digits.
    pub fn set_sequence(&self, directory: &str, next: u32) {
        self.shared.with(|server| server.tree.set_sequence(directory, next));
    }

    /// A session of nobody that is there. It lives until [`expire`](Self::expire).
    pub fn stranger(&self) -> SessionId {
        self.shared.with(Server::stranger)
    }
}

/// What there is.
impl FakeZk {
    /// A node, `None` when there is none.
    pub fn get(&self, path: &str) -> Option<Node> {
        self.shared.with(|server| server.tree.get(path))
    }

    /// The names of a node's children in order; none when there is no such node.
    pub fn children(&self, path: &str) -> Vec<String> {
        self.shared.with(|server| server.tree.children(path)).unwrap_or_default()
    }

    /// The session that an ephemeral node belongs to.
    pub fn owner(&self, path: &str) -> Option<SessionId> {
        self.shared.with(|server| server.tree.stat(path)).and_then(|stat| stat.owner)
    }

    /// All sessions that live, the oldest first.
    pub fn sessions(&self) -> Vec<SessionId> {
        self.shared.with(|server| server.sessions())
    }

    /// Whether there is a connection for this session.
    pub fn is_connected(&self, id: SessionId) -> bool {
        self.shared.with(|server| server.connected(id))
    }

    /// What was asked of the server so far.
    pub fn requests(&self) -> Requests {
        self.shared.with(|server| server.requests())
    }

    /// How many events of watches on trees were delivered, and wait until their receiver takes them.
    pub fn events_waiting(&self) -> usize {
        self.shared.with(|server| server.watches.waiting())
    }

    /// Counts from zero again.
    pub fn reset_requests(&self) {
        self.shared.with(Server::reset_requests);
    }

    /// Waits until the server is in a state that a test needs. Bound it: `timeout(limit, zk.until(...))`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use zk_session::fake::FakeZk;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let zk = FakeZk::default();
    /// # zk.put("/services/time/a", "");
    /// zk.until(|zk| zk.children("/services/time").len() == 1).await;
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn until(&self, reached: impl Fn(&Self) -> bool) {
        loop {
            let changed = self.shared.changed();
            if reached(self) {
                return;
            }
            changed.await;
        }
    }
}

fn make(server: &mut Server, path: &str, data: Vec<u8>, owner: Option<SessionId>) {
    if let Err(refused) = path::check_form(path) {
        panic!("{refused}");
    }
    let above = parent(path);
    if server.tree.get(above).is_none() {
        make(server, above, Vec::new(), None);
    }
    let kind = if owner.is_some() { Kind::Ephemeral } else { Kind::Persistent };
    edit(server, vec![Op::Create { path: path.to_owned(), data, kind }], owner);
}

fn edit(server: &mut Server, ops: Vec<Op>, owner: Option<SessionId>) {
    if let Err(failed) = server.edit(&ops, owner) {
        panic!("{ops:?} cannot be done: {}", failed.error);
    }
}
