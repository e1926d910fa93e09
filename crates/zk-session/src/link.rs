//! One connection, with what everything that runs on it shares.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};
use tokio::time::sleep;
use tracing::debug;

use crate::among::{Among, Happened, Numbers};
use crate::by_directory::ByDirectory;
use crate::claim::OurSessions;
use crate::enlisted::{Presences, Watched};
use crate::gather::Gather;
use crate::given_up;
use crate::parent::{Parent, no_chroot};
use crate::{Backoff, Changed, Error, Kind, Moment, Node, Session};

/// A [`Session`] as the bodies under [`Sessions::each`](crate::Sessions::each) get it. Clones are the same connection.
///
/// Besides the session's own calls it gathers what many bodies ask for at the same time into few requests.
#[derive(Clone)]
pub struct Link(Arc<Shared>);

struct Shared {
    session: Arc<dyn Session>,
    ours: OurSessions,
    origin: Origin,
    gather: Gather,
    caught_up: OnceCell<()>,
    cleared: OnceCell<()>,
    /// Those that nodes are made in.
    parents: Mutex<ByDirectory<Parent>>,
    /// Which are watched as a whole.
    among: Arc<Watched>,
    presences: Presences,
    reading: Semaphore,
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// Its number among all of this keeper: later ones have greater numbers, the first has 1.
    pub(crate) number: u64,
    /// Not after it was asked for.
    pub(crate) asked: Moment,
    /// On which terms the session was granted: another number means another session, or another timeout.
    pub(crate) terms: u64,
}

/// Up to this many nodes of ours, wherever they are, are watched one by one; above, each directory is watched as a whole. A
/// few watches tell us of nobody else's changes; many would have to be set again, one request each, on every connection.
const WATCHED_SINGLY: usize = 500;

/// Above so many in one directory that is watched as a whole as well, unless most of what it tells would be about others:
/// where others are more than [`OTHERS`] times as many.
const WATCHED_SINGLY_IN_ONE: usize = 10;

/// For each node of ours in a directory that is watched as a whole. So however many processes have nodes there, those that
/// come when others are there already tell each server of each change some twenty times, and not once for each process.
const OTHERS: usize = 20;

/// So many nodes at most are read at the same time, and not learnt yet, by all who read many.
const READ_BY_ALL: usize = 8_192;

impl Link {
    pub(crate) fn new(
        session: Arc<dyn Session>,
        ours: OurSessions,
        origin: Origin,
        presences: Presences,
    ) -> Self {
        Self(Arc::new(Shared {
            gather: Gather::start(session.clone()),
            session,
            ours,
            origin,
            caught_up: OnceCell::new(),
            cleared: OnceCell::new(),
            parents: Mutex::default(),
            among: presences.watched(),
            presences,
            reading: Semaphore::new(READ_BY_ALL),
        }))
    }

    /// Whether the connection is over.
    pub fn has_ended(&self) -> bool {
        self.0.session.ended().now_or_never().is_some()
    }

    /// Whether both are the same connection.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Runs `body` until it is done or the connection is over; after an error, waits a while. `None`: do it again.
    pub(crate) async fn run<T>(
        &self,
        body: impl Future<Output = Result<T, Error>>,
        backoff: &mut Backoff,
    ) -> Option<T> {
        let outcome = tokio::select! {
            biased;
            outcome = body => outcome,
            () = self.ended() => return None,
        };
        let error = match outcome {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        debug!(error = &error as &dyn std::error::Error, "will be tried again");
        tokio::select! {
            () = sleep(backoff.next_delay()) => {}
            () = self.ended() => {}
        }
        None
    }

    /// The sessions that this process had and has.
    pub(crate) fn ours(&self) -> &OurSessions {
        &self.0.ours
    }

    /// Which connection it is, and on which terms its session was granted.
    pub(crate) fn origin(&self) -> Origin {
        self.0.origin
    }

    /// Waits until so many nodes may be read, which are until this is dropped. All who wait have their turn.
    pub(crate) async fn room_to_read(&self, nodes: usize) -> SemaphorePermit<'_> {
        let nodes = u32::try_from(nodes.min(READ_BY_ALL)).unwrap_or(u32::MAX);
        self.0.reading.acquire_many(nodes).await.expect("it is never closed")
    }

    /// Waits until the server has seen all that was committed before this connection was made; asked once for each.
    ///
    /// A server may lag behind the one that we were connected to, and what it does not show may be there all the same.
    ///
    /// # Errors
    ///
    /// As [`Session::sync`].
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time; it changes nothing.
    pub async fn catch_up(&self) -> Result<(), Error> {
        self.0.caught_up.get_or_try_init(|| self.0.session.sync("/")).await.map(|_| ())
    }

    /// Waits until nothing is there that this process gave up before this connection; seen to once for each.
    ///
    /// Nobody may make or adopt a node before: it could be one of those.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] only.
    pub(crate) async fn clear(&self) -> Result<(), Error> {
        self.0.cleared.get_or_try_init(|| given_up::clear(self, &self.0.presences)).await.map(|_| ())
    }

    /// Says why a directory that is not there may be none of ours: its absence means something only below a chroot that
    /// exists.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`] when the chroot of the connect string does not exist.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time; it changes nothing.
    pub async fn check_chroot(&self) -> Result<(), Error> {
        match self.0.session.exists("/").await? {
            Some(_) => Ok(()),
            None => Err(Error::Rejected { what: no_chroot(self.0.session.chroot()) }),
        }
    }

    /// Reads a node; many who ask at the same time share a request.
    ///
    /// # Errors
    ///
    /// As [`Session::get`].
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time; it changes nothing.
    pub async fn get_soon(&self, path: &str) -> Result<Option<Node>, Error> {
        self.0.gather.get(path.to_owned()).await
    }

    /// Creates an ephemeral node; many who do so at the same time share a request.
    pub(crate) async fn create_soon(&self, path: &str, data: Vec<u8>) -> Result<(), Error> {
        self.0.gather.create(path.to_owned(), data).await
    }

    /// Makes sure that `directory` is there, and all above it, as nodes of `kind`. Looked up once for each connection; a refusal
    /// counts for all who ask for it at about the same time.
    pub(crate) async fn ensure(&self, directory: &str, kind: Kind) -> Result<(), Error> {
        self.parent(directory).ensure(&*self.0.session, directory, kind).await
    }

    /// Forgets that `directory` was there: an operation in it found that it is not.
    pub(crate) fn forget(&self, directory: &str) {
        lock(&self.0.parents).remove(directory);
    }

    /// Whether so many nodes of ours live in these sessions, or in `directory`, that it is watched instead of nodes.
    ///
    /// # Errors
    ///
    /// As [`Session::exists`], but for a refusal.
    pub(crate) async fn is_crowded(&self, directory: &str) -> Result<bool, Error> {
        if self.0.presences.count() > WATCHED_SINGLY {
            return Ok(true);
        }
        let ours = self.0.presences.count_of(directory);
        if ours <= WATCHED_SINGLY_IN_ONE {
            return Ok(false);
        }
        let had = async || match self.0.session.exists(directory).await {
            Ok(stat) => Ok(stat.map_or(0, |stat| stat.children)),
            // Others' may be many.
            Err(Error::Rejected { .. }) => Ok(usize::MAX),
            Err(error) => Err(error),
        };
        let had = *self.among(directory).had.get_or_try_init(had).await?;
        Ok(had <= ours.saturating_mul(OTHERS))
    }

    /// Tells when `path`, a child of `directory`, was changed or deleted after this call, by the directory's shared watch.
    ///
    /// Its creation is not told: whoever waits is about to create it.
    pub(crate) async fn watch_among(&self, directory: &str, path: &Arc<str>) -> Result<Changed, Error> {
        self.among(directory).watch(&*self.0.session, directory, path).await
    }

    /// The same of many children of `directory`, again and again, by their `numbers`.
    pub(crate) async fn watch_many_among(
        &self,
        directory: &str,
        numbers: Arc<Numbers>,
    ) -> Result<Happened, Error> {
        self.among(directory).watch_many(&*self.0.session, directory, numbers).await
    }

    fn parent(&self, directory: &str) -> Arc<Parent> {
        lock(&self.0.parents).get(directory, &self.0.presences)
    }

    fn among(&self, directory: &str) -> Arc<Among> {
        lock(&self.0.among).get(directory, &self.0.presences)
    }
}

impl Deref for Link {
    type Target = dyn Session;

    fn deref(&self) -> &Self::Target {
        &*self.0.session
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Link").field(&self.0.session).finish()
    }
}

/// A panic elsewhere leaves these maps whole: every change to them is a single call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
