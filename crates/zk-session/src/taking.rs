//! Takes in what a stream brings, in the thread that brings it.

use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use tokio::task::unconstrained;

use crate::{Change, Changes};

/// What is done with each change, in their order, and once with `None` when no more can come.
type Note = Box<dyn FnMut(Option<Change>) + Send>;

/// Changes that are noted as they come, and wait nowhere. When this is dropped the watch is given up.
///
/// A task that is woken waits until its thread has time for it, and a client that reads from its connection what is told without end leaves it
/// none: of 200,000 notifications that came together all were in a channel before their reader, which was to keep the last of each node,
/// saw the first. So nobody is woken to take them: whoever wakes does, and goes on.
pub(crate) struct Taking(Arc<Shared>);

struct Shared {
    /// `None` when it is over or given up.
    open: Mutex<Option<Open>>,
    /// How often there may be more, since it was last found that there is not.
    woken: AtomicUsize,
}

struct Open {
    changes: Changes,
    note: Note,
}

impl Taking {
    /// Notes what is here already, and from then on whatever comes, at once.
    ///
    /// `note` is called by whoever makes a change known, so it must be quick and must not wait for anybody.
    pub(crate) fn start(changes: Changes, note: impl FnMut(Option<Change>) + Send + 'static) -> Self {
        let open = Mutex::new(Some(Open { changes, note: Box::new(note) }));
        let shared = Arc::new(Shared { open, woken: AtomicUsize::new(0) });
        shared.take();
        Self(shared)
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        // Not under the lock: who is told of it may wake us.
        let open = self.0.open().take();
        drop(open);
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.take();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.take();
    }
}

impl Shared {
    /// Takes all there is, one at a time.
    fn take(self: &Arc<Self>) {
        if self.woken.fetch_add(1, Ordering::AcqRel) > 0 {
            // Somebody does that, perhaps this thread, and looks once more.
            return;
        }
        let waker = Waker::from(self.clone());
        let mut cx = Context::from_waker(&waker);
        loop {
            let woken = self.woken.load(Ordering::Acquire);
            while self.take_one(&mut cx) {}
            if self.woken.compare_exchange(woken, 0, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return;
            }
        }
    }

    /// Whether there may be more.
    fn take_one(&self, cx: &mut Context<'_>) -> bool {
        let mut open = self.open();
        let Some(Open { changes, note }) = &mut *open else { return false };
        // Without a limit on how much a task does at a time: that would say that nothing is here, and wake us for it.
        let Poll::Ready(next) = pin!(unconstrained(changes.next())).poll(cx) else { return false };
        let more = next.is_some();
        note(next);
        let ended = if more { None } else { open.take() };
        drop(open);
        drop(ended);
        more
    }

    fn open(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Taking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Taking")
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use futures::channel::mpsc;
    use futures::stream;
    use tokio::sync::watch;

    use super::*;
    use crate::What;

    fn change(number: usize) -> Change {
        Change { path: format!("/{number}"), what: What::Changed }
    }

    /// Takes, and keeps what is taken.
    fn taking(changes: Changes) -> (Taking, Arc<Mutex<Vec<Option<Change>>>>) {
        let noted = Arc::new(Mutex::new(Vec::new()));
        let notes = noted.clone();
        (Taking::start(changes, move |change| notes.lock().unwrap().push(change)), noted)
    }

    #[test]
    fn what_comes_is_noted_before_whoever_brings_it_goes_on_and_the_end_once() {
        let (tell, told) = mpsc::unbounded();
        tell.unbounded_send(change(0)).unwrap();
        let (_taking, noted) = taking(Changes::new(told));
        for number in 1..4 {
            assert_eq!(noted.lock().unwrap().len(), number);
            tell.unbounded_send(change(number)).unwrap();
        }
        drop(tell);
        let expected: Vec<_> = (0..4).map(|number| Some(change(number))).chain([None]).collect();
        assert_eq!(*noted.lock().unwrap(), expected);
    }

    #[test]
    fn who_gives_up_is_told_of_nothing_more() {
        let (tell, told) = mpsc::unbounded();
        let (taking, noted) = taking(Changes::new(told));
        drop(taking);
        assert!(tell.unbounded_send(change(0)).is_err(), "the watch is given up");
        assert!(noted.lock().unwrap().is_empty());
    }

    #[test]
    fn nothing_is_lost_or_turned_around_where_it_is_woken_while_it_takes() {
        const MANY: usize = 10_000;
        let (tell, told) = mpsc::unbounded();
        let (_taking, noted) = taking(Changes::new(told));
        let telling: Vec<_> = [0, 1]
            .map(|who| {
                let tell = tell.clone();
                thread::spawn(move || {
                    (0..MANY).for_each(|number| tell.unbounded_send(change(2 * number + who)).unwrap());
                })
            })
            .into();
        telling.into_iter().for_each(|thread| thread.join().unwrap());
        let noted: Vec<_> = noted.lock().unwrap().drain(..).flatten().collect();
        for who in [0, 1] {
            let of: Vec<_> = (0..MANY).map(|number| change(2 * number + who)).collect();
            let of_one = noted.iter().filter(|change| change.path[1..].parse::<usize>().unwrap() % 2 == who);
            assert!(of_one.eq(&of), "of thread {who}");
        }
    }

    /// What tokio's channels say to a task that has done much: that nothing is here, and that it should look again.
    #[tokio::test]
    async fn a_task_that_has_used_up_its_share_of_the_time_still_takes_all() {
        const MANY: usize = 1_000;
        let (tell, told) = watch::channel(0);
        let changes = stream::unfold(told, |mut told| async {
            told.changed().await.ok()?;
            let number = *told.borrow_and_update();
            Some((change(number), told))
        });
        let (_taking, noted) = taking(Changes::new(changes));
        for number in 1..=MANY {
            tell.send(number).unwrap();
        }
        assert_eq!(noted.lock().unwrap().len(), MANY);
    }
}
