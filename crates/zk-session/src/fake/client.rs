//! One program's way to the fake.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;

use super::FakeZk;
use super::server::{Attempt, ClientId};
use super::session::FakeSession;
use super::shared::Shared;
use crate::{Connect, Error, Session, SessionId};

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
        Self(Arc::new(Program { server, id }))
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
}

#[async_trait]
impl Connect for FakeClient {
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
