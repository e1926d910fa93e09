//! Who leads, as everybody else sees it.

use std::collections::HashSet;

use proto::NodeData;
use proto::path::{join, split_candidate};
use zk_session::{Link, Stat};

use crate::{Layout, Term};

/// The candidate that leads: the first in the line.
///
/// Whether it knows, and believes, that it leads, nobody but itself can tell: it acts only while its lease holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Master {
    /// Under which id it stands; `master` in the master/normal layout, which stores none.
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

/// Those who stand in a line, as they are listed.
#[derive(Debug)]
pub(crate) struct Listed {
    layout: Layout,
    names: HashSet<String>,
    /// Those that no session owns: they are passed over.
    ownerless: HashSet<String>,
}

impl Listed {
    /// Lists them. A directory that is not there has none, if its chroot is. Where one name alone can lead nothing is listed:
    /// whether it is there, reading it will tell.
    pub(crate) async fn of(link: &Link, layout: &Layout, directory: &str) -> Result<Self, zk_session::Error> {
        let names = match layout.only() {
            Some(only) if link.exists(directory).await?.is_some() => Ok(vec![only.to_owned()]),
            Some(_) => Err(zk_session::Error::NoNode),
            None => link.children(directory).await,
        };
        let names = match names {
            Err(zk_session::Error::NoNode) => {
                link.check_chroot().await?;
                Vec::new()
            }
            names => names?,
        };
        let layout = layout.clone();
        Ok(Self { layout, names: names.into_iter().collect(), ownerless: HashSet::new() })
    }

    pub(crate) fn add(&mut self, name: &str) {
        self.names.insert(name.to_owned());
        self.ownerless.remove(name);
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.names.remove(name);
        self.ownerless.remove(name);
    }

    /// The first that may lead, as far as is known.
    pub(crate) fn first(&self) -> Option<&String> {
        let counts = |name: &&String| !self.ownerless.contains(*name);
        let names = self.names.iter().filter(counts);
        let placed = names.filter_map(|name| Some((self.layout.place(name)?, name)));
        placed.min().map(|(_, name)| name)
    }

    /// Reads who leads. One that is gone is taken out, and one that no session owns is passed over from now on.
    pub(crate) async fn master(
        &mut self,
        link: &Link,
        directory: &str,
    ) -> Result<Option<Master>, zk_session::Error> {
        while let Some(name) = self.first().cloned() {
            let path = join(directory, &name);
            let (stat, data) = match link.get(&path).await {
                Ok(Some(node)) => {
                    let data = self.layout.decode(&node.data);
                    (Some(node.stat), data)
                }
                Ok(None) => (None, Err(String::new())),
                // What it says is secret, that it stands there is not: its place counts.
                Err(refusal @ zk_session::Error::Rejected { .. }) => {
                    (link.exists(&path).await?, Err(refusal.to_string()))
                }
                Err(error) => return Err(error),
            };
            match stat {
                Some(stat) if stat.owner.is_some() => return Ok(Some(Master::new(path, &stat, data))),
                Some(_) => {
                    self.ownerless.insert(name);
                }
                None => self.remove(&name),
            }
        }
        Ok(None)
    }
}
