//! What is known of the children of a node.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use tracing::warn;

use crate::directory::Read;
use crate::path::{MAX_PATH, child};
use crate::rows::Rows;
use crate::view::{BadNode, Entries};
use crate::{Error, Node};

/// So many nodes that cannot be used are told of one by one, each time; of others, how many there are.
const TOLD: usize = 10;

/// Who is there, who is not any more, and what each says.
pub(crate) struct Roll<T> {
    path: String,
    read: Read<T>,
    hasher: RandomState,
    rows: Rows<T>,
    /// Who is there and may not be read, as a server says.
    refused: BTreeSet<Box<str>>,
    /// Who could be used, is not there, and may come back; still in `rows`.
    missing: BTreeSet<Box<str>>,
    /// How many can be used, whether there or missing.
    usable: usize,
    /// Who is there and cannot be used, with the reason: a list that shares, too, for a foreign program may write thousands.
    unusable: Rows<BadNode>,
    /// How many of those were found since all was last read out.
    found: usize,
}

/// One version of a node, and what it says.
pub(crate) struct Row<T> {
    pub(crate) name: Box<str>,
    pub(crate) version: Version,
    pub(crate) says: Says<T>,
}

/// The same version of the same node is read the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) czxid: i64,
    pub(crate) mzxid: i64,
    /// Transaction numbers are given again after ZooKeeper was set back to an older state, to other data perhaps.
    pub(crate) content: u64,
}

pub(crate) enum Says<T> {
    Good(Arc<T>),
    Hidden,
    Bad(Box<str>),
}

/// What a server says of a node, or why it does not.
pub(crate) type Answer = Result<Option<Node>, Refusal>;

/// Why a node that is there cannot be read, in words.
pub(crate) enum Refusal {
    /// A server refuses it, and may think better of it without a word.
    ByServer(String),
    /// It cannot be asked for, at any time: its path is longer than what we send.
    Forever(String),
}

/// What was read, if all of it was answered: what we know of a node is given up for an answer only.
pub(crate) fn answers(read: Vec<Result<Option<Node>, Error>>) -> Result<Vec<Answer>, Error> {
    let answer = |one| match one {
        Err(Error::Rejected { what }) => Ok(Err(Refusal::ByServer(what))),
        Err(Error::Invalid(what)) => Ok(Err(Refusal::Forever(what))),
        Err(error) => Err(error),
        Ok(node) => Ok(Ok(node)),
    };
    read.into_iter().map(answer).collect()
}

impl<T> Roll<T> {
    pub(crate) fn new(path: String, read: Read<T>) -> Self {
        let hasher = RandomState::new();
        Self {
            path,
            read,
            hasher,
            rows: Rows::new(),
            refused: BTreeSet::new(),
            missing: BTreeSet::new(),
            usable: 0,
            unusable: Rows::new(),
            found: 0,
        }
    }

    /// How many are there, usable or not.
    pub(crate) fn len(&self) -> usize {
        self.rows.len() - self.missing.len()
    }

    /// How many are there and can be used.
    pub(crate) fn usable(&self) -> usize {
        self.usable - self.missing.len()
    }

    /// Who is there, usable or not.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().map(|row| &*row.name).filter(|name| !self.missing.contains(*name))
    }

    /// Who is there and may not be read, as a server says.
    pub(crate) fn refused(&self) -> &BTreeSet<Box<str>> {
        &self.refused
    }

    /// How many could be used, are not there, and may come back.
    pub(crate) fn missing(&self) -> usize {
        self.missing.len()
    }

    /// Those who are missing do not come back.
    pub(crate) fn forget_missing(&mut self) {
        while let Some(name) = self.missing.pop_first() {
            self.remove(&name);
        }
    }

    /// Everybody who is there was listed.
    pub(crate) fn call(&mut self, is_there: impl Fn(&str) -> bool) {
        let lost: Vec<_> = self.names().filter(|name| !is_there(name)).map(str::to_owned).collect();
        lost.iter().for_each(|name| self.delete(name));
    }

    /// `name` was read. If it did not change since it was read last it is not parsed again.
    pub(crate) fn learn(&mut self, name: &str, answer: Answer) {
        match answer {
            Ok(Some(node)) => {
                self.refused.remove(name);
                let version = self.version(&node);
                if self.rows.get(name).is_some_and(|row| row.version == version) {
                    self.missing.remove(name);
                } else {
                    self.put(name, version, self.parse(name, &node));
                }
            }
            Ok(None) => self.delete(name),
            Err(refusal) => {
                let what = match refusal {
                    Refusal::ByServer(what) => {
                        self.refused.insert(name.into());
                        what
                    }
                    Refusal::Forever(what) => what,
                };
                let is_known = |row: &Row<T>| matches!(&row.says, Says::Bad(known) if **known == *what);
                if !self.rows.get(name).is_some_and(is_known) {
                    let version = Version { czxid: 0, mzxid: 0, content: 0 };
                    self.put(name, version, self.bad(name, what));
                }
            }
        }
    }

    /// `name` is not there any more.
    pub(crate) fn delete(&mut self, name: &str) {
        self.refused.remove(name);
        match self.rows.get(name).map(|row| &row.says) {
            Some(Says::Good(_)) => drop(self.missing.insert(name.into())),
            Some(Says::Hidden | Says::Bad(_)) => self.remove(name),
            None => {}
        }
    }

    /// All that can be used, whether there or missing, and all that cannot, in the order of the names.
    pub(crate) fn read_out(&mut self) -> (Entries<T>, Entries<BadNode>) {
        let more = std::mem::take(&mut self.found).saturating_sub(TOLD);
        if more > 0 {
            warn!(path = self.path, more, "more nodes cannot be used; the view has them all");
        }
        (self.rows.list(), self.unusable.list())
    }

    fn put(&mut self, name: &str, version: Version, says: Says<T>) {
        let is_good = matches!(says, Says::Good(_));
        let bad = match &says {
            Says::Good(_) | Says::Hidden => None,
            Says::Bad(reason) => {
                let (path, reason) = (child(&self.path, name), reason.to_string());
                let Version { czxid, mzxid, .. } = version;
                Some(Row {
                    name: name.into(),
                    version,
                    says: Says::Good(Arc::new(BadNode { path, reason, czxid, mzxid })),
                })
            }
        };
        let before = self.rows.put(Row { name: name.into(), version, says });
        self.gone(before);
        self.usable += usize::from(is_good);
        if let Some(bad) = bad {
            self.found += 1;
            self.unusable.put(bad);
        }
    }

    fn remove(&mut self, name: &str) {
        let before = self.rows.remove(name);
        self.gone(before);
    }

    /// Takes a row out of the counts that was taken out of the rows.
    fn gone(&mut self, row: Option<Row<T>>) {
        let Some(row) = row else { return };
        self.missing.remove(&row.name);
        match row.says {
            Says::Good(_) => self.usable -= 1,
            Says::Bad(_) => drop(self.unusable.remove(&row.name)),
            Says::Hidden => {}
        }
    }

    fn version(&self, node: &Node) -> Version {
        let content = self.hasher.hash_one((&node.data, node.stat.owner));
        Version { czxid: node.stat.czxid, mzxid: node.stat.mzxid, content }
    }

    fn parse(&self, name: &str, node: &Node) -> Says<T> {
        match (self.read)(name, node) {
            Ok(Some(entry)) => Says::Good(Arc::new(entry)),
            Ok(None) => Says::Hidden,
            Err(reason) => self.bad(name, reason),
        }
    }

    fn bad(&self, name: &str, reason: String) -> Says<T> {
        if self.found < TOLD {
            // Others can make it as long as a megabyte.
            let path: String = child(&self.path, name).chars().take(MAX_PATH).collect();
            warn!(path, reason, "a node cannot be used");
        }
        Says::Bad(reason.into())
    }

    pub(crate) fn paths(&self, names: &[String]) -> Vec<String> {
        names.iter().map(|name| child(&self.path, name)).collect()
    }
}

#[cfg(test)]
mod tests;
