//! Who is directly ahead of a candidate, and when they have gone.

use std::collections::HashSet;
use std::future::pending;

use tracing::warn;
use zk_session::{Changed, Error, Held, Link, What};

use crate::turn::{Turn, place, turn};

/// The one directly ahead of a candidate. Nobody else is watched, so that whoever goes wakes one.
pub(crate) struct Ahead {
    /// Their node.
    pub(crate) path: String,
    /// Whether nobody is ahead of them.
    pub(crate) leads: bool,
    changed: Changed,
}

/// The one directly ahead of the node that is `held`; `None` when that is the first. Where it is not listed itself this does not
/// return: whoever keeps it will tell.
pub(crate) async fn ahead_of(held: &Held, directory: &str) -> Result<Option<Ahead>, Error> {
    let own = held.path.rsplit('/').next().unwrap_or_default();
    if place(own).is_none() {
        return Err(Error::Rejected {
            what: format!("{directory} has run out of sequence numbers: delete it"),
        });
    }
    let mut passed_over = HashSet::new();
    let mut listed = held.link.children(directory).await?;
    loop {
        let (name, leads) = match turn(&listed, own, &passed_over) {
            Turn::Lead => return Ok(None),
            Turn::Absent => pending().await,
            Turn::Wait { ahead, leads } => (ahead.to_owned(), leads),
        };
        let path = proto::path::join(directory, &name);
        match held.link.watch_node(&path).await? {
            (None, _) => listed = held.link.children(directory).await?,
            (Some(node), _) if node.stat.owner.is_none() => {
                warn!(path, "a node that no session owns stands for election: it is passed over");
                passed_over.insert(name);
            }
            (Some(_), changed) => return Ok(Some(Ahead { path, leads, changed })),
        }
    }
}

impl Ahead {
    /// Waits until they have gone.
    pub(crate) async fn gone(self, link: &Link) -> Result<(), Error> {
        let mut changed = self.changed;
        loop {
            match changed.await {
                Some(What::Deleted) => return Ok(()),
                // They say something else about themselves: only the watch is set anew.
                Some(What::Created | What::Changed) => match link.watch_node(&self.path).await? {
                    (Some(_), next) => changed = next,
                    (None, _) => return Ok(()),
                },
                None => return Err(Error::Interrupted),
            }
        }
    }
}
