//! How long a gateway that has lost ZooKeeper itself is listened to, where there are others.

use std::time::Duration;

use tokio::time::Instant;

use super::gateways::Shared;
use crate::Source;

/// The longest time: when all of them are without ZooKeeper, whole lists are not to be fetched again and again.
const MOST: Duration = Duration::from_secs(300);

/// How long a stale list is borne; twice as long each time that another gateway has no better one.
#[derive(Debug)]
pub(super) struct Patience {
    has_others: bool,
    first: Duration,
    now: Duration,
    /// Since when the gateway of this stream has told a list that is stale.
    since: Option<Instant>,
}

impl Patience {
    pub(super) fn new(shared: &Shared) -> Self {
        let first = shared.answer;
        Self { has_others: shared.gateways.len() > 1, first, now: first, since: None }
    }

    /// A stream begins, with what its gateway has told already.
    pub(super) fn begins(&mut self, source: Option<Source>) {
        self.since = None;
        if let Some(source) = source {
            self.told(source);
        }
    }

    /// The gateway told a list.
    pub(super) fn told(&mut self, source: Source) {
        match source {
            Source::Live => (self.since, self.now) = (None, self.first),
            Source::Stale { .. } => self.since = self.since.or_else(|| Some(Instant::now())),
        }
    }

    /// When the next gateway is to be asked.
    pub(super) fn ends(&self) -> Option<Instant> {
        self.since.filter(|_| self.has_others).map(|since| since + self.now)
    }

    /// It is.
    pub(super) fn ended(&mut self) {
        self.now = (self.now * 2).min(MOST);
    }
}
