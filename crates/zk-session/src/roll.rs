//! What is known of the children of a node.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use tracing::warn;

use crate::directory::Read;
use crate::path::child;
use crate::view::{BadNode, Entries};
use crate::{Error, Node};

/// Who is there, who is not any more, and what each says.
pub(crate) struct Roll<T> {
    path: String,
    read: Read<T>,
    hasher: RandomState,
    /// What is there, by name.
    present: BTreeMap<String, Known<T>>,
    /// Which of them may not be read.
    refused: BTreeSet<String>,
    /// What was published, is not there, and may come back.
    missing: BTreeMap<String, Arc<T>>,
}

/// One version of a node, and what it says.
struct Known<T> {
    version: Version,
    says: Says<T>,
}

/// The same version of the same node is read the same.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Version {
    czxid: i64,
    mzxid: i64,
    /// Transaction numbers are given again after ZooKeeper was set back to an older state, to other data perhaps.
    content: u64,
}

enum Says<T> {
    Good(Arc<T>),
    Hidden,
    Bad(String),
}

/// What a server says of a node; in words, if it refuses to.
pub(crate) type Answer = Result<Option<Node>, String>;

/// What was read, if all of it was answered: what we know of a node is given up for an answer only.
pub(crate) fn answers(read: Vec<Result<Option<Node>, Error>>) -> Result<Vec<Answer>, Error> {
    let answer = |one| match one {
        Err(Error::Rejected { what }) => Ok(Err(what)),
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
            present: BTreeMap::new(),
            refused: BTreeSet::new(),
            missing: BTreeMap::new(),
        }
    }

    /// How many are there, usable or not.
    pub(crate) fn len(&self) -> usize {
        self.present.len()
    }

    /// Who is there, usable or not.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.present.keys()
    }

    /// Who is there and may not be read.
    pub(crate) fn refused(&self) -> &BTreeSet<String> {
        &self.refused
    }

    /// How many were published, are not there, and may come back.
    pub(crate) fn missing(&self) -> usize {
        self.missing.len()
    }

    /// Those who were missing do not come back.
    pub(crate) fn forget_missing(&mut self) {
        self.missing.clear();
    }

    /// Everybody who is there was read. What did not change since it was read last is not parsed again.
    pub(crate) fn call(&mut self, everybody: impl Iterator<Item = (String, Answer)>) {
        let mut before = std::mem::take(&mut self.present);
        self.refused.clear();
        for (name, answer) in everybody {
            let known = before.remove(&name);
            self.note(name, known, answer);
        }
        for (name, known) in before {
            self.lose(name, known);
        }
    }

    /// `name` was read again.
    pub(crate) fn learn(&mut self, name: String, answer: Answer) {
        let known = self.present.remove(&name);
        self.note(name, known, answer);
    }

    /// `name` was deleted.
    pub(crate) fn delete(&mut self, name: String) {
        self.refused.remove(&name);
        if let Some(known) = self.present.remove(&name) {
            self.lose(name, known);
        }
    }

    /// All that can be used, and all that cannot, in the order of the names.
    pub(crate) fn read_out(&self) -> (Vec<Arc<T>>, Vec<BadNode>) {
        // One pass: of many entries, walking over them is most of what a change costs.
        let (mut good, mut bad) = (Vec::with_capacity(self.present.len()), Vec::new());
        for (name, Known { version, says }) in &self.present {
            match says {
                Says::Good(entry) => good.push(entry.clone()),
                Says::Hidden => {}
                Says::Bad(reason) => bad.push(BadNode {
                    path: child(&self.path, name),
                    reason: reason.clone(),
                    czxid: version.czxid,
                    mzxid: version.mzxid,
                }),
            }
        }
        (good, bad)
    }

    /// All that is there and all that may come back, in the order of the names.
    pub(crate) fn with_missing(&self) -> Entries<T> {
        let good = self.present.iter().filter_map(|(name, known)| match &known.says {
            Says::Good(entry) => Some((name, entry)),
            Says::Hidden | Says::Bad(_) => None,
        });
        let all: BTreeMap<_, _> = good.chain(&self.missing).collect();
        all.into_values().cloned().collect()
    }

    /// Takes in what was read of `name`; `known` is what we knew of it, and is not in `present` any more.
    fn note(&mut self, name: String, known: Option<Known<T>>, answer: Answer) {
        match answer {
            Ok(_) => self.refused.remove(&name),
            Err(_) => self.refused.insert(name.clone()),
        };
        let now = match answer {
            Ok(Some(node)) => match known {
                Some(same) if same.version == self.version(&node) => same,
                _ => self.parse(&name, &node),
            },
            Ok(None) => {
                if let Some(known) = known {
                    self.lose(name, known);
                }
                return;
            }
            Err(what) => match known {
                Some(Known { says: Says::Bad(same), version }) if same == what => {
                    Known { says: Says::Bad(same), version }
                }
                _ => self.bad(&name, Version { czxid: 0, mzxid: 0, content: 0 }, what),
            },
        };
        self.missing.remove(&name);
        self.present.insert(name, now);
    }

    fn version(&self, node: &Node) -> Version {
        let content = self.hasher.hash_one((&node.data, node.stat.owner));
        Version { czxid: node.stat.czxid, mzxid: node.stat.mzxid, content }
    }

    fn parse(&self, name: &str, node: &Node) -> Known<T> {
        let version = self.version(node);
        match (self.read)(name, node) {
            Ok(Some(entry)) => Known { version, says: Says::Good(Arc::new(entry)) },
            Ok(None) => Known { version, says: Says::Hidden },
            Err(reason) => self.bad(name, version, reason),
        }
    }

    fn bad(&self, name: &str, version: Version, reason: String) -> Known<T> {
        warn!(path = child(&self.path, name), reason, "a node cannot be used");
        Known { version, says: Says::Bad(reason) }
    }

    fn lose(&mut self, name: String, known: Known<T>) {
        if let Says::Good(entry) = known.says {
            self.missing.insert(name, entry);
        }
    }

    /// The name of a direct child.
    pub(crate) fn child<'a>(&self, path: &'a str) -> Option<&'a str> {
        let name = path.strip_prefix(self.path.trim_end_matches('/'))?.strip_prefix('/')?;
        (!name.is_empty() && !name.contains('/')).then_some(name)
    }

    pub(crate) fn paths(&self, names: &[String]) -> Vec<String> {
        names.iter().map(|name| child(&self.path, name)).collect()
    }
}
