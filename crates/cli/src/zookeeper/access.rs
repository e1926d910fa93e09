//! Which servers of ZooKeeper, how they are reached, and for how long they keep a session.

use std::sync::OnceLock;
use std::time::Duration;

use clap::Args;
use zk_session::{Builder, Keeper, ZooKeeper};

use super::Security;
use super::variables::CONNECT;
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
        env = CONNECT,
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

    /// What was made of all that, with what stands in the files.
    #[arg(skip)]
    made: OnceLock<Builder>,
}

impl Default for Access {
    fn default() -> Self {
        Self::new(ZK.to_owned(), SESSION_MS, Security::default())
    }
}

impl Access {
    /// The longest session that is accepted, in milliseconds.
    pub const LONGEST_MS: u64 = 600_000;

    /// What such flags would say.
    pub fn new(zk: String, session_ms: u64, security: Security) -> Self {
        Self { zk, session_ms, security, made: OnceLock::new() }
    }

    /// Refuses what cannot be connected with, before anything is sent. What stands in the files by now is what counts, whatever becomes of
    /// them before a session is kept.
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

    /// The files are read by the first call alone.
    fn builder(&self) -> Result<Builder, Usage> {
        if let Some(made) = self.made.get() {
            return Ok(made.clone());
        }
        let timeout = Duration::from_millis(self.session_ms);
        let made = self.security.apply(ZooKeeper::builder(&self.zk).session_timeout(timeout))?;
        Ok(self.made.get_or_init(|| made).clone())
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

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, remove_file, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn a_file_that_was_read_is_not_asked_for_again() {
        let folder = tempfile::tempdir().unwrap();
        let login = folder.path().join("login");
        write(&login, "alice:hunter2\n").unwrap();
        set_permissions(&login, Permissions::from_mode(0o600)).unwrap();
        let security = Security { zk_digest_file: Some(login.clone()), ..Security::default() };
        let access = Access::new("127.0.0.1:9".to_owned(), 1_000, security);

        access.check().unwrap();
        remove_file(login).unwrap();
        assert!(access.security.apply(ZooKeeper::builder(&access.zk)).is_err(), "it is gone");
        access.keep().unwrap().close().await;
    }
}
