//! Which ZooKeeper, and where in it.

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use leader::{Credentials, Election};
use proto::{Dir, Root};
use registry::{Flat, MasterNormal, Native, Registry};
use zk_session::{Keeper, Sessions, ZooKeeper};

use super::flags::number;

/// Which ZooKeeper, and where in it.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "ZooKeeper")]
pub(crate) struct Connection {
    /// ZooKeeper's servers, and a directory below which everything is kept, which must exist
    #[arg(
        long,
        env = "ZK_CONNECT",
        value_name = "HOST:PORT[,...][/CHROOT]",
        default_value = "127.0.0.1:2181",
        value_parser = servers
    )]
    zk: String,

    /// How long ZooKeeper waits for a process that fell silent, in milliseconds; the server has limits of its own
    #[arg(long, value_name = "N", default_value_t = 10_000, allow_negative_numbers = true, value_parser = number::<u64>(100..=600_000))]
    session_ms: u64,

    /// How services lie in ZooKeeper
    #[arg(long, value_enum, default_value_t = Layout::Native)]
    layout: Layout,

    /// The directory of all services, in the native and in the master-normal layout
    #[arg(long, value_name = "/PATH", default_value_t = Root::default())]
    root: Root,

    /// The directory of the flat layout
    #[arg(long, value_name = "/PATH", default_value_t = Dir::default())]
    dir: Dir,

    /// With --layout flat: leave out nodes that no session owns, which stay when their program ends
    #[arg(long)]
    hide_ownerless: bool,
}

/// How services lie in ZooKeeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Layout {
    /// {root}/{service}/instances/{id}, with data
    Native,
    /// {dir}/{ip:port}, one service, no data: as the old Go programs have it
    Flat,
    /// {root}/{service}/master and {root}/{service}/normal…, with data: as the old Go framework has it; nothing is registered there
    MasterNormal,
}

impl Connection {
    /// Refuses flags that do not go together.
    pub(crate) fn coherent(&self) -> Result<(), String> {
        if self.hide_ownerless && self.layout != Layout::Flat {
            return Err("--hide-ownerless is accepted with --layout flat alone".to_owned());
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
        Registry::with_layout(
            sessions,
            match self.layout {
                Layout::Native => Arc::new(Native { root: self.root.clone() }),
                Layout::Flat => Arc::new(Flat { dir: self.dir.clone(), hide_ownerless: self.hide_ownerless }),
                Layout::MasterNormal => {
                    Arc::new(MasterNormal { root: self.root.clone(), ..MasterNormal::default() })
                }
            },
        )
    }

    /// The elections where the flags say; `None` where there are none.
    pub(crate) fn election(&self, sessions: Sessions) -> Option<Election> {
        let root = self.root.clone();
        let layout = match self.layout {
            Layout::Flat => return None,
            Layout::Native => leader::Layout::Native { root },
            Layout::MasterNormal => {
                leader::Layout::MasterNormal { root, credentials: Credentials::default() }
            }
        };
        Some(Election::with_layout(sessions, layout))
    }

    /// Whether somebody can be the master.
    pub(crate) fn has_masters(&self) -> bool {
        self.layout != Layout::Flat
    }

    /// Whether whoever is the master takes no requests that others may answer.
    pub(crate) fn has_roles(&self) -> bool {
        self.layout == Layout::MasterNormal
    }
}

/// Refuses an unusable connect string as an unusable flag, before anything is sent.
fn servers(text: &str) -> Result<String, zk_session::Error> {
    ZooKeeper::builder(text).build().map(|_| text.to_owned())
}
