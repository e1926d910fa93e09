//! Why a connection came to nothing, and how often that is told.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::{MessageError, Node, ReadError, Refusal};

/// What is told within [`SPAN`] at most: anybody can make us tell something.
const TOLD: u32 = 20;
const SPAN: Duration = Duration::from_secs(1);

/// A connection that made nobody a member.
#[derive(Debug)]
#[non_exhaustive]
pub struct Turned {
    /// Where it came from.
    pub peer: SocketAddr,
    /// Why.
    pub why: Trouble,
    /// So many were turned away before it that nobody was told of.
    pub untold: u64,
}

/// Why a connection made nobody a member.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// It sent no object and was hung up on, or had given up when its object was read.
    #[error(transparent)]
    Read(#[from] ReadError),

    /// It sent an object that is no request, and was hung up on.
    #[error(transparent)]
    NotARequest(#[from] MessageError),

    /// It was told that it may not join.
    #[error("{node} was refused: {why}")]
    Refused {
        /// Who asked, as it described itself.
        node: Node,
        /// Why not.
        why: Refusal,
    },

    /// It had said the least for the longest time when there were too many connections.
    #[error("it had waited longest of {open} connections, and no more are accepted at a time")]
    Crowded {
        /// So many were open.
        open: usize,
    },

    /// It is a member, but may not know that: the answer could not be sent.
    #[error("{node} may join, but could not be told so")]
    Unanswered {
        /// Who asked.
        node: Node,
        /// Why it could not be sent.
        #[source]
        source: io::Error,
    },
}

/// Counts what is told, and what is not told any more.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    since: Option<Instant>,
    told: u32,
    untold: u64,
}

impl Throttle {
    /// Whether to tell something now; then with how many were not told before it.
    pub(crate) fn tell(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.duration_since(since) >= SPAN) {
            self.since = Some(now);
            self.told = 0;
        }
        if self.told >= TOLD {
            self.untold += 1;
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.untold))
    }

    /// These were not told after all.
    pub(crate) fn not_told(&mut self, many: u64) {
        self.untold += many;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_in_part_and_the_rest_is_counted() {
        let mut throttle = Throttle::default();
        let begin = Instant::now();
        let told = (0..1_000).filter(|_| throttle.tell(begin) == Some(0)).count();
        assert_eq!(told, TOLD as usize);
        assert_eq!(throttle.tell(begin + SPAN - Duration::from_millis(1)), None);
        assert_eq!(throttle.tell(begin + SPAN), Some(1_001 - u64::from(TOLD)));
        throttle.not_told(3);
        assert_eq!(throttle.tell(begin + SPAN), Some(3));
        assert_eq!(throttle.tell(begin + SPAN), Some(0));
    }
}
