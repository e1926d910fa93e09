//! What the tests on the fake share.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod following;

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use zk_session::fake::{FakeClient, FakeZk};
use zk_session::{Keeper, Kind, Name, Presence, Sessions, Spec, Status};

/// No state is waited for longer than this; with paused time it passes at once.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A process: its way to the server, and what keeps its session.
pub(crate) struct Process {
    pub(crate) client: FakeClient,
    pub(crate) keeper: Keeper,
}

impl Process {
    pub(crate) fn start(zk: &FakeZk) -> Self {
        let client = zk.client();
        Self { keeper: Keeper::start(client.clone()), client }
    }

    pub(crate) fn sessions(&self) -> Sessions {
        self.keeper.sessions()
    }

    pub(crate) fn hold(&self, name: Name, data: &str) -> Presence {
        let (directory, data) = ("/services/a".to_owned(), data.as_bytes().to_vec());
        Presence::hold(self.sessions(), Spec { directory, name, data, parents: Kind::Container })
            .expect("little data")
    }

    pub(crate) fn own(&self, data: &str) -> Presence {
        self.hold(Name::Own("one".to_owned()), data)
    }
}

/// What is in a node; nothing where there is none.
pub(crate) fn data(zk: &FakeZk, path: &str) -> String {
    zk.get(path).map(|node| String::from_utf8(node.data).expect("text")).unwrap_or_default()
}

/// Waits until `is` says yes to what a channel holds.
pub(crate) async fn until<T: Clone + std::fmt::Debug>(
    rx: &mut watch::Receiver<T>,
    what: &str,
    is: impl Fn(&T) -> bool,
) -> T {
    let found =
        timeout(LIMIT, rx.wait_for(|now| is(now))).await.map(|now| now.expect("the sender is there").clone());
    found.unwrap_or_else(|_| panic!("waited in vain until {what}; now {:?}", &*rx.borrow()))
}

/// Whether a presence is ever told to stand in a way, from now on; to be asked at the end.
pub(crate) struct Told(JoinHandle<bool>);

impl Told {
    pub(crate) fn of(presence: &Presence, is: impl Fn(&Status) -> bool + Send + 'static) -> Self {
        let mut status = presence.status();
        Self(tokio::spawn(async move { status.wait_for(is).await.is_ok() }))
    }

    /// That somebody deleted its node.
    pub(crate) fn missing(presence: &Presence) -> Self {
        Self::of(presence, |now| matches!(now, Status::Missing))
    }

    pub(crate) fn ever(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Waits until the server is in a state.
pub(crate) async fn eventually(what: &str, is: impl Fn() -> bool) {
    let waited = timeout(LIMIT, async {
        while !is() {
            sleep(Duration::from_millis(1)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("waited in vain until {what}"));
}

pub(crate) async fn held(presence: &Presence) -> zk_session::Held {
    let status =
        until(&mut presence.status(), "the node is held", |now| matches!(now, Status::Held(_))).await;
    match status {
        Status::Held(held) => held,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn pending(presence: &Presence) {
    until(&mut presence.status(), "the node is not held", |now| matches!(now, Status::Pending { .. })).await;
}
