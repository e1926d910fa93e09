//! One program's way to the fake.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout};

use super::FakeZk;
use super::server::{Attempt, ClientId};
use super::session::FakeSession;
use super::shared::Shared;
use crate::{Clock, Connect, Error, Moment, Session, SessionId};

/// How long closing may take when nobody answers.
const PATIENCE: Duration = Duration::from_secs(2);

/// Connects to a [`FakeZk`] as one program would: with one session at a time, and with the same one again
/// while that lives.
///
/// Clones are the same client: hand one to what you test, and keep one for the faults. When the last of them is
/// dropped, its session ends if the server can be reached, as a [`ZooKeeper`](crate::ZooKeeper)'s does.
#[derive(Clone, Debug)]
pub struct FakeClient(Arc<Program>);

#[derive(Debug)]
struct Program {
    server: Arc<Shared>,
    id: ClientId,
    clock: Arc<FakeClock>,
}

/// Goes as tokio's clock does, which tests pause, and jumps ahead when the machine of its client was asleep.
#[derive(Debug)]
struct FakeClock {
    begun: Instant,
    /// In nanoseconds.
    slept: AtomicU64,
}

impl Clock for FakeClock {
    fn now(&self) -> Moment {
        let slept = Duration::from_nanos(self.slept.load(Ordering::SeqCst));
        Moment::after_origin(self.begun.elapsed() + slept)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let closed = self.server.with(|server| server.close(self.id));
        if !closed {
            self.server.with(|server| server.give_up(self.id));
        }
    }
}

impl FakeClient {
    pub(super) fn new(server: Arc<Shared>) -> Self {
        let id = server.with(super::server::Server::new_client);
        let clock = Arc::new(FakeClock { begun: Instant::now(), slept: AtomicU64::new(0) });
        Self(Arc::new(Program { server, id, clock }))
    }

    /// The session that this client holds, if it lives.
    pub fn session(&self) -> Option<SessionId> {
        self.0.server.with(|server| server.session_of(self.0.id))
    }

    /// Cuts this client off, or no longer: its connection ends, and it cannot make another one.
    ///
    /// Its session lives on for the session timeout.
    pub fn set_reachable(&self, reachable: bool) {
        self.0.server.with(|server| server.set_client_reachable(self.0.id, reachable));
    }

    /// Lets time pass for this client's clock alone, as if its machine had slept: none of its timers has noticed, and its
    /// connection is still there. The server's time does not pass.
    pub fn sleep(&self, slept: Duration) {
        let nanos = slept.as_nanos().try_into().unwrap_or(u64::MAX);
        self.0.clock.slept.fetch_add(nanos, Ordering::SeqCst);
    }
}

#[async_trait]
impl Connect for FakeClient {
    fn clock(&self) -> Arc<dyn Clock> {
        self.0.clock.clone()
    }

    async fn connect(&self) -> Result<Arc<dyn Session>, Error> {
        let (yields, patience) = self.0.server.with(|server| {
            server.knock();
            (server.yields(), server.timeout)
        });
        for _ in 0..yields {
            tokio::task::yield_now().await;
        }
        let answered = async {
            loop {
                let changed = self.0.server.changed();
                match self.0.server.with(|server| server.connect(self.0.id)) {
                    Attempt::Accepted(accepted) => {
                        Shared::keep_time(&self.0.server);
                        let session = FakeSession::new(self.0.server.clone(), accepted);
                        return Ok(Arc::new(session) as Arc<dyn Session>);
                    }
                    Attempt::Unreachable => return Err(unreachable()),
                    Attempt::Closed => return Err(Error::Invalid("this client was closed".to_owned())),
                    Attempt::Mute => changed.await,
                }
            }
        };
        timeout(patience, answered).await.unwrap_or_else(|_| Err(unreachable()))
    }

    async fn close(&self) {
        let closed = async {
            loop {
                let changed = self.0.server.changed();
                if self.0.server.with(|server| server.close(self.0.id)) {
                    return;
                }
                changed.await;
            }
        };
        tokio::task::yield_now().await;
        if timeout(PATIENCE, closed).await.is_err() {
            self.0.server.with(|server| server.give_up(self.0.id));
        }
    }
}

fn unreachable() -> Error {
    Error::Unreachable { servers: FakeZk::NAME.to_owned(), source: None }
}
