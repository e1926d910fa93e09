//! Where a candidate is found: as the one that is first, or as one that stands by.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::debug;
use zk_session::{Presence, SessionId, Sessions, Spec, Status};

/// How long to wait before it is tried again to stand by, where another part of this process has such a node still.
const AGAIN: Duration = Duration::from_millis(100);

/// A node by which others find this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnNode {
    /// Where it is.
    pub path: String,
    /// The session that owns it.
    pub session: SessionId,
}

impl OwnNode {
    fn of(status: &Status) -> Option<Self> {
        match status {
            Status::Held(held) => Some(Self { path: held.path.clone(), session: held.session() }),
            _ => None,
        }
    }
}

/// What should be in the node of one that stands by; `None` when it leaves.
pub(crate) type Wanted = watch::Sender<Option<Vec<u8>>>;

/// Keeps the node of one that stands by, for as long as somebody else has the first one.
pub(crate) struct StandingBy {
    pub(crate) sessions: Sessions,
    /// The node of one that stands by; without it there is none, and only what the first one is, is told.
    pub(crate) spec: Option<Spec>,
    /// How the candidate's node stands that may lead.
    pub(crate) first: watch::Receiver<Status>,
    pub(crate) wanted: watch::Receiver<Option<Vec<u8>>>,
    pub(crate) found: watch::Sender<Option<Arc<OwnNode>>>,
}

impl StandingBy {
    /// Until the candidate leaves, or is over. Its end tells that nothing of it is there.
    ///
    /// Nobody who is to be promoted is gone in between: the first node is made before the other one goes. What is not known, on a
    /// lost connection, changes nothing.
    pub(crate) async fn run(mut self) {
        let mut stands: Option<Stands> = None;
        // Those that were let go may not have left yet.
        let mut leaving: Vec<Presence> = Vec::new();
        loop {
            let data = self.wanted.borrow_and_update().clone();
            let Some(data) = data else { break };
            let first = self.first.borrow_and_update().clone();
            match &first {
                Status::Taken { .. } => stands = self.stand_by(stands, data),
                Status::Held(_) => leaving.extend(stands.take().map(Stands::leave)),
                Status::Replaced | Status::Gone => break,
                // What is not known changes nothing but what is said.
                Status::Pending { .. } | Status::Missing => {
                    stands = stands.and_then(|stands| self.stand_by(Some(stands), data));
                }
            }
            leaving.retain(|presence| !is_over(presence));
            let mut second = stands.as_ref().map(|stands| stands.presence.status());
            let here = second.as_mut().and_then(|status| OwnNode::of(&status.borrow_and_update()));
            self.tell(OwnNode::of(&first).or(here));
            let waits = self.spec.is_some() && stands.is_none() && matches!(first, Status::Taken { .. });
            tokio::select! {
                () = sleep(AGAIN), if waits => {}
                told = self.first.changed() => if told.is_err() { break },
                told = self.wanted.changed() => if told.is_err() { break },
                () = changed(&mut second) => {}
            }
        }
        self.tell(None);
        for presence in leaving.into_iter().chain(stands.map(Stands::leave)) {
            presence.gone().await;
        }
    }

    /// Has a node that says this, if it can.
    fn stand_by(&self, stands: Option<Stands>, data: Vec<u8>) -> Option<Stands> {
        let spec = self.spec.clone()?;
        let presence = match stands {
            Some(stands) if stands.says == data => return Some(stands),
            Some(Stands { presence, .. }) => {
                presence.update(data.clone()).expect("its size was checked, and it was not let go");
                presence
            }
            None => match Presence::hold(self.sessions.clone(), Spec { data: data.clone(), ..spec }) {
                Ok(presence) => presence,
                Err(error) => {
                    // Most likely a candidacy that was just given up, and has not let its node go yet.
                    let error = &error as &dyn std::error::Error;
                    debug!(error, "cannot stand by yet");
                    return None;
                }
            },
        };
        Some(Stands { presence, says: data })
    }

    fn tell(&self, now: Option<OwnNode>) {
        self.found.send_if_modified(|told| {
            let news = told.as_deref() != now.as_ref();
            if news {
                *told = now.map(Arc::new);
            }
            news
        });
    }
}

/// A node that stands by, and what it was told to say.
struct Stands {
    presence: Presence,
    says: Vec<u8>,
}

impl Stands {
    fn leave(self) -> Presence {
        self.presence.let_go();
        self.presence
    }
}

fn is_over(presence: &Presence) -> bool {
    matches!(&*presence.status().borrow(), Status::Replaced | Status::Gone)
}

/// The next thing that happens to a node that stands by, if there is one.
async fn changed(status: &mut Option<watch::Receiver<Status>>) {
    if let Some(status) = status
        && status.changed().await.is_ok()
    {
        return;
    }
    // There is none, or its last word was said.
    std::future::pending::<()>().await;
}
