//! Which servers of ZooKeeper, how they are reached, and for how long they keep a session.

use std::time::Duration;

use clap::Args;
use zk_session::{Builder, Keeper, ZooKeeper};

use super::Security;
use crate::ending::Usage;
use crate::flags::number;

const ZK: &str = "127.0.0.1:2181";
const SESSION_MS: u64 = 10_000;

/// Which ZooKeeper.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "ZooKeeper")]
#[group(skip)]
pub struct Access {
    /// ZooKeeper's servers, and a directory below which everything is kept, which must exist
    #[arg(
        long,
        env = "ZK_CONNECT",
        value_name = "HOST:PORT[,...][/CHROOT]",
        default_value = ZK,
        value_parser = servers
    )]
    pub zk: String,

    /// How long ZooKeeper waits for a process that fell silent, in milliseconds; the server has limits of its own
    #[arg(long, value_name = "N", default_value_t = SESSION_MS, allow_negative_numbers = true, value_parser = number::<u64>(100..=Self::LONGEST_MS))]
    pub session_ms: u64,

    /// How both sides are known.
    #[command(flatten)]
    pub security: Security,
}

impl Default for Access {
    fn default() -> Self {
        Self { zk: ZK.to_owned(), session_ms: SESSION_MS, security: Security::default() }
    }
}

impl Access {
    /// The longest session that is accepted, in milliseconds.
    pub const LONGEST_MS: u64 = 600_000;

    /// Refuses what cannot be connected with, before anything is sent.
    ///
    /// # Errors
    ///
    /// Which flag it is, or which file, and what is accepted.
    pub fn check(&self) -> Result<(), Usage> {
        self.builder().map(drop)
    }

    /// Starts to keep a session; returns at once.
    ///
    /// # Errors
    ///
    /// When a value is unusable, or what stands in a file.
    pub fn keep(&self) -> anyhow::Result<Keeper> {
        Ok(Keeper::start(self.builder()?.build()?))
    }

    fn builder(&self) -> Result<Builder, Usage> {
        let timeout = Duration::from_millis(self.session_ms);
        self.security.apply(ZooKeeper::builder(&self.zk).session_timeout(timeout))
    }

    /// The flags that say the same to another program of ours.
    pub fn handed_on(&self) -> Vec<String> {
        let flags = [("--zk", self.zk.clone()), ("--session-ms", self.session_ms.to_string())];
        let security = self.security.given().into_iter().map(|(flag, _, value)| (flag, value));
        flags.into_iter().chain(security).flat_map(|(flag, value)| [flag.to_owned(), value]).collect()
    }
}

/// Refuses an unusable connect string as an unusable flag, before anything is sent.
///
/// # Errors
///
/// What is wrong with it, and what is accepted.
pub fn servers(text: &str) -> Result<String, zk_session::Error> {
    ZooKeeper::builder(text).build().map(|_| text.to_owned())
}
