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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use proto::{InstanceId, NodeData, Root, ServiceName};
    use tokio::time::timeout;
    use zk_session::Keeper;
    use zk_session::fake::FakeZk;

    use crate::{Candidacy, Election};

    const LIMIT: Duration = Duration::from_secs(20);

    fn stand(zk: &FakeZk, id: &str) -> (Keeper, Candidacy) {
        let keeper = Keeper::start(zk.client());
        let election = Election::new(keeper.sessions(), Root::default());
        let (service, id) = (ServiceName::parse("time").unwrap(), InstanceId::parse(id).unwrap());
        let candidacy = election.campaign_as(&service, id, NodeData::behind_broker("one")).unwrap();
        (keeper, candidacy)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn however_long_leaving_takes_nobody_else_leads_before_it_has_ended_the_leadership() {
        let zk = FakeZk::default();
        let (_keeper, first) = stand(&zk, "a");
        let leadership = timeout(LIMIT, first.elected()).await.unwrap().unwrap();
        let (_another, second) = stand(&zk, "b");
        let (leads, led) = mpsc::channel();
        tokio::spawn(async move {
            let elected = second.elected().await;
            let _ = leads.send(elected.map(|_| second));
        });
        let seat = first.seat.clone();
        // Whoever leaves is held up where it is to end the leadership.
        let held_up = seat.taken();
        let leaving = std::thread::spawn(move || drop(first));
        let early = led.recv_timeout(Duration::from_millis(300));
        assert!(early.is_err(), "another one leads before the first was told to stop");
        assert!(leadership.holds());
        drop(held_up);
        leaving.join().expect("it leaves");
        assert!(!leadership.holds());
        assert!(led.recv_timeout(LIMIT).expect("the next one leads").is_ok());
    }
}
