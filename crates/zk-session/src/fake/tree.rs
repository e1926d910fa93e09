//! The nodes, and what a transaction does to them. Knows no sessions, connections or time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::{Change, Created, Error, Kind, Node, Op, SessionId, Stat, What};

/// All nodes by path, with the counters that ZooKeeper keeps.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    // Children are found by their parent's prefix: an entry stays small, so that a transaction can put it back.
    entries: BTreeMap<String, Entry>,
    ephemerals: BTreeMap<SessionId, BTreeSet<String>>,
    zxid: i64,
}

#[derive(Clone, Debug)]
struct Entry {
    data: Arc<[u8]>,
    stat: Stat,
    container: bool,
    /// Children ever made here: the next sequence. Deletions do not count, so none is given twice.
    made: u32,
}

/// Who writes: which session, when, and where it may not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Author<'a> {
    pub(super) session: SessionId,
    /// In Unix milliseconds.
    pub(super) at: u64,
    pub(super) writes_refused: &'a BTreeSet<String>,
    pub(super) reads_refused: &'a BTreeSet<String>,
}

/// What one operation did.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Checked,
    Created(Created),
    Set(Stat),
    Deleted,
}

/// All that a transaction did.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) outcomes: Vec<Outcome>,
    pub(super) changes: Vec<Change>,
}

/// Which operation stopped a transaction, and why.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) index: usize,
    pub(super) error: Error,
}

impl Default for Tree {
    fn default() -> Self {
        let mut tree = Self { entries: BTreeMap::new(), ephemerals: BTreeMap::new(), zxid: 0 };
        for (path, children) in
            [("/", 1), ("/zookeeper", 2), ("/zookeeper/config", 0), ("/zookeeper/quota", 0)]
        {
            let stat = Stat { czxid: 0, mzxid: 0, version: 0, created_at: 0, owner: None, children };
            let entry = Entry { data: Arc::default(), stat, container: false, made: 0 };
            tree.entries.insert(path.to_owned(), entry);
        }
        tree
    }
}

impl Tree {
    pub(super) fn get(&self, path: &str) -> Option<Node> {
        let entry = self.entries.get(path)?;
        Some(Node { data: entry.data.to_vec(), stat: entry.stat })
    }

    pub(super) fn stat(&self, path: &str) -> Option<Stat> {
        self.entries.get(path).map(|entry| entry.stat)
    }

    /// The names of the children, in order; `None` when there is no such node.
    pub(super) fn children(&self, path: &str) -> Option<Vec<String>> {
        let count = self.entries.get(path)?.stat.children;
        let below = below(path);
        let names = self
            .entries
            .range(below.clone()..)
            .map_while(|(path, _)| path.strip_prefix(&below))
            .filter(|name| !name.is_empty() && !name.contains('/'))
            .take(count);
        Some(names.map(str::to_owned).collect())
    }

    /// `path` and all below it, the deepest first: the order in which they can be deleted.
    pub(super) fn descendants(&self, path: &str) -> Vec<String> {
        let below = below(path);
        let deeper = self.entries.range(below.clone()..).map(|(path, _)| path);
        let mut all: Vec<String> = deeper.take_while(|path| path.starts_with(&below)).cloned().collect();
        if self.entries.contains_key(path) {
            all.insert(0, path.to_owned());
        }
        all.reverse();
        all
    }

    /// Containers that had children and have none now.
    pub(super) fn empty_containers(&self) -> Vec<String> {
        let empty = |entry: &Entry| entry.container && entry.made > 0 && entry.stat.children == 0;
        self.entries.iter().filter(|(_, entry)| empty(entry)).map(|(path, _)| path.clone()).collect()
    }

    pub(super) fn ephemerals(&self, owner: SessionId) -> Vec<String> {
        self.ephemerals.get(&owner).into_iter().flatten().cloned().collect()
    }

    pub(super) fn set_sequence(&mut self, directory: &str, next: u32) {
        if let Some(entry) = self.entries.get_mut(directory) {
            entry.made = next;
        }
    }

    /// Counts a transaction that touches no node, like the start of a session.
    pub(super) fn count(&mut self) {
        self.zxid += 1;
    }

    /// Does all of `ops` under one transaction id, or none.
    pub(super) fn write(&mut self, ops: &[Op], author: Author<'_>) -> Result<Done, Failed> {
        // A transaction that fails uses up its number as well.
        self.zxid += 1;
        let mut transaction = Transaction { tree: self, author, before: Vec::new(), changes: Vec::new() };
        let mut outcomes = Vec::with_capacity(ops.len());
        for (index, op) in ops.iter().enumerate() {
            match transaction.apply(op) {
                Ok(outcome) => outcomes.push(outcome),
                Err(error) => {
                    transaction.undo();
                    return Err(Failed { index, error });
                }
            }
        }
        Ok(Done { outcomes, changes: transaction.changes })
    }

    /// The one place that changes an entry, so that the lists of ephemeral nodes stay right.
    fn put(&mut self, path: &str, entry: Option<Entry>) -> Option<Entry> {
        let owner = entry.as_ref().and_then(|entry| entry.stat.owner);
        let before = match entry {
            Some(entry) => self.entries.insert(path.to_owned(), entry),
            None => self.entries.remove(path),
        };
        if let Some(owner) = before.as_ref().and_then(|entry| entry.stat.owner) {
            let owned = self.ephemerals.entry(owner).or_default();
            owned.remove(path);
            if owned.is_empty() {
                self.ephemerals.remove(&owner);
            }
        }
        if let Some(owner) = owner {
            self.ephemerals.entry(owner).or_default().insert(path.to_owned());
        }
        before
    }
}

/// A transaction under way: remembers what was there, to put it back.
struct Transaction<'a> {
    tree: &'a mut Tree,
    author: Author<'a>,
    before: Vec<(String, Option<Entry>)>,
    changes: Vec<Change>,
}

impl Transaction<'_> {
    fn apply(&mut self, op: &Op) -> Result<Outcome, Error> {
        match op {
            Op::Check { path, version } => {
                let there = self.entry(path)?;
                refused(self.author.reads_refused, path, "check")?;
                same_version(there.stat.version, *version)?;
                Ok(Outcome::Checked)
            }
            Op::Create { path, data, kind } => self.create(path, data, *kind).map(Outcome::Created),
            Op::Set { path, data, version } => self.set(path, data, *version).map(Outcome::Set),
            Op::Delete { path, version } => self.delete(path, *version).map(|()| Outcome::Deleted),
        }
    }

    fn create(&mut self, path: &str, data: &[u8], kind: Kind) -> Result<Created, Error> {
        let directory = parent(path);
        let mut above = self.entry(directory)?;
        refused(self.author.writes_refused, path, "create")?;
        let path = match kind {
            Kind::EphemeralSequential => format!("{path}{:010}", above.made.cast_signed()),
            Kind::Persistent | Kind::Container | Kind::Ephemeral => path.to_owned(),
        };
        if self.tree.entries.contains_key(&path) {
            return Err(Error::NodeExists);
        }
        if above.stat.owner.is_some() {
            return Err(Error::Children);
        }
        let owner = match kind {
            Kind::Ephemeral | Kind::EphemeralSequential => Some(self.author.session),
            Kind::Persistent | Kind::Container => None,
        };
        let zxid = self.tree.zxid;
        let created_at = self.author.at;
        let stat = Stat { czxid: zxid, mzxid: zxid, version: 0, created_at, owner, children: 0 };
        above.made = above.made.wrapping_add(1);
        above.stat.children += 1;
        self.put(directory, Some(above));
        self.put(&path, Some(Entry { data: data.into(), stat, container: kind == Kind::Container, made: 0 }));
        self.tell(&path, What::Created);
        Ok(Created { path, stat })
    }

    fn set(&mut self, path: &str, data: &[u8], version: Option<i32>) -> Result<Stat, Error> {
        let mut there = self.entry(path)?;
        refused(self.author.writes_refused, path, "set")?;
        same_version(there.stat.version, version)?;
        there.data = data.into();
        there.stat.version += 1;
        there.stat.mzxid = self.tree.zxid;
        let stat = there.stat;
        self.put(path, Some(there));
        self.tell(path, What::Changed);
        Ok(stat)
    }

    fn delete(&mut self, path: &str, version: Option<i32>) -> Result<(), Error> {
        let there = self.entry(path)?;
        refused(self.author.writes_refused, path, "delete")?;
        same_version(there.stat.version, version)?;
        if there.stat.children > 0 {
            return Err(Error::Children);
        }
        let directory = parent(path);
        let mut above = self.entry(directory)?;
        above.stat.children -= 1;
        self.put(path, None);
        self.put(directory, Some(above));
        self.tell(path, What::Deleted);
        Ok(())
    }

    fn entry(&self, path: &str) -> Result<Entry, Error> {
        self.tree.entries.get(path).cloned().ok_or(Error::NoNode)
    }

    fn put(&mut self, path: &str, entry: Option<Entry>) {
        let before = self.tree.put(path, entry);
        self.before.push((path.to_owned(), before));
    }

    fn tell(&mut self, path: &str, what: What) {
        self.changes.push(Change { path: path.to_owned(), what });
    }

    fn undo(self) {
        for (path, entry) in self.before.into_iter().rev() {
            self.tree.put(&path, entry);
        }
    }
}

/// Fails when `path` is at or below one of `refused`.
pub(super) fn refused(refused: &BTreeSet<String>, path: &str, verb: &str) -> Result<(), Error> {
    if refused.iter().any(|top| within(top, path)) {
        return Err(not_authorized(verb, path));
    }
    Ok(())
}

pub(super) fn not_authorized(verb: &str, path: &str) -> Error {
    Error::Rejected { what: format!("not authorized to {verb} {path}") }
}

/// Whether `path` is `top` or below it.
pub(super) fn within(top: &str, path: &str) -> bool {
    path == top || path.starts_with(&below(top))
}

/// The path of the node above; the root's is the root itself.
pub(super) fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        None | Some(("", _)) => "/",
        Some((above, _)) => above,
    }
}

/// What the paths of all nodes below `path` begin with.
fn below(path: &str) -> String {
    if path == "/" { path.to_owned() } else { format!("{path}/") }
}

fn same_version(now: i32, wanted: Option<i32>) -> Result<(), Error> {
    if wanted.is_some_and(|wanted| wanted != now) { Err(Error::BadVersion) } else { Ok(()) }
}
