//! Whether this process is in the list, and with which weight.

use std::time::Duration;

use registry::{Error, Registration, Status};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};

/// How long a withdrawal may take: without ZooKeeper it would wait for it. It goes on in the background.
const WITHDRAWAL: Duration = Duration::from_secs(2);

pub(super) type Announce = Box<dyn FnMut() -> Result<Registration, Error> + Send>;

/// The place of this process in the list of its service.
pub(super) struct Listed {
    announce: Announce,
    standing: Standing,
    /// When it stepped back or was replaced, if it was in the list before.
    back_since: Option<Instant>,
    /// Who is told how the registration stands.
    told: Option<watch::Sender<Status>>,
    /// How it stands, while that changes.
    status: Option<watch::Receiver<Status>>,
}

enum Standing {
    /// It is not in the list.
    Out,
    /// It gets requests.
    In(Registration),
    /// It is in the list with a weight of 0, and has this one when it gets requests.
    Drained(Registration, u32),
    /// A newer process has taken its place, for good.
    Replaced,
}

impl Listed {
    pub(super) fn new(announce: Announce, told: Option<watch::Sender<Status>>) -> Self {
        Self { announce, standing: Standing::Out, back_since: None, told, status: None }
    }

    /// Waits until the registration stands differently, and tells. Without one it waits for ever.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub(super) async fn tell_changes(&mut self) {
        let Some(status) = &mut self.status else { return std::future::pending().await };
        // The last word was told before its sender went.
        if status.changed().await.is_err() {
            self.status = None;
            return;
        }
        let now = status.borrow_and_update().clone();
        if matches!(now, Status::Replaced) {
            // The newer one may be elsewhere: clients that have not read that ask here. Of one that was drained nobody asks anything.
            if matches!(self.standing, Standing::In(_)) {
                self.back_since = Some(Instant::now());
            }
            self.standing = Standing::Replaced;
        }
        self.tell(now);
    }

    fn tell(&self, now: Status) {
        if let Some(told) = &self.told {
            told.send_replace(now);
        }
    }

    /// Gets requests from now on.
    ///
    /// # Errors
    ///
    /// When it cannot be announced.
    pub(super) fn enter(&mut self) -> Result<(), Error> {
        self.standing = match std::mem::replace(&mut self.standing, Standing::Out) {
            Standing::Out => {
                let registration = (self.announce)()?;
                info!(id = %registration.id(), "ready: announced");
                self.tell(registration.status().borrow().clone());
                self.status = Some(registration.status());
                Standing::In(registration)
            }
            Standing::Drained(registration, weight) => match registration.set_weight(weight) {
                Ok(()) => {
                    info!(id = %registration.id(), weight, "ready again");
                    Standing::In(registration)
                }
                Err(error) => replaced(&registration, &error),
            },
            standing @ (Standing::In(_) | Standing::Replaced) => standing,
        };
        Ok(())
    }

    /// Gets no more requests, and stays in the list. Where nothing is known of weights it is taken from the list, and this waits for
    /// that; when dropped, that goes on.
    pub(super) async fn step_back(&mut self) {
        match std::mem::replace(&mut self.standing, Standing::Out) {
            Standing::In(registration) => {
                self.back_since = Some(Instant::now());
                let weight = registration.data().weight;
                match registration.drain() {
                    Ok(()) => {
                        info!(id = %registration.id(), "drained");
                        self.standing = Standing::Drained(registration, weight);
                    }
                    Err(Error::Invalid(_)) => {
                        info!(id = %registration.id(), "withdrawn: this layout has no weights");
                        self.status = None;
                        registration.withdraw().await;
                        self.tell(Status::Withdrawn);
                    }
                    Err(error) => self.standing = replaced(&registration, &error),
                }
            }
            standing => self.standing = standing,
        }
    }

    /// Steps back, and waits until clients have had so long to hear of it. Without having been in the list, or longer ago, there is
    /// nobody to wait for. Where a newer process took its place they hear from then on.
    pub(super) async fn be_heard(&mut self, time: Duration) {
        // While ZooKeeper is away, a withdrawal takes longer than clients are waited for.
        let _ = timeout(time, self.step_back()).await;
        if let Some(since) = self.back_since {
            match since.checked_add(time) {
                None => std::future::pending().await,
                Some(heard) => sleep_until(heard).await,
            }
        }
    }

    /// Leaves the list for good. What takes too long goes on in the background.
    pub(super) async fn leave(mut self) {
        let standing = std::mem::replace(&mut self.standing, Standing::Out);
        let (Standing::In(registration) | Standing::Drained(registration, _)) = standing else { return };
        let id = registration.id().clone();
        if timeout(WITHDRAWAL, registration.withdraw()).await.is_err() {
            warn!(%id, "not known to be withdrawn yet: ZooKeeper does not answer");
        } else {
            self.tell(Status::Withdrawn);
        }
    }
}

fn replaced(registration: &Registration, error: &Error) -> Standing {
    warn!(error = error as &dyn std::error::Error, id = %registration.id(), "no longer in the list");
    Standing::Replaced
}
