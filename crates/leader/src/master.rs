//! Who leads, as everybody else sees it.

use std::collections::HashSet;

use proto::NodeData;
use proto::path::{join, split_candidate};
use zk_session::{Link, Stat};

use crate::Term;
use crate::turn::in_line;

/// The candidate that leads: the first in the line.
///
/// Whether it knows, and believes, that it leads, nobody but itself can tell: it acts only while its lease holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Master {
    /// Under which id it stands.
    pub id: String,
    /// Its fencing token.
    pub term: Term,
    /// What it says about itself, or why that cannot be read.
    pub data: Result<NodeData, String>,
    /// Where its node is.
    pub path: String,
    /// When its node was made, in Unix milliseconds of a ZooKeeper server's clock. It has stood for election since then; when
    /// its turn came is not stored.
    pub stands_since: u64,
}

impl Master {
    fn new(path: String, stat: &Stat, data: Result<NodeData, String>) -> Self {
        let name = path.rsplit('/').next().unwrap_or(&path);
        let id = split_candidate(name).map_or(name, |(id, _)| id).to_owned();
        Self { id, term: Term(stat.czxid), data, stands_since: stat.created_at, path }
    }
}

/// The first of `names` that can lead, read anew: one that is gone is taken out, and one that no session owns is passed over.
pub(crate) async fn first_of(
    link: &Link,
    directory: &str,
    names: &mut HashSet<String>,
) -> Result<Option<Master>, zk_session::Error> {
    let line: Vec<_> = in_line(&*names).into_iter().cloned().collect();
    for name in line {
        let path = join(directory, &name);
        match link.get(&path).await {
            Ok(None) => {
                names.remove(&name);
            }
            Ok(Some(node)) if node.stat.owner.is_none() => {}
            Ok(Some(node)) => {
                let data = proto::decode(&node.data).map_err(|error| error.to_string());
                return Ok(Some(Master::new(path, &node.stat, data)));
            }
            Err(refusal @ zk_session::Error::Rejected { .. }) => {
                // What it says is secret, that it stands there is not: its place counts.
                return match link.exists(&path).await? {
                    Some(stat) => Ok(Some(Master::new(path, &stat, Err(refusal.to_string())))),
                    None => Err(zk_session::Error::NoNode),
                };
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// The names in the line. A directory that is not there has none, if its chroot is.
pub(crate) async fn names(link: &Link, directory: &str) -> Result<HashSet<String>, zk_session::Error> {
    match link.children(directory).await {
        Err(zk_session::Error::NoNode) => {
            link.check_chroot().await?;
            Ok(HashSet::new())
        }
        names => Ok(names?.into_iter().collect()),
    }
}
