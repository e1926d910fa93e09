//! How a node stands, as its holder is told.

use std::sync::Arc;

use tokio::sync::watch;
use tracing::{info, warn};

use crate::presence::{Held, Status};
use crate::{Error, Link, SessionId};

/// Tells how a node stands, each thing once.
pub(crate) struct Standing {
    pub(crate) status: watch::Sender<Status>,
    /// Where the node is to be, but for a sequence.
    pub(crate) path: Arc<str>,
}

impl Standing {
    /// Until the value is dropped, what is told of the node counts as known: it is not when its connection is over.
    pub(crate) fn vouch(&self) -> PendingOnDrop {
        PendingOnDrop(self.status.clone())
    }

    /// Nothing is known on `link` yet: what was told on another connection is not known any more.
    pub(crate) fn meet(&self, link: &Link) {
        self.status.send_if_modified(|status| {
            let known_elsewhere = matches!(status, Status::Held(held) if !held.link.is_same(link));
            if known_elsewhere {
                *status = Status::Pending { problem: None };
            }
            known_elsewhere
        });
    }

    /// The node is ours; a `refusal` is why it does not say what it should.
    pub(crate) fn held(&self, link: &Link, path: &str, czxid: Option<i64>, refusal: Option<&Error>) {
        let text = |error: Option<&Error>| error.map(ToString::to_string);
        self.status.send_if_modified(|status| {
            let before = match status {
                Status::Held(held) if held.path == path && held.czxid == czxid && held.link.is_same(link) => {
                    Some(&held.problem)
                }
                _ => None,
            };
            let is_known = before.is_some_and(|told| text(told.as_ref()) == text(refusal));
            if !is_known {
                if before.is_none() {
                    info!(path, session = %link.id(), "the node is ours");
                }
                if let Some(error) = refusal {
                    warn!(error = error as &dyn std::error::Error, path, "cannot write into the node");
                }
                let (path, link, problem) = (path.to_owned(), link.clone(), refusal.cloned());
                *status = Status::Held(Held { path, link, czxid, problem });
            }
            !is_known
        });
    }

    /// The node was ours, and is known to be gone.
    pub(crate) fn missing(&self) {
        self.status.send_if_modified(|status| {
            let news = matches!(status, Status::Held(_) | Status::Pending { problem: None });
            if news {
                info!(path = &*self.path, "somebody deleted our node");
                *status = Status::Missing;
            }
            news
        });
    }

    /// Somebody else has the node, which is no trouble unless it never goes.
    pub(crate) fn taken(&self, path: &str, by: Option<SessionId>) {
        self.status.send_if_modified(|status| {
            let known = matches!(status, Status::Taken { by: told } if *told == by);
            if !known {
                if by.is_none() {
                    warn!(
                        path,
                        "what no session owns is where our node should be; it stays until somebody deletes it"
                    );
                }
                *status = Status::Taken { by };
            }
            !known
        });
    }

    /// Not held any more; a reason is said once for each kind of trouble.
    pub(crate) fn pending(&self, error: Option<&Error>) {
        let problem = error.filter(|error| !matches!(error, Error::Interrupted)).cloned();
        self.status.send_if_modified(|status| match (&*status, &problem) {
            (Status::Pending { .. } | Status::Missing, None) => false,
            (Status::Pending { problem: Some(said) }, Some(problem))
                if said.to_string() == problem.to_string() =>
            {
                false
            }
            _ => {
                if let Some(error) = &problem {
                    let error = error as &dyn std::error::Error;
                    warn!(error, path = &*self.path, "cannot keep the node");
                }
                *status = Status::Pending { problem };
                true
            }
        });
    }

    /// The last word.
    pub(crate) fn end(&self, status: Status) {
        self.status.send_replace(status);
    }
}

/// What was true on a connection is not known to be true when it is over, however the body ends.
pub(crate) struct PendingOnDrop(watch::Sender<Status>);

impl Drop for PendingOnDrop {
    fn drop(&mut self) {
        self.0.send_if_modified(|status| {
            let known = matches!(status, Status::Held(_) | Status::Taken { .. });
            if known {
                *status = Status::Pending { problem: None };
            }
            known
        });
    }
}

#[cfg(all(test, feature = "fake"))]
mod tests {
    use super::*;
    use crate::claim::OurSessions;
    use crate::enlisted::Presences;
    use crate::fake::{FakeClient, FakeZk};
    use crate::link::Origin;
    use crate::{Connect, Moment};

    async fn link(client: &FakeClient, number: u64) -> Link {
        let session = client.connect().await.expect("connected");
        let ours = OurSessions { current: session.id(), earlier: Vec::new() };
        let asked = Moment::after_origin(std::time::Duration::ZERO);
        Link::new(session, ours, Origin { number, asked, terms: 1 }, Presences::default())
    }

    #[tokio::test]
    async fn what_was_told_on_one_connection_is_not_known_on_the_next() {
        let client = FakeZk::default().client();
        let standing = Standing {
            status: watch::channel(Status::Pending { problem: None }).0,
            path: "/services/a/one".into(),
        };
        let first = link(&client, 1).await;
        standing.meet(&first);
        standing.held(&first, "/services/a/one", None, None);
        standing.meet(&first);
        assert!(matches!(&*standing.status.borrow(), Status::Held(held) if held.link.is_same(&first)));
        let second = link(&client, 2).await;
        standing.meet(&second);
        assert!(matches!(*standing.status.borrow(), Status::Pending { problem: None }));
    }
}
