//! Tries to join a cluster until it is there or the time is over.

use std::net::SocketAddr;
use std::time::Duration;

use cli::output::{chain, complain};
use cluster::{Address, Answer, JoinError, Node, PATIENCE, join};
use tokio::net::lookup_host;
use tokio::time::{Instant, sleep, timeout};

use crate::output::brief;

/// Between two tries: soon enough for people who start two nodes, and seldom enough for who listens there.
const PAUSE: Duration = Duration::from_millis(250);

/// How long a name may take to be resolved when our own address is looked for. It is resolved again by each try.
const RESOLVED: Duration = Duration::from_secs(1);

/// Why a node did not join.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// Nobody but this node can be there.
    Alone,
    /// Nobody was reached who is in a cluster; why the last try failed.
    Unreached(String),
    /// A cluster is there, and another node has this one's id in it; why.
    IdTaken(String),
    /// A cluster is there and lets this node not in; why.
    Refused(String),
}

/// Whether this is where we listen, by another name perhaps.
pub(super) async fn is_own(there: &Address, at: SocketAddr) -> bool {
    let same = |one: SocketAddr| one.port() == at.port() && one.ip().to_canonical() == at.ip().to_canonical();
    match timeout(RESOLVED, lookup_host((there.host(), there.port()))).await {
        Ok(Ok(mut addresses)) => addresses.any(same),
        _ => false,
    }
}

/// Joins by the member at `there`, again and again for at most `wait`.
pub(super) async fn enter(me: &Node, there: &Address, wait: Duration) -> Result<Answer, Failed> {
    let end = Instant::now() + wait;
    let mut waits = false;
    loop {
        let rest = end.saturating_duration_since(Instant::now());
        let why = match join(me, there, rest.min(PATIENCE)).await {
            Ok(answer) => return Ok(answer),
            Err(error) => again(&error)?,
        };
        let rest = end.saturating_duration_since(Instant::now());
        if rest <= PAUSE {
            sleep(rest).await;
            return Err(Failed::Unreached(why));
        }
        if !std::mem::replace(&mut waits, true) {
            complain(&format!("no cluster at {there} yet: {why}; trying for {wait:?}"));
        }
        sleep(PAUSE).await;
    }
}

/// Why to try again, where that may help.
fn again(error: &JoinError) -> Result<String, Failed> {
    match error {
        JoinError::Ourselves => Err(Failed::Alone),
        // It is there: another master beside it would be a second cluster.
        JoinError::Refused { by, why } => Err(Failed::Refused(says(by, why))),
        JoinError::IdTaken { by, why } => Err(Failed::IdTaken(says(by, why))),
        other => Ok(chain(other)),
    }
}

fn says(by: &Node, why: &str) -> String {
    format!("{by} says: {}", brief(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tries_again_unless_somebody_decided() {
        let by = Node::new(7, "a:1".parse().unwrap()).unwrap();
        let refused = |why: &str| JoinError::Refused { by: by.clone(), why: why.to_owned() };
        let broken = std::io::Error::other("cut");
        for (error, next) in [
            (JoinError::Ourselves, Err(Failed::Alone)),
            (refused("a\x1b[2J"), Err(Failed::Refused("node 7 at a:1 says: a\\u{1b}[2J".to_owned()))),
            (
                JoinError::IdTaken { by: by.clone(), why: "x".to_owned() },
                Err(Failed::IdTaken("node 7 at a:1 says: x".to_owned())),
            ),
            (JoinError::Unreachable { source: broken }, Ok("no connection: cut".to_owned())),
            (
                JoinError::NotAMember { what: "x".to_owned() },
                Ok("what answers is no member of a cluster: x".to_owned()),
            ),
        ] {
            assert_eq!(again(&error), next);
        }
    }

    #[tokio::test]
    async fn our_own_address_is_known_by_each_of_its_names() {
        let at: SocketAddr = "127.0.0.1:8001".parse().unwrap();
        for (there, own) in [
            ("127.0.0.1:8001", true),
            ("[::ffff:127.0.0.1]:8001", true),
            ("127.0.0.1:8002", false),
            ("127.0.0.2:8001", false),
            ("[::1]:8001", false),
        ] {
            assert_eq!(is_own(&there.parse().unwrap(), at).await, own, "{there}");
        }
    }
}
