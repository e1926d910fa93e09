//! Waiting for somebody while nobody is registered.

use std::time::Duration;

use anyhow::bail;
use cli::output::complain;
use loadbalance::{Balancer, PickError};
use proto::ServiceName;
use tokio::time::{Instant, timeout_at};
use zk_session::Sessions;

use crate::connection::{Connection, problem};

/// Those who may be asked, from list to list.
pub(super) struct Somebody<'a> {
    pub(super) balancer: &'a Balancer,
    pub(super) service: &'a ServiceName,
    pub(super) connection: &'a Connection,
    pub(super) sessions: &'a Sessions,
    /// How long the first one may be waited for; as long as it takes unless given.
    pub(super) first: Option<Limit>,
}

/// So long from a moment on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    wait: Duration,
    until: Instant,
}

impl Limit {
    pub(super) fn from_now(wait: Duration) -> Self {
        Self { wait, until: Instant::now() + wait }
    }
}

impl Somebody<'_> {
    /// What `look` finds. While that is an empty list this waits for another one, and says so once; whoever is on a list and may
    /// not be picked is not waited for.
    ///
    /// `before`: whether somebody was there before, to be told that one is back. Then it is waited for as long as it takes.
    ///
    /// # Errors
    ///
    /// When there will be no other list, or nobody was on one in time.
    pub(super) async fn listed<T>(
        &self,
        before: bool,
        look: impl Fn() -> Result<T, PickError>,
    ) -> anyhow::Result<Result<T, PickError>> {
        let mut found = look();
        if is_listed(&found) {
            return Ok(found);
        }
        let place = self.connection.place(self.service);
        let limit = self.first.filter(|_| !before);
        let end =
            limit.map_or("Ctrl-C ends that".to_owned(), |Limit { wait, .. }| format!("{wait:?} at most"));
        let why = problem(self.sessions);
        complain(&format!("nobody is registered {place}: requests wait until somebody is, {end}{why}"));
        let somebody = |_: &_| {
            found = look();
            is_listed(&found)
        };
        let there = self.balancer.wait_for(somebody);
        match limit {
            None => drop(there.await?),
            Some(Limit { wait, until }) => match timeout_at(until, there).await {
                Ok(there) => drop(there?),
                Err(_) => bail!(
                    "nobody is registered {place} within {wait:?}{}\n\n  tip: demo nodes lists what there is; --service, --root and --layout say where to look",
                    problem(self.sessions)
                ),
            },
        }
        let arrived = if before { "back" } else { "there" };
        complain(&format!("somebody is {arrived}, registered {place}: requests go on"));
        Ok(found)
    }
}

fn is_listed<T>(found: &Result<T, PickError>) -> bool {
    !matches!(found, Err(PickError::Empty))
}
