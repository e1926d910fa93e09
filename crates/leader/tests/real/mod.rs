//! What the tests of elections on real servers share.
#![allow(dead_code, clippy::unwrap_used, reason = "helpers of tests, of which each file uses a part")]

pub(crate) mod recorder;
pub(crate) mod sampler;

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use leader::{Candidacy, Election, InstanceId, Leadership, NodeData, Root, ServiceName, Status};
use tokio::time::{sleep, timeout};
use zk_session::{BootClock, Clock, Connect, Error, Keeper, Moment, Session, ZooKeeper};

/// More than anything here takes, even on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The session timeout of all candidates, unless said otherwise.
pub(crate) const T: Duration = Duration::from_secs(4);

/// The session timeout of those who lose nothing, also on a machine that stands still for some seconds.
pub(crate) const CALM: Duration = Duration::from_secs(30);

/// The usual unit of time of the servers: one that is cut off goes on to serve for ten of them, which is longer than a
/// session lasts.
pub(crate) const TICK: Duration = Duration::from_millis(600);

/// Waits for what must come, and fails where it would hang.
pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match timeout(LIMIT, future).await {
        Ok(came) => came,
        Err(_) => panic!("waited in vain: {what}"),
    }
}

/// Now, by the clock that leases are measured by.
pub(crate) fn now() -> Moment {
    BootClock.now()
}

/// Sees that a leadership ends by itself before a session could that nothing was heard of since `cut`: by its own end, whenever that is noticed.
pub(crate) fn ends_in_time(leadership: &Leadership, cut: Moment) {
    let before = now();
    let until = before + leadership.left();
    assert!(!leadership.holds() || until <= cut + T, "it would end {:?} after the cut", until.since(cut));
}

pub(crate) async fn reached(moment: Moment) {
    sleep(moment.since(now())).await;
}

pub(crate) fn service() -> ServiceName {
    ServiceName::parse("time").unwrap()
}

pub(crate) fn directory() -> String {
    Root::default().election_dir(&service())
}

pub(crate) fn zookeeper(servers: impl Display, session: Duration) -> ZooKeeper {
    ZooKeeper::builder(&servers.to_string()).session_timeout(session).build().unwrap()
}

/// A process that stands for election, in a session of its own.
pub(crate) struct Candidate {
    pub(crate) keeper: Keeper,
    pub(crate) candidacy: Candidacy,
}

impl Candidate {
    pub(crate) fn start(servers: impl Display, id: &str) -> Self {
        Self::start_on(zookeeper(servers, T), id)
    }

    pub(crate) fn start_on(connect: impl Connect, id: &str) -> Self {
        let keeper = Keeper::start(connect);
        let candidacy = stand(&keeper, id);
        Self { keeper, candidacy }
    }

    pub(crate) async fn leads(&self) -> Leadership {
        soon(&format!("{} leads", self.candidacy.id()), self.candidacy.elected()).await.unwrap()
    }

    /// Waits until it stands behind somebody, and returns who that is.
    pub(crate) async fn waits(&self) -> String {
        let mut status = self.candidacy.status();
        let waits = status.wait_for(|status| matches!(status, Status::Waiting { .. }));
        match &*soon(&format!("{} waits", self.candidacy.id()), waits).await.unwrap() {
            Status::Waiting { ahead } => ahead.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// The leadership that it has, if that holds.
    pub(crate) fn leadership(&self) -> Option<Leadership> {
        match &*self.candidacy.status().borrow() {
            Status::Leading(leadership) if leadership.holds() => Some(leadership.clone()),
            _ => None,
        }
    }
}

pub(crate) fn stand(keeper: &Keeper, id: &str) -> Candidacy {
    let data = NodeData::at("127.0.0.1:8897".parse().unwrap());
    let election = Election::new(keeper.sessions(), Root::default());
    election.campaign_as(&service(), InstanceId::parse(id).unwrap(), data).unwrap()
}

/// Waits until any of them leads.
pub(crate) async fn somebody_leads<'a>(candidates: impl IntoIterator<Item = &'a Candidate>) -> Leadership {
    let candidates: Vec<_> = candidates.into_iter().collect();
    soon("somebody leads", async {
        loop {
            if let Some(leadership) = candidates.iter().find_map(|candidate| candidate.leadership()) {
                return leadership;
            }
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await
}

/// The next connection, tried again while no server can be reached.
pub(crate) async fn connected(zookeeper: &ZooKeeper) -> Arc<dyn Session> {
    soon("a connection", async {
        loop {
            match zookeeper.connect().await {
                Ok(session) => return session,
                Err(Error::Unreachable { .. }) => sleep(Duration::from_millis(20)).await,
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await
}

/// Who has a node in the line, with one entry for each node, in the order of the names.
pub(crate) async fn line(session: &dyn Session) -> Result<Vec<String>, Error> {
    session.sync("/").await?;
    let names = match session.children(&directory()).await {
        Err(Error::NoNode) => Vec::new(),
        names => names?,
    };
    let id = |name: &String| proto::path::split_candidate(name).unwrap().0.to_owned();
    let mut ids: Vec<_> = names.iter().map(id).collect();
    ids.sort();
    Ok(ids)
}

/// Waits until each of these has one node in the line, and nobody else has any.
pub(crate) async fn one_node_each(servers: impl Display, ids: &[&str]) {
    let zookeeper = zookeeper(servers, LIMIT);
    let mut found = Vec::new();
    let wait = async {
        loop {
            let session = connected(&zookeeper).await;
            match line(&*session).await {
                Ok(now) if now == ids => return,
                Ok(now) => found = now,
                // Servers that choose another leader among them end connections.
                Err(Error::Interrupted) => {}
                Err(error) => panic!("{error}"),
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let came = timeout(LIMIT, wait).await;
    assert!(came.is_ok(), "{found:?} stand for election instead of {ids:?}");
    zookeeper.close().await;
}
