//! What keeps a directory's list equal to the truth, connection after connection.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;

use crate::directory::{Options, Read};
use crate::publisher::Publisher;
use crate::roll::{Roll, answers};
use crate::settle::{Circumstances, Missing, settle};
use crate::unread::Unread;
use crate::{Backoff, Error, Link, SessionId, Sessions, What};

/// The two notifications of a node that is replaced in one transaction arrive together, but not at the same instant.
/// A deletion is therefore held for this long, so that lists show no gap that never was. That is one tick of the timer. In 25
/// rounds of 99 replacements, on a machine with far more to do than it could, the two were told more than a millisecond apart
/// in nine of the rounds, and more than two in six: a second tick would help little, and every deletion would be told later.
const DELETION_HELD: Duration = Duration::from_micros(500);

/// Where a deletion would leave nothing, which helps nobody, it is held for longer.
const LAST_DELETION_HELD: Duration = Duration::from_millis(20);

/// Shortly after a disturbance of our connection it matters whether all went at once. One transaction is told node by node,
/// and sessions that end in the same tick end one by one, on a busy machine some ten milliseconds apart.
const DISTURBED_DELETION_HELD: Duration = Duration::from_millis(100);

/// So many nodes are read before they are looked into: enough to keep a server busy, few beside a large directory, whose
/// nodes would otherwise be in memory twice.
const READ_AT_ONCE: usize = 4_096;

/// As many as this are read whatever else is: a change of few nodes does not wait for directories that are read as a whole.
const FEW: usize = 16;

/// How often an oversize directory is looked at again.
const OVERSIZE_PAUSE: Duration = Duration::from_millis(500);

/// How often nodes that may not be read are asked for again: no watch tells of a changed ACL. Of many, rarer, so that no more than
/// [`REFUSED_PER_SECOND`] are asked for.
const REFUSED_PAUSE: Duration = Duration::from_secs(2);

const REFUSED_PER_SECOND: usize = 100;

/// The state of the task behind a [`Directory`](crate::Directory). It outlives connections.
pub(crate) struct Follower<T> {
    path: String,
    options: Options,
    roll: Roll<T>,
    publisher: Publisher<T>,
    /// The session in which all was read last.
    loaded_in: Option<SessionId>,
    /// The connection that was met last.
    met: Option<Link>,
    young_until: Option<Instant>,
    disturbed_at: Option<Instant>,
    empty_since: Option<Instant>,
    protected_until: Option<Instant>,
}

impl<T> Follower<T> {
    pub(crate) fn new(path: String, options: Options, read: Read<T>, publisher: Publisher<T>) -> Self {
        Self {
            roll: Roll::new(path.clone(), read),
            path,
            options,
            publisher,
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
                self.publisher
                    .report(failed.as_ref().err().filter(|error| !matches!(error, Error::Interrupted)));
                failed
            };
            link.run(tried, &mut backoff).await;
        }
    }

    /// Follows on one connection, until it is over or something fails.
    async fn follow(&mut self, link: &Link) -> Result<(), Error> {
        let _stale = self.publisher.vouch();
        self.meet(link);
        // Watch first, then read; and a server may lag behind what our last one showed us.
        let unread = match select(pin!(link.watch_tree(&self.path)), pin!(link.catch_up())).await {
            Either::Left((changes, caught_up)) => {
                let unread = Unread::new(&self.path, changes?);
                caught_up.await?;
                unread
            }
            Either::Right((caught_up, changes)) => {
                caught_up?;
                Unread::new(&self.path, changes.await?)
            }
        };
        self.wait_until_it_fits(link, &unread).await?;
        self.load(link, &unread).await?;
        self.publisher.report(None);
        let mut asked = Instant::now();
        loop {
            let settles_at = self.publish(link.timeout());
            let refused = self.roll.refused().len();
            let pause = REFUSED_PAUSE.max(Duration::from_secs((refused / REFUSED_PER_SECOND) as u64));
            let ask_at = (refused > 0).then_some(asked + pause);
            let again_at = settles_at.into_iter().chain(ask_at).min();
            tokio::select! {
                some = unread.some() => some?,
                () = sleep_until(again_at.unwrap_or_else(Instant::now)), if again_at.is_some() => {}
            }
            let mut changed = self.burst(&unread, link.timeout()).await;
            if ask_at.is_some_and(|at| at <= Instant::now()) {
                asked = Instant::now();
                for name in self.roll.refused() {
                    changed.entry(name.to_string()).or_insert(What::Changed);
                }
            }
            self.reread(link, changed).await?;
            self.check_size(self.roll.len())?;
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
    async fn wait_until_it_fits(&mut self, link: &Link, unread: &Unread) -> Result<(), Error> {
        loop {
            let found = match link.exists(&self.path).await? {
                Some(stat) => stat.children,
                None => {
                    link.check_chroot().await?;
                    0
                }
            };
            match self.check_size(found) {
                Ok(()) => return Ok(()),
                Err(error) => self.publisher.report(Some(&error)),
            }
            sleep(OVERSIZE_PAUSE).await;
            // All will be read.
            unread.read();
        }
    }

    fn check_size(&self, found: usize) -> Result<(), Error> {
        let most = self.options.max_entries;
        if found > most {
            return Err(Error::Oversize { path: self.path.clone(), found, most });
        }
        Ok(())
    }

    /// Reads everything. What was learnt before this fails stays: it was what a server said.
    async fn load(&mut self, link: &Link, unread: &Unread) -> Result<(), Error> {
        let mut names = match link.children(&self.path).await {
            Err(Error::NoNode) => Vec::new(),
            names => names?,
        };
        self.check_size(names.len())?;
        unread.were_listed();
        names.sort_unstable();
        self.roll.call(|name| is_among(&names, name));
        self.read(link, &names).await?;
        self.loaded_in = Some(link.id());
        Ok(())
    }

    /// All that happened and was not looked into, by name; there may be nothing.
    async fn burst(&self, unread: &Unread, timeout: Duration) -> BTreeMap<String, What> {
        if let Some(anybody_left) = unread.went(self.roll.names()) {
            let disturbed = self.disturbed_at.is_some_and(|at| at.elapsed() < 2 * timeout);
            sleep(match (disturbed, anybody_left) {
                (true, _) => DISTURBED_DELETION_HELD,
                (false, true) => DELETION_HELD,
                (false, false) => LAST_DELETION_HELD,
            })
            .await;
        }
        unread.read()
    }

    async fn reread(&mut self, link: &Link, changed: BTreeMap<String, What>) -> Result<(), Error> {
        let (deleted, changed): (Vec<_>, Vec<_>) =
            changed.into_iter().partition(|(_, what)| *what == What::Deleted);
        for (name, _) in deleted {
            self.roll.delete(&name);
        }
        let names: Vec<_> = changed.into_iter().map(|(name, _)| name).collect();
        self.read(link, &names).await
    }

    /// Reads nodes, in the order of their names.
    async fn read(&mut self, link: &Link, names: &[String]) -> Result<(), Error> {
        for some in names.chunks(READ_AT_ONCE) {
            let paths = self.roll.paths(some);
            // Until they are learnt: whoever follows much is not to have all of it in memory twice after each disturbance.
            let _room = match some.len() {
                ..=FEW => None,
                many => Some(link.room_to_read(many).await),
            };
            let nodes = match &paths[..] {
                [path] => vec![link.get(path).await],
                paths => link.get_many(paths).await?,
            };
            for (name, node) in some.iter().zip(answers(nodes)?) {
                self.roll.learn(name, node);
            }
        }
        Ok(())
    }

    /// Publishes what may be published now; the answer says when to ask again.
    fn publish(&mut self, timeout: Duration) -> Option<Instant> {
        let (now, count) = (Instant::now(), self.roll.usable());
        self.empty_since = (count == 0).then(|| self.empty_since.unwrap_or(now));
        let verdict = settle(
            count,
            self.roll.missing(),
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
        let again_at = match verdict {
            Missing::Drop => {
                self.roll.forget_missing();
                self.protected_until = None;
                None
            }
            Missing::Protect(until) => {
                if self.protected_until.replace(until).is_none() {
                    warn!(
                        path = self.path,
                        "everything vanished at once after a disturbance: the last list is kept for now"
                    );
                }
                Some(until)
            }
            Missing::Keep(until) => Some(until),
        };
        let (entries, bad) = self.roll.read_out();
        self.publisher.send(entries, bad, again_at.is_some());
        again_at
    }
}

fn is_among(sorted: &[String], name: &str) -> bool {
    sorted.binary_search_by(|other| other.as_str().cmp(name)).is_ok()
}

impl<T> fmt::Debug for Follower<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").field("path", &self.path).finish_non_exhaustive()
    }
}
