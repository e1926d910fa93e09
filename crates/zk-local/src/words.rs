//! The four-letter words: questions that a server answers without a session.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error::{Error, cannot};

/// Asks the server at `address` a four-letter word and returns its whole answer.
pub(crate) async fn ask(address: SocketAddr, word: &str, limit: Duration) -> Result<String, Error> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(word.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    match timeout(limit, exchange).await {
        Ok(answer) => {
            answer.map_err(cannot::<std::io::Error>(format!("ask {word} of the server at {address}")))
        }
        Err(_) => Err(Error::TimedOut { awaited: format!("the answer of {address} to {word}"), limit }),
    }
}

/// What a server is at the moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Role {
    /// It is alone.
    Standalone,
    /// It leads its ensemble.
    Leader,
    /// It follows the leader of its ensemble.
    Follower,
    /// It runs, but has no ensemble to serve with.
    Searching,
}

/// Reads the answer to `srvr`.
pub(crate) fn role(answer: &str) -> Role {
    match answer.lines().find_map(|line| line.strip_prefix("Mode: ")) {
        Some("standalone") => Role::Standalone,
        Some("leader") => Role::Leader,
        Some("follower") => Role::Follower,
        _ => Role::Searching,
    }
}

/// What the server at `address` says it is, where it says so in this time: one that is paused must hold nobody up.
pub(crate) async fn role_within(address: SocketAddr, patience: Duration) -> Option<Role> {
    ask(address, "srvr", patience).await.ok().as_deref().map(role)
}

/// Reads the answer to `mntr`: a name, a tab and a value per line.
pub(crate) fn figures(answer: &str) -> BTreeMap<String, String> {
    let pairs = answer.lines().filter_map(|line| line.split_once('\t'));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect()
}

/// Whether an answer to `conf` comes from the server whose data are in `data`, and says that it serves.
///
/// A stranger may have taken the port in the moment before our server could; its `ruok` is no proof.
pub(crate) fn serves(answer: &str, data: &str) -> bool {
    answer
        .lines()
        .filter_map(|line| line.strip_prefix("dataDir="))
        .any(|at| at.strip_prefix(data).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_line_gives_the_role_and_its_absence_means_searching() {
        assert_eq!(role("Zookeeper version: 3.8.0\nMode: leader\nNode count: 5\n"), Role::Leader);
        assert_eq!(role("Mode: follower"), Role::Follower);
        assert_eq!(role("Mode: standalone\n"), Role::Standalone);
        assert_eq!(role("This ZooKeeper instance is not currently serving requests"), Role::Searching);
    }

    #[test]
    fn figures_are_name_and_value_and_lines_without_a_tab_are_passed_over() {
        let figures = figures("zk_server_state\tstandalone\nnonsense\nzk_znode_count\t5\n");
        assert_eq!(figures.len(), 2);
        assert_eq!(figures["zk_znode_count"], "5");
    }

    #[test]
    fn only_the_server_with_our_data_serves_us() {
        let answer = "clientPort=17171\ndataDir=/tmp/a/data/version-2\ndataDirSize=457\n";
        assert!(serves(answer, "/tmp/a/data"));
        assert!(!serves(answer, "/tmp/b/data"));
        assert!(!serves(answer, "/tmp/a/dat"));
        assert!(!serves("This ZooKeeper instance is not currently serving requests", "/tmp/a/data"));
    }
}
