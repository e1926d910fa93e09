//! Who leads now, followed, and answered from memory.

use std::convert::Infallible;
use std::sync::Arc;

use proto::InstanceId;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{info, warn};
use zk_session::{Change, Link, Sessions, Source, What};

use crate::master::{Listed, Master};
use crate::{Error, Layout};

/// Follows who leads a service, without standing for election. It costs nothing while nothing changes, a candidate that joins
/// or leaves behind the leader one notification, and another leader one read.
///
/// Dropping it ends that.
///
/// # Examples
///
/// ```
/// use leader::{Election, NodeData, Root, ServiceName};
/// use zk_session::{Keeper, fake::FakeZk};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let keeper = Keeper::start(FakeZk::default().client());
/// # let election = Election::new(keeper.sessions(), Root::default());
/// # let time = ServiceName::parse("time")?;
/// let observer = election.observe(&time);
/// let candidacy = election.campaign(&time, NodeData::at("10.0.0.7:8897".parse()?))?;
/// observer.master_id().wait_for(|id| id.as_ref() == Some(candidacy.id())).await?;
/// assert!(observer.master().is_some_and(|master| master.id == candidacy.id().as_str()));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Observer {
    view: watch::Receiver<Option<View>>,
    id: watch::Receiver<Option<InstanceId>>,
    problem: watch::Receiver<Option<Error>>,
    task: JoinHandle<()>,
}

/// Who leads at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The leader; `None` when nobody stands for election.
    pub master: Option<Arc<Master>>,
    /// Whether that is what ZooKeeper says, or the last that was known.
    pub source: Source,
}

impl Observer {
    pub(crate) fn start(sessions: Sessions, layout: Layout, directory: String) -> Self {
        let (view_tx, view) = watch::channel(None);
        let (id_tx, id) = watch::channel(None);
        let (problem_tx, problem) = watch::channel(None);
        let following = Following { layout, directory, view: view_tx, id: id_tx, problem: problem_tx };
        Self { view, id, problem, task: tokio::spawn(following.run(sessions)) }
    }

    /// Who leads and how far that can be trusted, and every change of it (fast ones may be skipped). `None` before the first answer.
    pub fn view(&self) -> watch::Receiver<Option<View>> {
        self.view.clone()
    }

    /// Who leads, as far as is known now. No request is made.
    pub fn master(&self) -> Option<Arc<Master>> {
        self.view.borrow().as_ref().and_then(|view| view.master.clone())
    }

    /// The id under which the leader stands: what a balancer follows that leaves the leader out. `None` before the first answer,
    /// and while nobody stands for election.
    pub fn master_id(&self) -> watch::Receiver<Option<InstanceId>> {
        self.id.clone()
    }

    /// Waits for the first answer. Bound it: without ZooKeeper this waits.
    ///
    /// # Errors
    ///
    /// [`Error::Over`] when the keeper was closed before.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn ready(&self) -> Result<View, Error> {
        let mut view = self.view.clone();
        let ready = view.wait_for(Option::is_some).await.ok().and_then(|view| view.clone());
        ready.ok_or(Error::Over)
    }

    /// Why it cannot be followed right now, if a person has to know.
    pub fn problem(&self) -> watch::Receiver<Option<Error>> {
        self.problem.clone()
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Following {
    layout: Layout,
    directory: String,
    view: watch::Sender<Option<View>>,
    id: watch::Sender<Option<InstanceId>>,
    problem: watch::Sender<Option<Error>>,
}

impl Following {
    async fn run(self, sessions: Sessions) {
        let following = &self;
        let follow = |link: Link| async move {
            let _stale = StaleOnDrop(&following.view);
            let failed = following.follow(&link).await;
            following.report(failed.as_ref().err());
            failed
        };
        let _: Option<Infallible> = sessions.each(follow).await;
    }

    /// Follows on one connection. Candidates come and go by what the watch tells; only who leads is read.
    async fn follow(&self, link: &Link) -> Result<Infallible, zk_session::Error> {
        // Watch first, then read; and a server may lag behind what our last one showed us.
        let (mut changes, ()) = tokio::try_join!(link.watch_tree(&self.directory), link.catch_up())?;
        let mut listed = Listed::of(link, &self.layout, &self.directory).await?;
        let mut known: Option<Master> = None;
        let mut outdated = true;
        loop {
            let first = listed.first().map(|name| proto::path::join(&self.directory, name));
            if outdated || first.as_deref() != known.as_ref().map(|master| &*master.path) {
                known = listed.master(link, &self.directory).await?;
                self.report(None);
                self.publish(known.clone());
            }
            let change = changes.next().await.ok_or(zk_session::Error::Interrupted)?;
            outdated = self.apply(change, &mut listed, known.as_ref());
            while let Some(change) = changes.try_next() {
                outdated |= self.apply(change, &mut listed, known.as_ref());
            }
        }
    }

    /// Notes what happened; whether who leads has to be read again.
    fn apply(&self, change: Change, listed: &mut Listed, known: Option<&Master>) -> bool {
        let below = change.path.strip_prefix(&*self.directory).and_then(|rest| rest.strip_prefix('/'));
        let Some(name) = below.filter(|name| !name.contains('/')) else { return false };
        match change.what {
            What::Created => {
                listed.add(name);
                false
            }
            What::Deleted => {
                listed.remove(name);
                known.is_some_and(|known| known.path == change.path)
            }
            What::Changed => known.is_some_and(|known| known.path == change.path),
        }
    }

    fn publish(&self, master: Option<Master>) {
        // Before the view: who has seen the view finds the id, too. What cannot be an id is no instance's.
        let id = master.as_ref().and_then(|master| InstanceId::parse(&master.id).ok());
        self.id.send_if_modified(|now| std::mem::replace(now, id.clone()) != id);
        self.view.send_if_modified(|view| {
            let same = |view: &View| view.source == Source::Live && view.master.as_deref() == master.as_ref();
            if view.as_ref().is_some_and(same) {
                return false;
            }
            if let Some(Master { id, term, .. }) = &master {
                info!(directory = self.directory, id, %term, "who leads");
            }
            *view = Some(View { master: master.map(Arc::new), source: Source::Live });
            true
        });
    }

    /// Said once for each kind of trouble.
    fn report(&self, error: Option<&zk_session::Error>) {
        let trouble = error.filter(|error| !matches!(error, zk_session::Error::Interrupted));
        let text = |error: &Option<Error>| error.as_ref().map(ToString::to_string);
        let new = trouble.cloned().map(Error::from);
        self.problem.send_if_modified(|told| {
            let changed = text(told) != text(&new);
            if let (true, Some(error)) = (changed, trouble) {
                warn!(
                    error = error as &dyn std::error::Error,
                    directory = self.directory,
                    "cannot follow who leads"
                );
            }
            if changed {
                *told = new;
            }
            changed
        });
    }
}

/// What was true on a connection is the last that was known when it is over.
struct StaleOnDrop<'a>(&'a watch::Sender<Option<View>>);

impl Drop for StaleOnDrop<'_> {
    fn drop(&mut self) {
        self.0.send_if_modified(|view| match view {
            Some(View { source: source @ Source::Live, .. }) => {
                *source = Source::Stale { since: Instant::now() };
                true
            }
            _ => false,
        });
    }
}
