//! Writes to ZooKeeper that count only while the writer leads.

use zk_session::{Link, MAX_OPS, Op};

use crate::{Error, Leadership, Lost};

impl Leadership {
    /// Does all of `ops` in ZooKeeper, or none, and only while our candidate's node is there: when somebody else could lead, it is
    /// gone. The check and the writes are one transaction, so no pause of this process can come between them. What is checked is the
    /// name: it is another node's only if the whole directory was deleted, and another process with our id came first in the new one.
    /// In the master/normal layout all have the same name. There it is our session that counts: a transaction of it proves that it
    /// lives, and our node lives with it unless somebody deleted that by hand.
    ///
    /// At most [`MAX_OPS`] less one. While there is no connection this waits for one, until the leadership is over.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] when this leadership is over, by its lease or because the node is gone; nothing was done.
    /// [`Error::Aborted`] names the operation that could not be done. [`Error::Interrupted`]: it may have happened.
    ///
    /// # Cancel safety
    ///
    /// A dropped call is not undone: it may still be executed.
    pub async fn commit(&self, ops: &[Op]) -> Result<(), Error> {
        if ops.len() >= MAX_OPS {
            return Err(Error::invalid(format_args!(
                "a fenced commit of {} operations: up to {} are accepted",
                ops.len(),
                MAX_OPS - 1
            )));
        }
        let link = tokio::select! {
            biased;
            lost = self.lost() => return Err(Error::Lost(lost)),
            link = self.connection() => link?,
        };
        let check = Op::Check { path: self.path().to_owned(), version: None };
        let fenced: Vec<_> = std::iter::once(check).chain(ops.iter().cloned()).collect();
        if !self.holds() {
            return Err(self.over());
        }
        match link.commit(&fenced).await {
            Err(zk_session::Error::Aborted { index: 0, source }) => match *source {
                zk_session::Error::NoNode => {
                    self.lose(Lost::NodeDeleted);
                    Err(self.over())
                }
                source => Err(source.into()),
            },
            Err(zk_session::Error::Aborted { index, source }) => {
                Err(Error::Aborted { index: index - 1, source: *source })
            }
            done => Ok(done?),
        }
    }

    /// The connection of our session.
    async fn connection(&self) -> Result<Link, Error> {
        match self.sessions().next().await {
            Some(link) if link.id() == self.session() => Ok(link),
            Some(_) => Err(Error::Lost(self.reason().unwrap_or(Lost::SessionEnded))),
            None => Err(Error::Lost(self.reason().unwrap_or(Lost::Closed))),
        }
    }

    fn over(&self) -> Error {
        Error::Lost(self.reason().unwrap_or(Lost::LeaseEnded))
    }
}
