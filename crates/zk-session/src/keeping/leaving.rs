//! How our node is taken away, and what is remembered of it.

use super::Keeping;
use crate::presence::Name;
use crate::{Error, Link, Stat};

impl Keeping {
    /// Deletes what is ours, also what an earlier session of ours left; never a stranger's.
    pub(super) async fn delete(&mut self, link: &Link) -> Result<(), Error> {
        if !self.wants.was_tried() {
            return Ok(());
        }
        if self.may_make_first(link) {
            // There was no need to before.
            link.catch_up().await?;
        }
        if matches!(self.place.name, Name::Sequential(_)) {
            if let Some((last, _)) = self.last.as_ref().filter(|(_, seen_on)| seen_on.is_same(link)) {
                // Whatever else bore our name was deleted before this one was told to be ours.
                return gone(link.delete(last, None).await);
            }
            if let (Some((path, _)), _) = self.look_by_prefix(link).await? {
                self.surplus(link, &path).await?;
            }
            return Ok(());
        }
        let path = &self.place.path;
        let contended = matches!(self.place.name, Name::Contended(_));
        loop {
            let there = match link.exists(path).await {
                // Ours we may read.
                Err(Error::Rejected { .. }) if contended => None,
                there => there?,
            };
            let ours = |stat: &Stat| stat.owner.is_some_and(|owner| link.ours().contain(owner));
            let Some(stat) = there.filter(ours) else { return Ok(()) };
            match link.delete(path, Some(stat.version)).await {
                Err(Error::BadVersion) => {}
                deleted => return gone(deleted),
            }
        }
    }

    /// Whatever may have been made is not wanted any more.
    pub(super) fn give_up(&self) {
        match &self.place.name {
            Name::Own(_) | Name::Contended(_) => {
                if self.wants.was_tried() {
                    self.enlisted.give_up(&self.place.path);
                }
            }
            Name::Sequential(_) => {
                if let Some((last, _)) = &self.last {
                    self.enlisted.give_up(last);
                }
            }
        }
    }
}

/// A node that is not there has been deleted.
pub(crate) fn gone(deleted: Result<(), Error>) -> Result<(), Error> {
    match deleted {
        Err(Error::NoNode) => Ok(()),
        deleted => deleted,
    }
}
