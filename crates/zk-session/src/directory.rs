//! The children of a node with their data, kept equal to the truth.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::follower::Follower;
use crate::publisher::Publisher;
use crate::view::{Entries, View};
use crate::{Error, Node, Sessions};

/// Follows the children of one node and publishes them as whole lists.
///
/// One recursive watch tells of every change: a change costs one notification and at most one read, a deletion none.
/// On every connection all is read again, in batches, so nothing that was missed stays missed.
///
/// What is published is never less than what is known: without a connection the last list stays, marked stale. In a new
/// session, whoever was there before stays until it reappears or the session timeout has passed. When several entries
/// vanish at once within two session timeouts of a disturbance of our own connection, and nothing is left, they stay
/// for [`Options::empty_grace`].
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use zk_session::{Directory, Keeper, Node, Options, fake::FakeZk};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let zk = FakeZk::default();
/// let keeper = Keeper::start(zk.client());
/// let size = Arc::new(|_: &str, node: &Node| Ok(Some(node.data.len()))); // what an entry is made of
/// let jobs = Directory::follow(keeper.sessions(), "/jobs".to_owned(), Options::default(), size);
/// zk.put("/jobs/one", "some bytes");
/// jobs.entries().wait_for(|list| list.iter().flatten().any(|size| **size == 10)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Directory<T> {
    view: watch::Receiver<Option<View<T>>>,
    entries: watch::Receiver<Option<Entries<T>>>,
    problem: watch::Receiver<Option<Error>>,
    task: JoinHandle<()>,
}

/// How a [`Directory`] is followed.
#[derive(Clone, Debug)]
pub struct Options {
    /// More children than this are not read: the last good list stays, marked stale. Default: 200,000.
    pub max_entries: usize,
    /// For how long it is not believed that several entries vanished at once and nothing is left, if our own connection
    /// was disturbed within two session timeouts before. Default, as `None`: half the session timeout; zero: not at all.
    pub empty_grace: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_entries: 200_000, empty_grace: None }
    }
}

/// Makes an entry of a node, by its name and content: `Ok(None)` leaves it out, `Err` reports it as bad.
pub type Read<T> = Arc<dyn Fn(&str, &Node) -> Result<Option<T>, String> + Send + Sync>;

impl<T: Send + Sync + 'static> Directory<T> {
    /// Follows the children of `path` from now on. Returns at once; the node need not exist.
    ///
    /// A path that is unusable is told by [`problem`](Self::problem), and never followed.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn follow(sessions: Sessions, path: String, options: Options, read: Read<T>) -> Self {
        let (view_tx, view) = watch::channel(None);
        let (entries_tx, entries) = watch::channel(None);
        let (problem_tx, problem) = watch::channel(None);
        let publisher =
            Publisher { path: path.clone(), view: view_tx, entries: entries_tx, problem: problem_tx };
        let follower = Follower::new(path, options, read, publisher);
        Self { view, entries, problem, task: tokio::spawn(follower.run(sessions)) }
    }
}

impl<T> Directory<T> {
    /// What is in it and how far that can be trusted; `None` before the first whole list.
    pub fn view(&self) -> watch::Receiver<Option<View<T>>> {
        self.view.clone()
    }

    /// The entries alone; `None` before the first whole list. Does not change when only the source does, and is
    /// published after the [`view`](Self::view), which is never behind.
    pub fn entries(&self) -> watch::Receiver<Option<Entries<T>>> {
        self.entries.clone()
    }

    /// Why the directory cannot be followed right now, if a person has to know.
    pub fn problem(&self) -> watch::Receiver<Option<Error>> {
        self.problem.clone()
    }
}

impl<T> Drop for Directory<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}
