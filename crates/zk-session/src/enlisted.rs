//! The nodes that this process keeps: how many there are, and that no two of them are the same; and those that it gave up.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::given_up::GivenUp;
use crate::path::parent;
use crate::wish::Wish;
use crate::{Error, Status};

/// All nodes that live in the same sessions, on whatever connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Presences(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    count: AtomicUsize,
    places: Mutex<HashMap<Arc<str>, Place>>,
    /// How many are in each directory.
    directories: Mutex<HashMap<String, usize>>,
    given_up: Mutex<GivenUp>,
}

/// A path that somebody keeps a node at.
#[derive(Debug)]
struct Place {
    wish: Arc<Wish>,
    status: watch::Receiver<Status>,
}

/// The right to keep a node at a path, until it is dropped.
#[derive(Debug)]
pub(crate) struct Enlisted {
    path: Arc<str>,
    status: watch::Receiver<Status>,
    all: Presences,
    /// The one that had the path before and has not left it yet.
    before: Option<Place>,
}

impl Presences {
    /// Counts one more, if nobody wants a node at `path` already: two that keep the same node would undo each other's work
    /// without end, and two that stand for election with it would both win.
    pub(crate) fn enlist(
        &self,
        path: Arc<str>,
        wish: Arc<Wish>,
        status: watch::Receiver<Status>,
    ) -> Result<Enlisted, Error> {
        let place = Place { wish, status: status.clone() };
        let before = match self.places().entry(path.clone()) {
            Entry::Occupied(there) if there.get().is_wanted() => {
                return Err(Error::Invalid(format!(
                    "{path} is kept by this process already: withdraw that first"
                )));
            }
            Entry::Occupied(mut there) => Some(there.insert(place)),
            Entry::Vacant(free) => {
                free.insert(place);
                None
            }
        };
        self.0.count.fetch_add(1, Ordering::Relaxed);
        self.enter(&path);
        Ok(Enlisted { path, status, all: self.clone(), before })
    }

    pub(crate) fn count(&self) -> usize {
        self.0.count.load(Ordering::Relaxed)
    }

    /// How many of them are in `directory`.
    pub(crate) fn count_of(&self, directory: &str) -> usize {
        self.directories().get(directory).copied().unwrap_or(0)
    }

    fn enter(&self, path: &str) {
        let (directory, mut directories) = (parent(path), self.directories());
        match directories.get_mut(directory) {
            Some(here) => *here += 1,
            None => drop(directories.insert(directory.to_owned(), 1)),
        }
    }

    fn leave(&self, path: &str) {
        let (directory, mut directories) = (parent(path), self.directories());
        match directories.get_mut(directory) {
            Some(here) if *here > 1 => *here -= 1,
            _ => drop(directories.remove(directory)),
        }
    }

    /// What was given up and is nobody's business any more.
    pub(crate) fn given_up(&self) -> Vec<String> {
        let mut paths: Vec<_> = self.remembered().paths().cloned().collect();
        paths.retain(|path| self.is_given_up(path));
        paths
    }

    /// Whether it was given up, and nobody wants it again or has not finished to take it away.
    pub(crate) fn is_given_up(&self, path: &str) -> bool {
        let is_kept = |place: &Place| !is_over(&place.status.borrow());
        self.remembered().contains(path) && !self.places().get(path).is_some_and(is_kept)
    }

    /// Whether nobody was told yet that what was given up is out of our reach.
    pub(crate) fn is_first_refusal(&self) -> bool {
        !std::mem::replace(&mut self.remembered().told, true)
    }

    fn remembered(&self) -> MutexGuard<'_, GivenUp> {
        // Whatever panicked while it was held, these are but paths to look at.
        self.0.given_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn places(&self) -> MutexGuard<'_, HashMap<Arc<str>, Place>> {
        // Every change of the map is a single call.
        self.0.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn directories(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        // So is every change of this one.
        self.0.directories.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn is_wanted(&self) -> bool {
        self.wish.is_wanted() && !is_over(&self.status.borrow())
    }
}

impl Enlisted {
    /// Whether nobody else has still to leave the path.
    pub(crate) fn is_alone(&self) -> bool {
        self.before.is_none()
    }

    /// Waits until whoever was withdrawn from the path has left it. What that deletes could be ours otherwise.
    pub(crate) async fn alone(&mut self) {
        if let Some(before) = &mut self.before {
            // An error says that it ended without a word.
            let _ = before.status.wait_for(is_over).await;
            self.before = None;
        }
    }

    /// The node that was made at `path` is not wanted any more, now and whenever it should come back.
    pub(crate) fn give_up(&self, path: &str) {
        self.all.remembered().add(path);
    }

    /// The node at `path` is wanted, whoever gave it up before.
    pub(crate) fn want(&self, path: &str) {
        self.all.remembered().remove(path);
    }
}

impl Drop for Enlisted {
    fn drop(&mut self) {
        self.all.0.count.fetch_sub(1, Ordering::Relaxed);
        self.all.leave(&self.path);
        let mut places = self.all.places();
        if places.get(&self.path).is_some_and(|place| place.status.same_channel(&self.status)) {
            match self.before.take() {
                // Whoever comes next has to wait for that one as well.
                Some(before) if !is_over(&before.status.borrow()) => {
                    places.insert(self.path.clone(), before);
                }
                _ => drop(places.remove(&self.path)),
            }
        }
    }
}

fn is_over(status: &Status) -> bool {
    matches!(status, Status::Replaced | Status::Gone)
}
