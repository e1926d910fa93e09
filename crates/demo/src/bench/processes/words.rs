//! What a process of its own is started for, what it is asked, and what it tells; all of it as JSON.

use proto::ServiceName;
use serde::{Deserialize, Serialize};

use super::fingerprint::Fingerprint;
use super::memory::Memory;
use super::seen::Seen;

/// What a process says when it has begun to look.
pub(super) const BEGUN: &str = "begun";

/// What a process is started for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Role {
    /// Announces `each` instances of a service on each of so many sessions.
    Announce { connect: String, service: String, sessions: u32, each: u32 },
    /// Follows services, all of them on each of so many sessions.
    Follow { connect: String, services: Vec<String>, sessions: u32, consumer: Consumer },
    /// Follows one service over a session that the server gives up after so many milliseconds; whoever uses the list does not keep up.
    FollowSlowly { connect: String, service: String, session_ms: u64, consumer: Consumer },
    /// Follows one service by the bare client.
    FollowBare { connect: String, service: String },
    /// The same on each of so many sessions.
    CrowdBare { connect: String, service: String, sessions: u32 },
}

/// Who follows one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Registry,
    BareClient,
}

/// Who uses the lists of a follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Consumer {
    /// Somebody who looks at each that comes while it looks.
    Looks,
    /// Nobody looks before it is asked for.
    Away,
    /// A task that blocks its thread at the first list after [`Ask::Block`], until something else is asked for.
    Blocks,
}

/// What a process is asked. It tells once when it has begun to look, and once when it is so.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// Everything is there: lists have so many instances and are the truth, or all is registered.
    Whole { len: usize },
    /// All lists show this instance, or do not.
    Shows { id: String, there: bool },
    /// The lists have the instance that was written last and are, as a whole, what they should be.
    Equals { last: String, fingerprint: Fingerprint },
    /// The only list is this one and stays it.
    Settles { fingerprint: Fingerprint },
    /// The connections went, and everything is as it was again.
    Return,
    /// The next list blocks the consumer. It is so once that has happened.
    Block,
    /// All lists show these instances, which come one after the other and stay: when the last list did is told of each.
    Come { ids: Vec<String> },
    /// What is told of lists that were seen begins here.
    Mark,
    /// Nothing; only what the process is like now.
    State,
}

/// What a process tells.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Told {
    /// Nanoseconds by the [clock](super::now_ns) that all processes of the machine share.
    pub(crate) at: u64,
    pub(crate) memory: Memory,
    /// What the process has used of the processors up to now, without what it took to compare lists.
    pub(crate) cpu_us: u64,
    /// Sessions that are not those of the beginning.
    pub(crate) lost: usize,
    /// After how many milliseconds the server gives its sessions up; nothing of the bare client's.
    pub(crate) granted_ms: u64,
    /// How often a connection was made.
    pub(crate) connections: usize,
    /// What the consumer has seen.
    pub(crate) seen: Seen,
    /// When the last list showed each of those that were to come, in nanoseconds of the same clock.
    pub(crate) came: Vec<u64>,
}

impl Who {
    /// Follows `service`, and looks at every list.
    pub(crate) fn follows(self, connect: &str, service: &ServiceName) -> Role {
        let (connect, service) = (connect.to_owned(), service.to_string());
        match self {
            Self::Registry => {
                Role::Follow { connect, services: vec![service], sessions: 1, consumer: Consumer::Looks }
            }
            Self::BareClient => Role::FollowBare { connect, service },
        }
    }
}
