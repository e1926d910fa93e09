//! What keeps a directory's list equal to the truth, connection after connection.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use crate::directory::{Options, Read};
use crate::path::child;
use crate::settle::{Circumstances, Missing, settle};
use crate::view::{BadNode, Entries, Source, View};
use crate::{Backoff, Change, Changes, Error, Link, Node, SessionId, Sessions, What};

/// The two notifications of a node that is replaced in one transaction arrive together, but not at the same instant.
/// A deletion is therefore held for this long, so that lists show no gap that never was.
const DELETION_HELD: Duration = Duration::from_millis(1);

/// On a busy machine that is too short for one replacement in six. Where a deletion would leave nothing, which helps
/// nobody, it is held for longer.
const LAST_DELETION_HELD: Duration = Duration::from_millis(20);

/// How often an oversize directory is looked at again.
const OVERSIZE_PAUSE: Duration = Duration::from_millis(500);

/// How often nodes that may not be read are asked for again: no watch tells of a changed ACL.
const REFUSED_PAUSE: Duration = Duration::from_secs(2);

/// The state of the task behind a [`Directory`](crate::Directory). It outlives connections.
pub(crate) struct Follower<T> {
    path: String,
    options: Options,
    read: Read<T>,
    view: watch::Sender<Option<View<T>>>,
    entries: watch::Sender<Option<Entries<T>>>,
    problem: watch::Sender<Option<Error>>,
    hasher: RandomState,
    /// What is there, by name.
    present: BTreeMap<String, Known<T>>,
    /// Which of them may not be read.
    refused: BTreeSet<String>,
    /// What was published, is not there, and may come back.
    missing: BTreeMap<String, Arc<T>>,
    /// The session in which all was read last.
    loaded_in: Option<SessionId>,
    /// The connection that was met last.
    met: Option<Link>,
    young_until: Option<Instant>,
    disturbed_at: Option<Instant>,
    empty_since: Option<Instant>,
    protected_until: Option<Instant>,
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

impl<T> Follower<T> {
    pub(crate) fn new(
        path: String,
        options: Options,
        read: Read<T>,
        view: watch::Sender<Option<View<T>>>,
        entries: watch::Sender<Option<Entries<T>>>,
        problem: watch::Sender<Option<Error>>,
    ) -> Self {
        Self {
            path,
            options,
            read,
            view,
            entries,
            problem,
            hasher: RandomState::new(),
            present: BTreeMap::new(),
            refused: BTreeSet::new(),
            missing: BTreeMap::new(),
            loaded_in: None,
            met: None,
            young_until: None,
            disturbed_at: None,
            empty_since: None,
            protected_until: None,
        }
    }

    pub(crate) async fn run(mut self, sessions: Sessions) {
        let mut backoff = Backoff::default();
        while let Some(link) = sessions.next().await {
            let tried = async {
                let failed = self.follow(&link).await;
                self.report(failed.as_ref().err().filter(|error| !matches!(error, Error::Interrupted)));
                failed
            };
            link.run(tried, &mut backoff).await;
        }
    }

    /// Follows on one connection, until it is over or something fails.
    async fn follow(&mut self, link: &Link) -> Result<(), Error> {
        let _stale = StaleOnDrop(self.view.clone());
        self.meet(link);
        // Watch first, then read; and a server may lag behind what our last one showed us.
        let (mut changes, ()) = tokio::try_join!(link.watch_tree(&self.path), link.catch_up())?;
        self.wait_until_it_fits(link, &mut changes).await?;
        self.load(link).await?;
        self.report(None);
        let mut asked = Instant::now();
        loop {
            let settles_at = self.publish(link.timeout());
            let ask_at = (!self.refused.is_empty()).then_some(asked + REFUSED_PAUSE);
            let again_at = settles_at.into_iter().chain(ask_at).min();
            let first = tokio::select! {
                change = changes.next() => Some(change.ok_or(Error::Interrupted)?),
                () = sleep_until(again_at.unwrap_or_else(Instant::now)), if again_at.is_some() => None,
            };
            let mut changed = self.burst(first, &mut changes).await;
            if ask_at.is_some_and(|at| at <= Instant::now()) {
                asked = Instant::now();
                for name in &self.refused {
                    changed.entry(name.clone()).or_insert(What::Changed);
                }
            }
            self.reread(link, changed).await?;
            self.check_size(self.present.len())?;
        }
    }

    /// Notes what a connection that was not met before means for what is missing.
    fn meet(&mut self, link: &Link) {
        if self.met.as_ref().is_some_and(|met| met.is_same(link)) {
            return;
        }
        let now = Instant::now();
        if self.met.replace(link.clone()).is_some() {
            self.disturbed_at = Some(now);
        }
        if self.loaded_in.is_some_and(|session| session != link.id()) {
            self.young_until = Some(now + link.timeout());
        }
    }

    /// The size is asked before the list is: the list of an oversize directory may be more than can be received.
    async fn wait_until_it_fits(&mut self, link: &Link, changes: &mut Changes) -> Result<(), Error> {
        loop {
            let found = link.exists(&self.path).await?.map_or(0, |stat| stat.children);
            match self.check_size(found) {
                Ok(()) => return Ok(()),
                Err(error) => self.report(Some(&error)),
            }
            sleep(OVERSIZE_PAUSE).await;
            while changes.try_next().is_some() {}
        }
    }

    fn check_size(&self, found: usize) -> Result<(), Error> {
        let most = self.options.max_entries;
        if found > most {
            return Err(Error::Oversize { path: self.path.clone(), found, most });
        }
        Ok(())
    }

    /// Reads everything. What did not change since it was read last is not parsed again.
    async fn load(&mut self, link: &Link) -> Result<(), Error> {
        let names = match link.children(&self.path).await {
            Err(Error::NoNode) => Vec::new(),
            names => names?,
        };
        self.check_size(names.len())?;
        let nodes = answers(link.get_many(&self.paths(&names)).await?)?;
        let mut before = std::mem::take(&mut self.present);
        self.refused.clear();
        for (name, node) in names.into_iter().zip(nodes) {
            let known = before.remove(&name);
            self.learn(name, known, node);
        }
        for (name, known) in before {
            self.lose(name, known);
        }
        self.loaded_in = Some(link.id());
        Ok(())
    }

    /// All changes that are here, by name: only the last of each counts. `None` as the first: there may be none.
    async fn burst(&self, first: Option<Change>, changes: &mut Changes) -> BTreeMap<String, What> {
        let mut last = BTreeMap::new();
        let mut next = first;
        let mut held = false;
        loop {
            while let Some(change) = next.take().or_else(|| changes.try_next()) {
                if let Some(name) = self.child(&change.path) {
                    last.insert(name.to_owned(), change.what);
                }
            }
            if held || !last.values().any(|what| *what == What::Deleted) {
                return last;
            }
            let remain = self.present.keys().any(|name| !last.contains_key(name))
                || last.values().any(|what| *what != What::Deleted);
            sleep(if remain { DELETION_HELD } else { LAST_DELETION_HELD }).await;
            held = true;
        }
    }

    async fn reread(&mut self, link: &Link, changed: BTreeMap<String, What>) -> Result<(), Error> {
        let (deleted, changed): (Vec<_>, Vec<_>) =
            changed.into_iter().partition(|(_, what)| *what == What::Deleted);
        for (name, _) in deleted {
            self.refused.remove(&name);
            if let Some(known) = self.present.remove(&name) {
                self.lose(name, known);
            }
        }
        let names: Vec<_> = changed.into_iter().map(|(name, _)| name).collect();
        let paths = self.paths(&names);
        let nodes = match &paths[..] {
            [] => return Ok(()),
            [path] => vec![link.get(path).await],
            paths => link.get_many(paths).await?,
        };
        for (name, node) in names.into_iter().zip(answers(nodes)?) {
            let known = self.present.remove(&name);
            self.learn(name, known, node);
        }
        Ok(())
    }

    /// Takes in what was read of `name`; `known` is what we knew of it, and is not in `present` any more.
    fn learn(&mut self, name: String, known: Option<Known<T>>, answer: Answer) {
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

    /// Publishes what may be published now; the answer says when to ask again.
    fn publish(&mut self, timeout: Duration) -> Option<Instant> {
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
        let (now, count) = (Instant::now(), good.len());
        self.empty_since = (count == 0).then(|| self.empty_since.unwrap_or(now));
        let verdict = settle(
            count,
            self.missing.len(),
            Circumstances {
                now,
                young_until: self.young_until,
                disturbed_at: self.disturbed_at,
                empty_since: self.empty_since,
                timeout,
                empty_grace: self.options.empty_grace.unwrap_or(timeout / 2),
                protected_until: self.protected_until,
            },
        );
        let (entries, again_at): (Entries<T>, _) = match verdict {
            Missing::Drop => (good.into(), None),
            Missing::Keep(until) | Missing::Protect(until) => (self.with_missing(), Some(until)),
        };
        match verdict {
            Missing::Drop => {
                self.missing.clear();
                self.protected_until = None;
            }
            Missing::Protect(until) => {
                if self.protected_until.replace(until).is_none() {
                    warn!(
                        path = self.path,
                        "everything vanished at once after a disturbance: the last list is kept for now"
                    );
                }
            }
            Missing::Keep(_) => {}
        }
        self.send(entries, bad.into(), again_at.is_some());
        again_at
    }

    /// All that is there and all that may come back, in the order of the names.
    fn with_missing(&self) -> Entries<T> {
        let good = self.present.iter().filter_map(|(name, known)| match &known.says {
            Says::Good(entry) => Some((name, entry)),
            Says::Hidden | Says::Bad(_) => None,
        });
        let all: BTreeMap<_, _> = good.chain(&self.missing).collect();
        all.into_values().cloned().collect()
    }

    fn send(&self, entries: Entries<T>, bad: Arc<[BadNode]>, stale: bool) {
        self.entries.send_if_modified(|now| {
            let differ = now.as_ref().is_none_or(|now| !same(now, &entries));
            if differ {
                *now = Some(entries.clone());
            }
            differ
        });
        self.view.send_if_modified(|now| {
            let source = match (stale, now.as_ref().map(|now| now.source)) {
                (false, _) => Source::Live,
                (true, Some(Source::Stale { since })) => Source::Stale { since },
                (true, _) => Source::Stale { since: Instant::now() },
            };
            let differ = now
                .as_ref()
                .is_none_or(|now| now.source != source || now.bad != bad || !same(&now.entries, &entries));
            if differ {
                if now.is_none() {
                    info!(path = self.path, entries = entries.len(), "the first whole list is here");
                }
                *now = Some(View { entries, source, bad });
            }
            differ
        });
    }

    /// Told and logged once for each kind of trouble.
    fn report(&self, error: Option<&Error>) {
        self.problem.send_if_modified(|now| {
            let differ = now.as_ref().map(Error::to_string) != error.map(Error::to_string);
            if differ {
                if let Some(error) = error {
                    warn!(
                        error = error as &dyn std::error::Error,
                        path = self.path,
                        "cannot follow the directory"
                    );
                }
                *now = error.cloned();
            }
            differ
        });
    }

    /// The name of a direct child.
    fn child<'a>(&self, path: &'a str) -> Option<&'a str> {
        let name = path.strip_prefix(self.path.trim_end_matches('/'))?.strip_prefix('/')?;
        (!name.is_empty() && !name.contains('/')).then_some(name)
    }

    fn paths(&self, names: &[String]) -> Vec<String> {
        names.iter().map(|name| child(&self.path, name)).collect()
    }
}

/// What a server says of a node; in words, if it refuses to.
type Answer = Result<Option<Node>, String>;

/// What was read, if all of it was answered: what we know of a node is given up for an answer only.
fn answers(read: Vec<Result<Option<Node>, Error>>) -> Result<Vec<Answer>, Error> {
    let answer = |one| match one {
        Err(Error::Rejected { what }) => Ok(Err(what)),
        Err(error) => Err(error),
        Ok(node) => Ok(Ok(node)),
    };
    read.into_iter().map(answer).collect()
}

fn same<T>(a: &Entries<T>, b: &Entries<T>) -> bool {
    a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| Arc::ptr_eq(a, b))
}

/// A list is not known to be the truth when its connection is over, however following it ends.
struct StaleOnDrop<T>(watch::Sender<Option<View<T>>>);

impl<T> Drop for StaleOnDrop<T> {
    fn drop(&mut self) {
        self.0.send_if_modified(|view| match view {
            Some(View { source: source @ Source::Live, .. }) => {
                *source = Source::Stale { since: Instant::now() };
                true
            }
            _ => false,
        });
    }
}

impl<T> fmt::Debug for Follower<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").field("path", &self.path).finish_non_exhaustive()
    }
}
