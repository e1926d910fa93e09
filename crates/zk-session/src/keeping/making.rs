//! How our node is made where it is not, or in the place of what is there.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::warn;

use super::Keeping;
use crate::presence::Name;
use crate::{Error, Kind, Link, Node, Op};

/// What became of a try to make the node.
pub(super) enum Made {
    /// It is made, and its directory is watched.
    Watched,
    /// It is made; it has to be looked at to watch it.
    Unwatched,
    /// Something is in the way: look.
    NotYet,
}

impl Keeping {
    /// Whether the node can be made without a look before: nothing of ours is in this session yet, and if somebody else's is
    /// there, or one of an earlier session, it cannot be made.
    pub(super) fn may_make_first(&self, link: &Link) -> bool {
        matches!(self.place.name, Name::Own(_)) && self.tried_in != Some(link.id())
    }

    /// What is to be in the node that is made on this connection right now; `None` when it is to go.
    pub(super) fn try_now(&mut self, link: &Link) -> Option<Arc<[u8]>> {
        let data = self.wants.try_now()?;
        self.tried_in = Some(link.id());
        Some(data)
    }

    pub(super) async fn create(&mut self, link: &Link, crowded: bool) -> Result<Made, Error> {
        if self.wants.is_news() {
            return Ok(Made::NotYet);
        }
        // Before it is asked for the last time what is wanted, so that nothing was tried where this fails.
        link.ensure(&self.place.directory, self.place.parents).await?;
        let Some(data) = self.try_now(link) else { return Ok(Made::NotYet) };
        let path = &self.place.path;
        let kind = match &self.place.name {
            Name::Own(_) if crowded => {
                let made = link.create_soon(path, data.to_vec()).await;
                return self.made(link, made.map(|()| (self.place.path.clone(), None)));
            }
            Name::Own(_) | Name::Contended(_) => Kind::Ephemeral,
            Name::Sequential(_) => {
                // Until there is an answer: this may be dropped before.
                self.unsure = true;
                Kind::EphemeralSequential
            }
        };
        let made = link.create(path, &data, kind).await;
        self.made(link, made.map(|created| (created.path.into(), Some(created.stat.czxid))))
    }

    fn made(&mut self, link: &Link, made: Result<(Arc<str>, Option<i64>), Error>) -> Result<Made, Error> {
        self.unsure &= matches!(made, Err(Error::Interrupted));
        match made {
            Ok((path, czxid)) => {
                self.held(link, path, czxid);
                Ok(if czxid.is_none() { Made::Watched } else { Made::Unwatched })
            }
            Err(Error::NodeExists) => Ok(Made::NotYet),
            Err(Error::NoNode) => {
                link.forget(&self.place.directory);
                Ok(Made::NotYet)
            }
            Err(error) => Err(error),
        }
    }

    /// Both steps at once: between them the other side would see its node gone and restore it.
    pub(super) async fn replace(
        &mut self,
        link: &Link,
        path: String,
        node: &Node,
        version: i32,
    ) -> Result<(), Error> {
        let Some(data) = self.try_now(link) else {
            // What is there may be an earlier session's of ours, and to be taken away.
            self.wants.found();
            return Ok(());
        };
        if node.stat.owner.is_none() {
            warn!(path, "a node that no session owns is where ours should be; it is replaced");
            self.replaced_ownerless = Some(Instant::now());
        }
        let ops = [
            Op::Delete { path: path.clone(), version: Some(version) },
            Op::Create { path: path.clone(), data: data.to_vec(), kind: Kind::Ephemeral },
        ];
        match link.commit(&ops).await {
            Ok(()) => Ok(()),
            Err(Error::Aborted { source, .. }) => match *source {
                // Somebody was faster: look again.
                Error::NoNode | Error::BadVersion | Error::NodeExists => Ok(()),
                Error::Children => Err(Error::Rejected {
                    what: format!("cannot replace the node at {path}: it has children"),
                }),
                error => Err(error),
            },
            Err(error) => Err(error),
        }
    }
}
