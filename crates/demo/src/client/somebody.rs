//! Waiting for somebody while nobody is registered.

use cli::output::complain;
use loadbalance::{Balancer, PickError};
use proto::ServiceName;
use zk_session::Sessions;

use crate::connection::{Connection, problem};

/// Those who may be asked, from list to list.
pub(super) struct Somebody<'a> {
    pub(super) balancer: &'a Balancer,
    pub(super) service: &'a ServiceName,
    pub(super) connection: &'a Connection,
    pub(super) sessions: &'a Sessions,
}

impl Somebody<'_> {
    /// What `look` finds. While that is an empty list this waits for another one, and says so once; whoever is on a list and may
    /// not be picked is not waited for.
    ///
    /// `before`: whether somebody was there before, to be told that one is back.
    ///
    /// # Errors
    ///
    /// When there will be no other list.
    pub(super) async fn listed<T>(
        &self,
        before: bool,
        look: impl Fn() -> Result<T, PickError>,
    ) -> Result<Result<T, PickError>, PickError> {
        let mut found = look();
        if is_listed(&found) {
            return Ok(found);
        }
        let (place, why) = (self.connection.place(self.service), problem(self.sessions));
        complain(&format!(
            "nobody is registered {place}: requests wait until somebody is, Ctrl-C ends that{why}"
        ));
        let somebody = |_: &_| {
            found = look();
            is_listed(&found)
        };
        self.balancer.wait_for(somebody).await?;
        let arrived = if before { "back" } else { "there" };
        complain(&format!("somebody is {arrived}, registered {place}: requests go on"));
        Ok(found)
    }
}

fn is_listed<T>(found: &Result<T, PickError>) -> bool {
    !matches!(found, Err(PickError::Empty))
}
