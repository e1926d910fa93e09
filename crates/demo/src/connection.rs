//! The flags that every command has: which ZooKeeper, and where in it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, ValueEnum};
use leader::{Credentials, Election, LEAST_TIMEOUT};
use proto::{Dir, InstanceId, NodeData, Root, ServiceName, master_normal};
use registry::{Discovery, Flat, Instances, MasterNormal, Native, Registry, Roles};
use tokio::sync::watch;
use tokio::time::timeout;
use zk_session::{Keeper, Sessions, State, ZooKeeper};

use crate::flags::number;
use crate::output::chain;

const ZK: &str = "127.0.0.1:2181";
const SESSION_MS: u64 = 10_000;
const LONGEST_MS: u64 = 600_000;

/// Which ZooKeeper, and where in it.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "ZooKeeper")]
pub(crate) struct Connection {
    /// ZooKeeper's servers, and a directory below which everything is kept, which must exist
    #[arg(
        long,
        env = "ZK_CONNECT",
        value_name = "HOST:PORT[,...][/CHROOT]",
        default_value = ZK,
        value_parser = servers
    )]
    pub(crate) zk: String,

    /// How long ZooKeeper waits for a process that fell silent, in milliseconds; the server has limits of its own
    #[arg(long, value_name = "N", default_value_t = SESSION_MS, allow_negative_numbers = true, value_parser = number::<u64>(100..=LONGEST_MS))]
    pub(crate) session_ms: u64,

    /// How services lie in ZooKeeper
    #[arg(long, value_enum, default_value_t = Layout::Native)]
    pub(crate) layout: Layout,

    /// The directory of all services, in the native and in the master-normal layout; the latter's is what the old framework calls its
    /// prefix, with a slash before it
    #[arg(long, value_name = "/PATH", default_value_t = Root::default())]
    pub(crate) root: Root,

    /// The directory of the flat layout
    #[arg(long, value_name = "/PATH", default_value_t = Dir::default())]
    pub(crate) dir: Dir,

    /// With --layout flat: leave out nodes that no session owns, which stay when their program ends; each is told on stderr once
    #[arg(long)]
    pub(crate) hide_ownerless: bool,

    /// Say more on stderr; twice for much more
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// How services lie in ZooKeeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Layout {
    /// {root}/{service}/instances/{id}, with data
    Native,
    /// {dir}/{ip:port}, one service, no data: as the old Go programs have it
    Flat,
    /// {root}/{service}/master and {root}/{service}/normal…, with data: as the old Go framework has it
    MasterNormal,
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            zk: ZK.to_owned(),
            session_ms: SESSION_MS,
            layout: Layout::Native,
            root: Root::default(),
            dir: Dir::default(),
            hide_ownerless: false,
            verbose: 0,
        }
    }
}

impl Connection {
    /// Refuses flags that do not go together.
    pub(crate) fn coherent(&self) -> Result<(), Usage> {
        if self.hide_ownerless && self.layout != Layout::Flat {
            return Err(Usage("--hide-ownerless is accepted with --layout flat alone".to_owned()));
        }
        Ok(())
    }

    /// Starts to keep a session; returns at once.
    pub(crate) fn keep(&self) -> anyhow::Result<Keeper> {
        let timeout = Duration::from_millis(self.session_ms);
        Ok(Keeper::start(ZooKeeper::builder(&self.zk).session_timeout(timeout).build()?))
    }

    /// The registry where the flags say.
    pub(crate) fn registry(&self, sessions: Sessions) -> Registry {
        Registry::with_layout(sessions, self.layout())
    }

    /// The same for somebody who asks for the user names and passwords that instances tell; see
    /// [`has_credentials`](Self::has_credentials).
    pub(crate) fn revealing_registry(&self, sessions: Sessions) -> Registry {
        Registry::new(sessions, MasterNormal { root: self.root.clone(), reveal_credentials: true })
    }

    /// Refuses a layout whose nodes have no user names and passwords.
    pub(crate) fn has_credentials(&self) -> Result<(), Usage> {
        match self.layout {
            Layout::MasterNormal => Ok(()),
            Layout::Native | Layout::Flat => {
                Err(Usage("--credentials: only nodes of --layout master-normal have any".to_owned()))
            }
        }
    }

    /// Whom requests go to that any instance may answer.
    pub(crate) fn for_requests(&self, discovery: &Discovery) -> watch::Receiver<Option<Instances>> {
        match self.layout {
            Layout::MasterNormal => Roles::follow_for_requests(discovery.instances()),
            Layout::Native | Layout::Flat => discovery.instances(),
        }
    }

    /// Where the instances of a service are registered, as part of a sentence. The flat layout has one service, whatever it is called.
    pub(crate) fn place(&self, service: &ServiceName) -> String {
        let directory = self.layout().directory(service);
        match self.layout {
            Layout::Flat => format!("in {directory}"),
            Layout::Native | Layout::MasterNormal => format!("as {service} in {directory}"),
        }
    }

    /// The elections where the flags say; see [`has_elections`](Self::has_elections).
    pub(crate) fn election(&self, sessions: Sessions) -> Election {
        let root = self.root.clone();
        Election::with_layout(
            sessions,
            match self.layout {
                Layout::Native | Layout::Flat => leader::Layout::Native { root },
                Layout::MasterNormal => {
                    leader::Layout::MasterNormal { root, credentials: Credentials::default() }
                }
            },
        )
    }

    /// Whether an instance is registered by standing for election, and not by announcing itself.
    pub(crate) fn registers_by_election(&self) -> bool {
        self.layout == Layout::MasterNormal
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
        match self.layout {
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
        if u128::from(self.session_ms) >= least {
            return Ok(());
        }
        let asked = self.session_ms;
        Err(Usage(format!(
            "--session-ms {asked} is too short for an election: {least} to {LONGEST_MS} are accepted"
        )))
    }

    /// Refuses what the layout cannot store, before anything is sent.
    pub(crate) fn check(&self, id: &InstanceId, data: &NodeData) -> Result<(), Usage> {
        if self.registers_by_election() {
            let stored = master_normal::encode(data, &Credentials::default());
            return stored.map(drop).map_err(|refusal| Usage(format!("--layout master-normal: {refusal}")));
        }
        self.layout().node(id, data).map(drop).map_err(|refusal| Usage(refusal.to_string()))
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
            Err(_) => bail!("no answer from ZooKeeper at {} within {wait:?}{}", self.zk, problem(sessions)),
        }
    }

    fn layout(&self) -> Arc<dyn registry::Layout> {
        match self.layout {
            Layout::Native => Arc::new(Native { root: self.root.clone() }),
            Layout::Flat => Arc::new(Flat { dir: self.dir.clone(), hide_ownerless: self.hide_ownerless }),
            Layout::MasterNormal => {
                Arc::new(MasterNormal { root: self.root.clone(), ..MasterNormal::default() })
            }
        }
    }
}

/// Refuses an unusable connect string as an unusable flag, before anything is sent.
pub(crate) fn servers(text: &str) -> Result<String, zk_session::Error> {
    ZooKeeper::builder(text).build().map(|_| text.to_owned())
}

/// A refusal that only came out when flags were looked at together. Nothing was sent.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// What keeps us from ZooKeeper, to be put behind a sentence; nothing when nothing does.
pub(crate) fn problem(sessions: &Sessions) -> String {
    match &*sessions.state().borrow() {
        State::Connecting { problem: Some(problem) } | State::Suspended { problem: Some(problem), .. } => {
            format!(": {}", chain(problem))
        }
        _ => String::new(),
    }
}
