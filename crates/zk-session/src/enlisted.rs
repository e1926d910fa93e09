//! The nodes that this process keeps: how many there are, and that no two of them are the same; and those that it gave up.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::watch;

use crate::among::Among;
use crate::by_directory::ByDirectory;
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
    places: Mutex<HashMap<Arc<str>, Arc<Place>>>,
    /// How many are in each directory.
    directories: Mutex<HashMap<String, usize>>,
    /// Those of each connection that there is.
    watched: Mutex<Vec<Weak<Watched>>>,
    given_up: Mutex<GivenUp>,
}

/// The directories that are watched as a whole on one connection.
pub(crate) type Watched = Mutex<ByDirectory<Among>>;

/// A path that somebody keeps a node at.
#[derive(Debug)]
struct Place {
    wish: Arc<Wish>,
    status: watch::Receiver<Status>,
    /// Who had the path before, and did not leave it yet when that was asked last.
    before: Mutex<Option<Arc<Place>>>,
}

/// The right to keep a node at a path, until it is dropped.
#[derive(Debug)]
pub(crate) struct Enlisted {
    path: Arc<str>,
    place: Arc<Place>,
    all: Presences,
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
        let place = |before| Arc::new(Place { wish, status, before: Mutex::new(before) });
        let place = match self.places().entry(path.clone()) {
            Entry::Occupied(there) if there.get().is_wanted() => {
                return Err(Error::Invalid(format!(
                    "{path} is kept by this process already: withdraw that first"
                )));
            }
            Entry::Occupied(mut there) => {
                let place = place(lingering(Some(there.get().clone())));
                there.insert(place.clone());
                place
            }
            Entry::Vacant(free) => free.insert(place(None)).clone(),
        };
        self.0.count.fetch_add(1, Ordering::Relaxed);
        self.enter(&path);
        Ok(Enlisted { path, place, all: self.clone() })
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
            _ => {
                directories.remove(directory);
                drop(directories);
                self.stop_watching(directory);
            }
        }
    }

    /// What a new connection watches: at first, nothing. A directory is watched no longer than something is kept in it.
    pub(crate) fn watched(&self) -> Arc<Watched> {
        let new = Arc::default();
        let mut watched = self.all_watched();
        watched.retain(|earlier| earlier.strong_count() > 0);
        watched.push(Arc::downgrade(&new));
        new
    }

    fn stop_watching(&self, directory: &str) {
        let all: Vec<_> = self.all_watched().iter().filter_map(Weak::upgrade).collect();
        for watched in all {
            // Whoever comes meanwhile is counted before it asks: it keeps this watch, or finds none.
            let left = watched.lock().unwrap_or_else(PoisonError::into_inner).leave(directory, self);
            drop(left);
        }
    }

    fn all_watched(&self) -> MutexGuard<'_, Vec<Weak<Watched>>> {
        // Every change of it is a single call.
        self.0.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was given up and is nobody's business any more.
    pub(crate) fn given_up(&self) -> Vec<String> {
        let mut paths: Vec<_> = self.remembered().paths().cloned().collect();
        paths.retain(|path| self.is_given_up(path));
        paths
    }

    /// Whether it was given up, and nobody wants it again or has not finished to take it away.
    pub(crate) fn is_given_up(&self, path: &str) -> bool {
        let is_kept = |place: &Arc<Place>| !place.is_over();
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

    fn places(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Place>>> {
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
        self.wish.is_wanted() && !self.is_over()
    }

    fn is_over(&self) -> bool {
        is_over(&self.status.borrow())
    }

    fn before(&self) -> MutexGuard<'_, Option<Arc<Place>>> {
        // Every change of it is a single call.
        self.before.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Enlisted {
    /// Whether nobody else has still to leave the path.
    pub(crate) fn is_alone(&self) -> bool {
        self.before().is_none()
    }

    /// Waits until all who were withdrawn from the path have left it. What those delete could be ours otherwise.
    pub(crate) async fn alone(&self) {
        while let Some(before) = self.before() {
            // An error says that it ended without a word.
            let _ = before.status.clone().wait_for(is_over).await;
            // Who had nothing there ends without waiting for those that were before it.
            let earlier = before.before().clone();
            *self.place.before() = earlier;
        }
    }

    fn before(&self) -> Option<Arc<Place>> {
        lingering(self.place.before().clone())
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
        if places.get(&self.path).is_some_and(|place| Arc::ptr_eq(place, &self.place)) {
            match self.before() {
                // Whoever comes next has to wait for that one as well.
                Some(before) => drop(places.insert(self.path.clone(), before)),
                None => drop(places.remove(&self.path)),
            }
        }
    }
}

/// The last one up to `place` that did not leave its path yet.
fn lingering(mut place: Option<Arc<Place>>) -> Option<Arc<Place>> {
    while let Some(left) = place.take_if(|place| place.is_over()) {
        place = left.before().clone();
    }
    place
}

fn is_over(status: &Status) -> bool {
    matches!(status, Status::Replaced | Status::Gone)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn enlist(all: &Presences) -> (Enlisted, Arc<Wish>, watch::Sender<Status>) {
        let (tell, status) = watch::channel(Status::Pending { problem: None });
        let wish = Wish::new(Vec::new());
        (all.enlist("/a/one".into(), wish.clone(), status).expect("nobody wants it"), wish, tell)
    }

    #[test]
    fn whoever_comes_waits_for_all_before_it_in_whatever_order_they_leave() {
        let all = Presences::default();
        let (first, wish, tell_first) = enlist(&all);
        assert!(first.is_alone());
        wish.let_go();
        let (second, wish, tell_second) = enlist(&all);
        wish.let_go();
        let (third, wish, _tell_third) = enlist(&all);
        let mut alone = Box::pin(third.alone());
        assert!(alone.as_mut().now_or_never().is_none());
        // It leaves nothing, and waits for nobody.
        tell_second.send_replace(Status::Gone);
        drop(second);
        assert!(alone.as_mut().now_or_never().is_none(), "the first is there still");
        wish.let_go();
        let (fourth, _wish, _tell_fourth) = enlist(&all);
        assert!(fourth.alone().now_or_never().is_none());
        tell_first.send_replace(Status::Gone);
        drop(first);
        assert!(alone.as_mut().now_or_never().is_some());
        assert!(third.is_alone() && !fourth.is_alone());
    }

    #[test]
    fn whoever_ends_without_a_word_is_waited_for_no_longer() {
        let all = Presences::default();
        let (first, wish, tell) = enlist(&all);
        wish.let_go();
        let (second, ..) = enlist(&all);
        drop((first, tell));
        assert!(second.alone().now_or_never().is_some());
        drop(second);
        assert_eq!((all.count(), all.places().len()), (0, 0));
    }
}
