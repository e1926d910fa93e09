//! What this process kept and gave up: a server that was put back to an older state has it again, owned by a session of ours
//! that lives on, and nobody else may delete it.

use std::collections::{BTreeMap, HashMap};

use futures::future::join_all;
use tracing::{info, warn};

use crate::claim::OurSessions;
use crate::enlisted::Presences;
use crate::keeping::gone;
use crate::{Error, Link, Node};

/// How many paths are remembered. Each connection looks at them all, in a request for every hundred.
const MOST: usize = 1000;

/// The paths of nodes that were given up, the newest of them.
#[derive(Debug, Default)]
pub(crate) struct GivenUp {
    last: u64,
    numbers: HashMap<String, u64>,
    paths: BTreeMap<u64, String>,
    /// A person was told of a refusal.
    pub(crate) told: bool,
}

impl GivenUp {
    /// Remembers one; the oldest is forgotten where there are too many.
    pub(crate) fn add(&mut self, path: &str) {
        self.remove(path);
        self.last += 1;
        self.numbers.insert(path.to_owned(), self.last);
        self.paths.insert(self.last, path.to_owned());
        if self.paths.len() > MOST
            && let Some((_, oldest)) = self.paths.pop_first()
        {
            self.numbers.remove(&oldest);
        }
    }

    /// It is kept again.
    pub(crate) fn remove(&mut self, path: &str) {
        if !self.numbers.is_empty()
            && let Some(number) = self.numbers.remove(path)
        {
            self.paths.remove(&number);
        }
    }

    pub(crate) fn contains(&self, path: &str) -> bool {
        self.numbers.contains_key(path)
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &String> {
        self.paths.values()
    }
}

/// The version in which a node is to be deleted; `None` where nothing of ours is left over.
fn left_over(there: Option<&Node>, ours: &OurSessions, given_up: bool) -> Option<i32> {
    let node = there?;
    let ours = node.stat.owner.is_some_and(|owner| ours.contain(owner));
    (ours && given_up).then_some(node.stat.version)
}

/// Deletes what is back of what was given up. Nobody is kept from his own work by a refusal.
///
/// # Errors
///
/// [`Error::Interrupted`]: the next connection does it.
pub(crate) async fn clear(link: &Link, all: &Presences) -> Result<(), Error> {
    let paths = all.given_up();
    if paths.is_empty() {
        return Ok(());
    }
    let cleared = match look(link, &paths).await {
        Ok(nodes) => {
            join_all(paths.iter().zip(nodes).map(|(path, node)| delete(link, all, path, node))).await
        }
        Err(error) => vec![Err(error)],
    };
    for error in cleared.into_iter().filter_map(Result::err) {
        if matches!(error, Error::Interrupted) {
            return Err(error);
        }
        if all.is_first_refusal() {
            let error = &error as &dyn std::error::Error;
            warn!(error, "cannot see to it that nodes that were given up stay away");
        }
    }
    Ok(())
}

async fn look(link: &Link, paths: &[String]) -> Result<Vec<Result<Option<Node>, Error>>, Error> {
    link.catch_up().await?;
    link.get_many(paths).await
}

async fn delete(
    link: &Link,
    all: &Presences,
    path: &str,
    found: Result<Option<Node>, Error>,
) -> Result<(), Error> {
    let mut node = found?;
    while let Some(version) = left_over(node.as_ref(), link.ours(), all.is_given_up(path)) {
        info!(path, "a node that was given up is back; it is deleted again");
        match link.delete(path, Some(version)).await {
            // Somebody wrote into it: look again.
            Err(Error::BadVersion) => node = link.get(path).await?,
            deleted => return gone(deleted),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SessionId, Stat};

    const NOW: SessionId = SessionId(7);
    const EARLIER: SessionId = SessionId(6);
    const STRANGER: SessionId = SessionId(9);

    #[test]
    fn what_is_ours_and_was_given_up_is_left_over() {
        let ours = OurSessions { current: NOW, earlier: vec![EARLIER] };
        for (there, given_up, expected) in [
            (None, true, None),
            (Some(Some(NOW)), true, Some(3)),
            (Some(Some(NOW)), false, None),
            (Some(Some(EARLIER)), true, Some(3)),
            (Some(Some(EARLIER)), false, None),
            (Some(Some(STRANGER)), true, None),
            (Some(None), true, None),
        ] {
            let there = there.map(|owner| Node {
                data: Vec::new(),
                stat: Stat { czxid: 1, mzxid: 1, version: 3, created_at: 0, owner, children: 0 },
            });
            assert_eq!(left_over(there.as_ref(), &ours, given_up), expected, "{there:?} {given_up}");
        }
    }

    #[test]
    fn the_newest_are_remembered_each_once() {
        let mut given_up = GivenUp::default();
        for number in 0..MOST {
            given_up.add(&number.to_string());
        }
        given_up.add("0");
        given_up.add("new");
        assert_eq!(given_up.paths().count(), MOST);
        assert_eq!(given_up.paths().next().map(String::as_str), Some("2"), "1 was the oldest");
        given_up.remove("0");
        assert!(!given_up.paths().any(|path| path == "0"));
        assert_eq!((given_up.paths.len(), given_up.numbers.len()), (MOST - 1, MOST - 1));
    }
}
