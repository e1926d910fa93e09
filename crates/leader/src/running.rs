//! Work that is done only while leading.

use crate::{Candidacy, Error, Leadership};

impl Candidacy {
    /// Runs `body` whenever this process leads, until it returns a value; then resigns and gives the value.
    ///
    /// When the leadership is lost the body is dropped, at whatever await it is, and `body` is called again when the next
    /// one is won. So it has to be safe to drop at any await and to run again, and to look how far the one before it came, in this or in
    /// another process.
    ///
    /// A body that returns is done, whatever [`Leadership::holds`] said: one that only leads no more does not return but waits, for
    /// `std::future::pending()`, and is dropped.
    ///
    /// Dropping takes effect at the body's next await, and what it has begun elsewhere goes on: ask [`Leadership::holds`]
    /// before each act, and send the [term](Leadership::term) along. A body that blocks its thread cannot be dropped.
    ///
    /// # Errors
    ///
    /// As [`elected`](Self::elected), when this process will lead no more, also because the body gave its leadership up: its value
    /// is lost then, unless it returns at once.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the body is dropped first, then we resign in the background.
    ///
    /// # Examples
    ///
    /// ```
    /// use leader::Election;
    /// use proto::{NodeData, Root, ServiceName};
    /// use zk_session::Keeper;
    /// use zk_session::fake::FakeZk;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let zk = FakeZk::default();
    /// let keeper = Keeper::start(zk.client());
    /// let election = Election::new(keeper.sessions(), Root::default());
    ///
    /// let candidacy = election.campaign(&ServiceName::parse("nightly")?, NodeData::behind_broker("worker-1"))?;
    /// let term = candidacy.run_while_leader(|leadership| async move { leadership.term() }).await?;
    /// println!("done in term {term}");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn run_while_leader<T, Fut>(self, mut body: impl FnMut(Leadership) -> Fut) -> Result<T, Error>
    where
        Fut: Future<Output = T>,
    {
        loop {
            let leadership = self.elected().await?;
            let outcome = tokio::select! {
                biased;
                _ = leadership.lost() => None,
                value = body(leadership.clone()) => Some(value),
            };
            if let Some(value) = outcome {
                self.resign().await;
                return Ok(value);
            }
        }
    }
}
