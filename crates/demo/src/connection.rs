//! The flags that every command has: which ZooKeeper, and where in it.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use cli::ending::Usage;
use cli::log::Verbosity;
use cli::output::{chain, complain};
use cli::zookeeper::{Access, Layout, Place};
use leader::{Credentials, Election, LEAST_TIMEOUT};
use loadbalance::Balancer;
use proto::{InstanceId, NodeData, ServiceName, master_normal};
use registry::{Discovery, Instances, MasterNormal, Registry, Roles};
use tokio::sync::watch;
use tokio::time::timeout;
use zk_session::{Keeper, Sessions, State};

/// How long to wait for the first list in silence.
const SOON: Duration = Duration::from_millis(500);

/// Which ZooKeeper, and where in it; and how much is said of that.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
pub(crate) struct Connection {
    #[command(flatten)]
    pub(crate) access: Access,

    #[command(flatten)]
    pub(crate) place: Place,

    #[command(flatten)]
    pub(crate) log: Verbosity,
}

impl Connection {
    /// Refuses flags that do not go together, and files that cannot be used.
    pub(crate) fn check_flags(&self) -> Result<(), Usage> {
        self.place.coherent()?;
        self.access.check()
    }

    /// Starts to keep a session; returns at once.
    pub(crate) fn keep(&self) -> anyhow::Result<Keeper> {
        self.access.keep()
    }

    /// The registry where the flags say.
    pub(crate) fn registry(&self, sessions: Sessions) -> Registry {
        Registry::with_layout(sessions, self.place.instances())
    }

    /// The same for somebody who asks for the user names and passwords that instances tell; see
    /// [`has_credentials`](Self::has_credentials).
    pub(crate) fn revealing_registry(&self, sessions: Sessions) -> Registry {
        Registry::new(sessions, MasterNormal { root: self.place.root.clone(), reveal_credentials: true })
    }

    /// Refuses a layout whose nodes have no user names and passwords.
    pub(crate) fn has_credentials(&self) -> Result<(), Usage> {
        match self.place.layout {
            Layout::MasterNormal => Ok(()),
            Layout::Native | Layout::Flat => {
                Err(Usage("--credentials: only nodes of --layout master-normal have any".to_owned()))
            }
        }
    }

    /// Whom requests go to that any instance may answer.
    pub(crate) fn for_requests(&self, discovery: &Discovery) -> watch::Receiver<Option<Instances>> {
        match self.place.layout {
            Layout::MasterNormal => Roles::follow_for_requests(discovery.instances()),
            Layout::Native | Layout::Flat => discovery.instances(),
        }
    }

    /// Where the instances of a service are registered, as part of a sentence. The flat layout has one service, whatever it is called.
    pub(crate) fn place(&self, service: &ServiceName) -> String {
        let directory = self.place.instances().directory(service);
        match self.place.layout {
            Layout::Flat => format!("in {directory}"),
            Layout::Native | Layout::MasterNormal => format!("as {service} in {directory}"),
        }
    }

    /// The elections where the flags say; see [`has_elections`](Self::has_elections).
    pub(crate) fn election(&self, sessions: Sessions) -> Election {
        Election::with_layout(sessions, self.place.candidates())
    }

    /// Whether an instance is registered by standing for election, and not by announcing itself.
    pub(crate) fn registers_by_election(&self) -> bool {
        self.place.registers_by_election()
    }

    /// Refuses a layout in which nobody announces himself.
    pub(crate) fn announces(&self) -> Result<(), Usage> {
        if self.registers_by_election() {
            return Err(Usage(
                "in the master-normal layout one is registered by standing for election: agent lead"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// Refuses a layout that knows no elections.
    pub(crate) fn has_elections(&self) -> Result<(), Usage> {
        match self.place.layout {
            Layout::Native | Layout::MasterNormal => Ok(()),
            Layout::Flat => Err(Usage(
                "the flat layout has no elections: --layout native and --layout master-normal are accepted"
                    .to_owned(),
            )),
        }
    }

    /// Refuses a session that leaves no room for a lease, as far as that can be told before ZooKeeper grants one.
    pub(crate) fn can_lead(&self) -> Result<(), Usage> {
        let least = LEAST_TIMEOUT.as_millis();
        if u128::from(self.access.session_ms) >= least {
            return Ok(());
        }
        let (asked, most) = (self.access.session_ms, Access::LONGEST_MS);
        Err(Usage(format!(
            "--session-ms {asked} is too short for an election: {least} to {most} are accepted"
        )))
    }

    /// Refuses what the layout cannot store, and what would shut out whom it is for, before anything is sent.
    pub(crate) fn check(&self, id: &InstanceId, data: &NodeData) -> Result<(), Usage> {
        self.place.open_to_old_programs(&self.access.security)?;
        if self.registers_by_election() {
            let stored = master_normal::encode(data, &Credentials::default());
            return stored.map(drop).map_err(|refusal| Usage(format!("--layout master-normal: {refusal}")));
        }
        self.place.instances().node(id, data).map(drop).map_err(|refusal| Usage(refusal.to_string()))
    }

    /// Waits for an answer no longer than `wait`, and then says why.
    pub(crate) async fn bounded<T>(
        &self,
        wait: Duration,
        sessions: &Sessions,
        answer: impl Future<Output = T>,
    ) -> anyhow::Result<T> {
        match timeout(wait, answer).await {
            Ok(answer) => Ok(answer),
            Err(_) => {
                // Connected, it does run there, and is slow or hangs.
                let connected = matches!(*sessions.state().borrow(), State::Connected { .. });
                let (problem, tip) = (problem(sessions), if connected { String::new() } else { self.tip() });
                bail!("no answer from ZooKeeper at {} within {wait:?}{problem}{tip}", self.access.zk)
            }
        }
    }

    /// The same for the first `word` on what is followed, the list of a service for one: what keeps it from there is told as well.
    pub(crate) async fn bounded_first<T, E: std::error::Error>(
        &self,
        wait: Duration,
        sessions: &Sessions,
        word: &str,
        problem: &watch::Receiver<Option<E>>,
        first: impl Future<Output = T>,
    ) -> anyhow::Result<T> {
        let late = match self.bounded(wait, sessions, first).await {
            Ok(first) => return Ok(first),
            Err(late) => late,
        };
        match &*problem.borrow() {
            // It did answer.
            Some(problem) => {
                bail!("no {word} from ZooKeeper at {} within {wait:?}: {}", self.access.zk, chain(problem))
            }
            None => Err(late),
        }
    }

    /// Waits for the first list of a service, and says so when that takes long.
    pub(crate) async fn first_list(
        &self,
        sessions: &Sessions,
        balancer: &Balancer,
        service: &ServiceName,
    ) -> anyhow::Result<()> {
        if let Ok(ready) = timeout(SOON, balancer.ready()).await {
            return Ok(ready?);
        }
        let why = problem(sessions);
        let tip = if why.is_empty() { String::new() } else { self.tip() };
        complain(&format!("waiting for the first list of {service} from {}{why}{tip}", self.access.zk));
        balancer.ready().await?;
        complain("the first list is here");
        Ok(())
    }

    /// What may help who cannot reach ZooKeeper, to be put behind that.
    pub(crate) fn tip(&self) -> String {
        let tip = match self.access.security.zk_tls_ca {
            Some(_) => {
                "does it speak TLS there, with a certificate for the name or address in --zk, and does it want to know us (--zk-tls-cert)? Its log says more"
            }
            None => {
                "is it running there? --zk or ZK_CONNECT name another one; one that speaks TLS needs --zk-tls-ca; demo tour --keep starts one to try things on"
            }
        };
        format!("\n\n  tip: {tip}")
    }
}

/// What keeps us from ZooKeeper, to be put behind a sentence; nothing when nothing does.
pub(crate) fn problem(sessions: &Sessions) -> String {
    match &*sessions.state().borrow() {
        State::Connecting { problem: Some(problem) } | State::Suspended { problem: Some(problem), .. } => {
            format!(": {}", chain(problem))
        }
        _ => String::new(),
    }
}
