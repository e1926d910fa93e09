//! What the leaderships of one candidacy take, one after the other, until it resigns.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::{Leadership, Lost};

/// Given up once, and for good: after that nobody leads by this candidacy, not for a moment.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    taken: Mutex<Taken>,
    /// For the one campaign that waits for it to be given up.
    told: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    by: Option<Leadership>,
    given_up: bool,
}

impl Seat {
    /// Lets a leadership begin, unless the seat was given up.
    pub(crate) fn take(&self, leadership: &Leadership) -> bool {
        let mut taken = self.taken();
        if !taken.given_up {
            taken.by = Some(leadership.clone());
        }
        !taken.given_up
    }

    /// Whoever leads does so no more when this returns.
    pub(crate) fn give_up(&self) {
        let mut taken = self.taken();
        taken.given_up = true;
        if let Some(leadership) = taken.by.take() {
            leadership.lose(Lost::Resigned);
        }
        drop(taken);
        self.told.notify_one();
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.taken().given_up
    }

    /// Waits until it is given up. One task at most may wait.
    pub(crate) async fn given_up(&self) {
        while !self.is_given_up() {
            self.told.notified().await;
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Nothing under this lock can fail half way.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
