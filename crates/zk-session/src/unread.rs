//! What happened to the children of a node and was not looked into yet.

use std::collections::BTreeMap;
use std::pin::pin;

use crate::path::child_of;
use crate::{Change, Changes, Error, What};

/// So many names may be kept, whoever knows them.
const FEW: usize = 1_000;

/// Keeps what a watch tells, by name: only the last of each counts.
///
/// It takes notifications in while their reader waits for a server, so that what waits is bounded by the size of the
/// directory and not by how much happens: of a million changes among 10,000 nodes, no more than 10,000 are kept.
#[derive(Debug)]
pub(crate) struct Unread {
    path: String,
    changes: Changes,
    last: BTreeMap<String, What>,
    /// When so many names are kept it is asked whether somebody knows them.
    look_at: usize,
    /// The connection is gone, and with it what comes next.
    over: bool,
}

impl Unread {
    /// Of the children of `path`.
    pub(crate) fn new(path: &str, changes: Changes) -> Self {
        Self { path: path.to_owned(), changes, last: BTreeMap::new(), look_at: FEW, over: false }
    }

    /// Waits until something happened.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] when the connection is over.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when this is dropped before it is ready.
    pub(crate) async fn some(&mut self) -> Result<(), Error> {
        while self.last.is_empty() {
            if self.over {
                return Err(Error::Interrupted);
            }
            let next = self.changes.next().await;
            self.note(next);
        }
        Ok(())
    }

    /// Waits for something else, and takes in what happens meanwhile: but that somebody is gone only where it is `known` that
    /// there was somebody, or names that are used once would be kept without end.
    pub(crate) async fn during<T>(
        &mut self,
        other: impl Future<Output = T>,
        known: impl Fn(&str) -> bool,
    ) -> T {
        let mut other = pin!(other);
        loop {
            tokio::select! {
                biased;
                done = &mut other => return done,
                next = self.changes.next(), if !self.over => self.note(next),
            }
            // All that is here already at once: to ask what else is waited for after each would cost more than they do.
            self.take();
            if self.last.len() > self.look_at {
                self.last.retain(|name, what| *what != What::Deleted || known(name));
                self.look_at = FEW.max(2 * self.last.len());
            }
        }
    }

    /// Takes in what is here already.
    pub(crate) fn take(&mut self) {
        while let Some(change) = self.changes.try_next() {
            self.note(Some(change));
        }
    }

    /// What happened, the last of each.
    pub(crate) fn last(&self) -> &BTreeMap<String, What> {
        &self.last
    }

    /// Looks into all of it.
    pub(crate) fn read(&mut self) -> BTreeMap<String, What> {
        self.look_at = FEW;
        std::mem::take(&mut self.last)
    }

    fn note(&mut self, next: Option<Change>) {
        match next {
            Some(change) => {
                if let Some(name) = child_of(&self.path, &change.path) {
                    // Most names are known already when much happens.
                    match self.last.get_mut(name) {
                        Some(last) => *last = change.what,
                        None => drop(self.last.insert(name.to_owned(), change.what)),
                    }
                }
            }
            None => self.over = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{pending, poll_fn};
    use std::ops::Range;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Poll;

    use futures::FutureExt;
    use futures::channel::mpsc;
    use futures::stream;

    use super::*;

    fn change(name: u32, what: What) -> Change {
        Change { path: format!("/a/n{name}"), what }
    }

    /// The changes that `happen` makes of numbers, up to as many, and then nothing more.
    fn unread(most: u32, happen: impl Fn(u32) -> Change + Send + 'static) -> (Unread, Arc<AtomicU32>) {
        let taken = Arc::new(AtomicU32::new(0));
        let count = taken.clone();
        let changes = stream::poll_fn(move |_| match count.load(Ordering::Relaxed) {
            all if all == most => Poll::Pending,
            next => {
                count.store(next + 1, Ordering::Relaxed);
                Poll::Ready(Some(happen(next)))
            }
        });
        (Unread::new("/a", Changes::new(changes)), taken)
    }

    #[tokio::test]
    async fn while_a_server_is_waited_for_nothing_piles_up_but_the_last_of_each() {
        let (mut unread, taken) = unread(100_000, |number| change(number % 10, What::Changed));
        assert!(unread.during(pending::<()>(), |_| true).now_or_never().is_none());
        assert_eq!(taken.load(Ordering::Relaxed), 100_000, "nothing waits in the channel");
        assert_eq!(unread.read().len(), 10);
        assert!(unread.some().now_or_never().is_none(), "all of it was looked into");
    }

    #[tokio::test]
    async fn names_that_are_used_once_are_not_kept_and_deletions_of_who_is_known_are() {
        let happen = |number| match number {
            0 => change(7, What::Deleted),
            number if number % 2 == 1 => change(1_000 + number / 2, What::Created),
            number => change(1_000 + number / 2 - 1, What::Deleted),
        };
        let (mut unread, taken) = unread(100_001, happen);
        // One that lets the other side run, as a server does that answers now and then.
        let mut polls = 0;
        let server = poll_fn(|cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            if polls > 100_000 { Poll::Ready(()) } else { Poll::Pending }
        });
        unread.during(server, |name| name == "n7").await;
        assert_eq!(taken.load(Ordering::Relaxed), 100_001);
        assert!(unread.last().len() <= FEW, "{} are kept", unread.last().len());
        assert_eq!(unread.last().get("n7"), Some(&What::Deleted));
    }

    #[tokio::test]
    async fn it_is_rarely_asked_who_is_known_and_again_after_all_was_read() {
        const MANY: u32 = 3_000;
        let (tell, told) = mpsc::unbounded();
        let mut unread = Unread::new("/a", Changes::new(told));
        let one_by_one = |mut numbers: Range<u32>| {
            let tell = tell.clone();
            poll_fn(move |cx| {
                let Some(number) = numbers.next() else { return Poll::Ready(()) };
                tell.unbounded_send(change(number, What::Deleted)).unwrap();
                cx.waker().wake_by_ref();
                Poll::Pending
            })
        };
        let asked = Cell::new(0);
        let known = |name: &str| {
            asked.set(asked.get() + 1);
            name[1..].parse::<u32>().unwrap() < MANY
        };
        unread.during(one_by_one(0..MANY), known).await;
        assert!((1..=2 * MANY).contains(&asked.get()), "asked {} times", asked.get());
        assert_eq!(unread.read().len(), MANY as usize);
        unread.during(one_by_one(MANY..2 * MANY), known).await;
        assert!(unread.last().len() <= FEW, "{} are kept", unread.last().len());
    }

    #[tokio::test]
    async fn nothing_more_is_asked_of_a_connection_that_is_over() {
        let mut unread = Unread::new("/a", Changes::new(stream::empty()));
        let mut polls = 0;
        let never = poll_fn(|_| {
            polls += 1;
            assert!(polls < 10, "it runs in circles");
            Poll::<()>::Pending
        });
        assert!(unread.during(never, |_| true).now_or_never().is_none());
    }

    #[tokio::test]
    async fn when_the_connection_is_over_what_was_told_before_comes_first() {
        let changes = Changes::new(stream::iter([change(1, What::Created)]));
        let mut unread = Unread::new("/a", changes);
        assert!(unread.some().await.is_ok());
        assert_eq!(unread.read().len(), 1);
        assert!(matches!(unread.some().await, Err(Error::Interrupted)));
        assert!(matches!(unread.some().await, Err(Error::Interrupted)));
    }
}
