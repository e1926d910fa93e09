//! What the tests on the fake share.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fmt::Debug;
use std::time::Duration;

use leader::{Candidacy, Election, InstanceId, Leadership, NodeData, Root, ServiceName, Status};
use tokio::sync::watch;
use tokio::time::timeout;
use zk_session::fake::{FakeClient, FakeZk};
use zk_session::{Keeper, SessionId};

/// No state is waited for longer than this; with paused time it passes at once.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The session timeout that a fake grants unless told otherwise.
pub(crate) const T: Duration = Duration::from_secs(4);

/// Where the candidates of [`time`] are.
pub(crate) const DIR: &str = "/headkeeper/time/election";

/// A process: its way to the server, what keeps its session, and its elections.
pub(crate) struct Process {
    pub(crate) client: FakeClient,
    pub(crate) keeper: Keeper,
    pub(crate) election: Election,
}

impl Process {
    pub(crate) fn start(zk: &FakeZk) -> Self {
        let client = zk.client();
        let keeper = Keeper::start(client.clone());
        let election = Election::new(keeper.sessions(), Root::default());
        Self { client, keeper, election }
    }

    pub(crate) fn campaign(&self, name: &str) -> Candidacy {
        self.election.campaign_as(&time(), id(name), data(name)).expect("good data")
    }

    pub(crate) fn session(&self) -> SessionId {
        self.client.session().expect("it has a session")
    }

    /// As the kernel does when a process dies: its session is left to the server.
    pub(crate) fn kill(&self) {
        self.client.set_reachable(false);
    }
}

/// A process that stands for election, and is in the line by now.
pub(crate) async fn in_line(zk: &FakeZk, name: &str) -> (Process, Candidacy) {
    let process = Process::start(zk);
    let candidacy = process.campaign(name);
    settled(&candidacy).await;
    (process, candidacy)
}

/// Waits until it leads or waits for its turn.
pub(crate) async fn settled(candidacy: &Candidacy) {
    let is = |now: &Status| matches!(now, Status::Waiting { .. } | Status::Leading(_));
    until(&mut candidacy.status(), "it is in the line", is).await;
}

pub(crate) fn time() -> ServiceName {
    ServiceName::parse("time").expect("a name")
}

pub(crate) fn id(name: &str) -> InstanceId {
    InstanceId::parse(name).expect("a name")
}

pub(crate) fn data(name: &str) -> NodeData {
    NodeData::behind_broker(name)
}

pub(crate) fn path(name: &str) -> String {
    proto::path::join(DIR, name)
}

/// The candidates whose nodes are there, with their sequences, the first one first.
pub(crate) fn line(zk: &FakeZk) -> Vec<String> {
    let mut names = zk.children(DIR);
    names.sort_by_key(|name| proto::path::split_candidate(name).map(|(_, sequence)| sequence));
    names
}

/// Waits until `is` says yes to what a channel holds.
pub(crate) async fn until<T: Clone + Debug>(
    rx: &mut watch::Receiver<T>,
    what: &str,
    is: impl Fn(&T) -> bool,
) -> T {
    let found = timeout(LIMIT, rx.wait_for(is)).await.map(|now| now.expect("the sender is there").clone());
    found.unwrap_or_else(|_| panic!("waited in vain until {what}; now {:?}", &*rx.borrow()))
}

/// Waits until it leads.
pub(crate) async fn leads(candidacy: &Candidacy) -> Leadership {
    let elected = timeout(LIMIT, candidacy.elected()).await;
    elected
        .unwrap_or_else(|_| panic!("waited in vain; now {:?}", *candidacy.status().borrow()))
        .expect("elected")
}

pub(crate) async fn lost(leadership: &Leadership) -> leader::Lost {
    let lost = timeout(LIMIT, leadership.lost()).await.expect("lost in time");
    assert!(!leadership.holds());
    lost
}
