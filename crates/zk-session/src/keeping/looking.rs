//! Where our node is, if it is anywhere.

use std::time::Duration;

use futures::FutureExt;
use tokio::time::sleep;

use super::{Keeping, Place, gone};
use crate::claim::{sequence, sort_out};
use crate::path::child;
use crate::presence::Name;
use crate::{Changed, Error, Link, Node, Stat, What};

/// How long until somebody else's node that we may not read is looked at again.
const UNREADABLE_PAUSE: Duration = Duration::from_secs(1);

/// What was found at our path, and a watch that tells when that is not true any more.
pub(super) type Look = (Option<(String, Node)>, Changed);

impl Keeping {
    /// What is at our path now.
    pub(super) async fn look(&mut self, link: &Link, crowded: bool) -> Result<Look, Error> {
        let Place { directory, path, name, .. } = &self.place;
        match name {
            Name::Own(_) => {
                // Most likely nothing is there, and making the node will tell.
                let first = self.may_make_first(link);
                if crowded {
                    let changed = link.watch_among(directory, path).await?;
                    let node = if first { None } else { link.get_soon(path).await? };
                    return Ok((node.map(|node| (path.to_string(), node)), changed));
                }
                if first {
                    return Ok((None, Changed::new(std::future::pending())));
                }
                watched(link, path.to_string()).await
            }
            Name::Contended(_) => watched_or_seen(link, path.to_string()).await,
            Name::Sequential(_) if !self.wants.was_tried() => {
                Ok((None, Changed::new(std::future::pending())))
            }
            Name::Sequential(_) => self.look_by_prefix(link).await,
        }
    }

    /// A sequential node is where it was. Only when an answer was lost it has to be looked for among all that bear its prefix, which
    /// may be many and others'.
    pub(super) async fn look_by_prefix(&mut self, link: &Link) -> Result<Look, Error> {
        if let Some((last, _)) = self.last.clone() {
            let (there, changed) = watched(link, last.to_string()).await?;
            let owner = there.as_ref().and_then(|(_, node)| node.stat.owner);
            match there {
                Some(_) if owner == Some(link.id()) => return Ok((there, changed)),
                // An earlier session's, which vanishes some time.
                Some((path, _)) if owner.is_some_and(|owner| link.ours().contain(owner)) => {
                    self.surplus(link, &path).await?;
                }
                _ => {}
            }
        }
        if self.unsure {
            let (mine, surplus) = self.named_like_ours(link).await?;
            for path in surplus {
                self.surplus(link, &path).await?;
            }
            if let Some((path, _)) = mine {
                // Until it is held it is not known where it is: the connection may go before.
                return watched(link, path).await;
            }
            self.unsure = false;
        }
        Ok((None, Changed::new(std::future::pending())))
    }

    /// Takes away what bears our prefix and is not the node that we keep.
    pub(super) async fn surplus(&self, link: &Link, path: &str) -> Result<(), Error> {
        self.enlisted.give_up(path);
        gone(link.delete(path, None).await)
    }

    async fn named_like_ours(&self, link: &Link) -> Result<(Option<(String, Node)>, Vec<String>), Error> {
        let Name::Sequential(prefix) = &self.place.name else { return Ok((None, Vec::new())) };
        let names = match link.children(&self.place.directory).await {
            Err(Error::NoNode) => Vec::new(),
            names => names?,
        };
        let numbered: Vec<_> =
            names.iter().filter_map(|name| Some((sequence(name, prefix)?, name))).collect();
        let paths: Vec<_> = numbered.iter().map(|(_, name)| child(&self.place.directory, name)).collect();
        let nodes = link.get_many(&paths).await?;
        let named = numbered.into_iter().zip(paths).zip(nodes);
        // What we may not read is somebody else's.
        let there = named.filter_map(|(((sequence, _), path), node)| Some((sequence, path, node.ok()??)));
        let there = there.collect();
        Ok(sort_out(there, link.ours()))
    }
}

async fn watched(link: &Link, path: String) -> Result<Look, Error> {
    let (node, changed) = link.watch_node(&path).await?;
    Ok((node.map(|node| (path, node)), changed))
}

/// The same for a node that others may have: it has to be known that it is there and not ours, and what it says has not. What we may not
/// read is not ours. Servers may not tell of its end either, so it is looked at again and again.
async fn watched_or_seen(link: &Link, path: String) -> Result<Look, Error> {
    match watched(link, path.clone()).await {
        Err(Error::Rejected { .. }) => {
            let unknown = Stat { czxid: 0, mzxid: 0, version: -1, created_at: 0, owner: None, children: 0 };
            let stat = match link.exists(&path).await {
                Err(Error::Rejected { .. }) => Some(unknown),
                stat => stat?,
            };
            let again = sleep(UNREADABLE_PAUSE).map(|()| Some(What::Changed));
            Ok((stat.map(|stat| (path, Node { data: Vec::new(), stat })), Changed::new(again)))
        }
        looked => looked,
    }
}
