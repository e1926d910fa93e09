//! The directories that nodes are made in.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::{Error, Kind, Session};

/// How long it counts for all who make something in a directory that it may not be made: each of them tries again by itself, and they may be
/// thousands. That one of them may not make its own node says nothing of the others: a quota can be left for those.
const REFUSAL_COUNTS: Duration = Duration::from_millis(200);

/// What is known of a directory on one connection.
#[derive(Debug, Default)]
pub(crate) struct Parent {
    /// That it is there.
    made: OnceCell<()>,
    /// That it may not be made, and since when.
    refused: Mutex<Option<(Instant, Error)>>,
}

impl Parent {
    /// Makes sure that it is there, and all above it, as nodes of `kind`, unless that was refused a moment ago.
    pub(crate) async fn ensure(
        &self,
        session: &dyn Session,
        directory: &str,
        kind: Kind,
    ) -> Result<(), Error> {
        let make = async || {
            // Another one may have asked while this one waited for its turn.
            self.check()?;
            let made = make(session, directory, kind).await;
            if let Err(why @ Error::Rejected { .. }) = &made {
                *self.refusal() = Some((Instant::now(), why.clone()));
            }
            made
        };
        self.made.get_or_try_init(make).await.map(|_| ())
    }

    fn check(&self) -> Result<(), Error> {
        match &*self.refusal() {
            Some((at, why)) if at.elapsed() < REFUSAL_COUNTS => Err(why.clone()),
            _ => Ok(()),
        }
    }

    fn refusal(&self) -> MutexGuard<'_, Option<(Instant, Error)>> {
        // Every change of it is a single write.
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks before it creates: who may not create here may still find that all is there, and a try that is refused is
/// one create, however much is missing.
async fn make(session: &dyn Session, directory: &str, kind: Kind) -> Result<(), Error> {
    let below_nothing = |path: &str| Error::Rejected {
        what: format!("cannot create {path}: {}", no_chroot(session.chroot())),
    };
    if directory == "/" && session.exists(directory).await?.is_none() {
        return Err(below_nothing("anything"));
    }
    let mut missing = Vec::new();
    let mut next = directory;
    while !matches!(next, "" | "/") && session.exists(next).await?.is_none() {
        missing.push(next);
        next = next.rfind('/').map_or("", |end| &next[..end]);
    }
    let at_the_top = next.is_empty();
    for (index, path) in missing.into_iter().rev().enumerate() {
        match session.create(path, b"", kind).await {
            Ok(_) | Err(Error::NodeExists) => {}
            Err(Error::NoNode) if at_the_top && index == 0 => {
                return Err(below_nothing(path));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// That a chroot is not there, and how an operator makes it; `zkCli.sh` makes one node at a time.
pub(crate) fn no_chroot(chroot: &str) -> String {
    let above = chroot.match_indices('/').skip(1).map(|(end, _)| &chroot[..end]);
    let steps: Vec<_> = above.chain([chroot]).map(|path| format!("`create {path}`")).collect();
    let steps = steps.join(", then ");
    format!("the chroot {chroot} of the connect string does not exist: make it once, by {steps} in zkCli.sh")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_misses_a_chroot_is_told_each_node_that_has_to_be_made() {
        for (chroot, steps) in [
            ("/payments", "`create /payments`"),
            ("/app/one/two", "`create /app`, then `create /app/one`, then `create /app/one/two`"),
        ] {
            let told = no_chroot(chroot);
            let begin = format!("the chroot {chroot} of the connect string does not exist: ");
            assert_eq!(told, format!("{begin}make it once, by {steps} in zkCli.sh"));
        }
    }
}
