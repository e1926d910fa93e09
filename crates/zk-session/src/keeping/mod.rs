//! What keeps one node in existence, connection after connection.

mod leaving;
mod looking;
mod making;
mod together;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use crate::claim::{Before, Claim, claim};
use crate::enlisted::Enlisted;
use crate::presence::{Name, Status};
use crate::standing::Standing;
use crate::wish::Wants;
use crate::{Backoff, Error, Kind, Link, SessionId, Sessions, What};

pub(crate) use self::leaving::gone;
use self::making::Made;
pub(crate) use self::together::start;

/// How long a node without owner that took our place again is left there. Whoever makes it may do so without end, and is not
/// to be fought at full speed; but a slip that is repeated some day is no such fight.
const OWNERLESS_PAUSE: Duration = Duration::from_secs(1);

/// Within which time those who waited for the same node try to make it, each at its own moment: whoever is told of it
/// before its own has nothing to try.
const RUSH: Duration = Duration::from_millis(100);

/// The state of the task behind a [`Presence`](crate::Presence).
pub(crate) struct Keeping {
    place: Place,
    wants: Wants,
    standing: Standing,
    /// In which session we last tried to make it: in another one nothing of ours is there yet.
    tried_in: Option<SessionId>,
    before: Before,
    /// When we last took the place of a node without owner.
    replaced_ownerless: Option<Instant>,
    /// Somebody else had the node when we last looked, and others may wait for its end as well.
    queued: bool,
    /// Where our node was last, and on which connection it was known to be ours.
    last: Option<(Arc<str>, Link)>,
    /// The answer to the making of a sequential node was lost, or may be: one could be there that we do not know.
    unsure: bool,
    /// What was wanted when the node was last seen to hold it, or when that was last written into it or refused.
    settled: Option<Arc<[u8]>>,
    /// Why the node does not say it, if that was refused.
    refused: Option<Error>,
    /// How long to wait before what others wrote is written over.
    rewrites: Backoff,
    enlisted: Enlisted,
}

/// Where a node is to be.
pub(crate) struct Place {
    pub(crate) directory: Arc<str>,
    /// With the directory, and without a sequence.
    pub(crate) path: Arc<str>,
    pub(crate) name: Name,
    /// What the directory and those above it are made as, where they are missing.
    pub(crate) parents: Kind,
}

/// Why keeping a node ended for good.
enum End {
    Withdrawn,
    Replaced,
}

impl Keeping {
    pub(crate) fn new(place: Place, wants: Wants, status: watch::Sender<Status>, enlisted: Enlisted) -> Self {
        let standing = Standing { status, path: place.path.clone() };
        Self {
            place,
            wants,
            standing,
            tried_in: None,
            before: Before::default(),
            replaced_ownerless: None,
            queued: false,
            last: None,
            unsure: false,
            settled: None,
            refused: None,
            rewrites: Backoff::default(),
            enlisted,
        }
    }

    /// In a box, and what is tried is pinned where it is: a future that is handed on is kept twice, and a process may have
    /// thousands of these.
    pub(crate) async fn run(mut self: Box<Self>, sessions: Sessions) {
        let mut backoff = Backoff::default();
        let end = loop {
            let link = {
                let mut next = pin!(next(&self.enlisted, &mut self.wants, &sessions));
                match next.as_mut().now_or_never() {
                    Some(link) => link,
                    // Whoever kept it before vouched for it on a connection that is over.
                    None => {
                        self.standing.pending(None);
                        next.await
                    }
                }
            };
            let Some(link) = link else { break None };
            self.standing.meet(&link);
            let tried = pin!(async {
                let end = self.keep(&link).await;
                self.standing.pending(end.as_ref().err());
                end
            });
            if let Some(end) = link.run(tried, &mut backoff).await {
                break Some(end);
            }
        };
        self.end(end.unwrap_or(End::Withdrawn));
    }

    fn end(&self, end: End) {
        self.give_up();
        self.standing.end(match end {
            End::Replaced => Status::Replaced,
            End::Withdrawn => Status::Gone,
        });
    }

    /// Keeps the node on one connection.
    async fn keep(&mut self, link: &Link) -> Result<End, Error> {
        let _pending = self.standing.vouch();
        link.clear().await?;
        if self.wants.was_tried() && !self.may_make_first(link) {
            // A node of ours that a server does not show yet would be made twice, or left behind.
            link.catch_up().await?;
        }
        // A watch that nobody waits for any more is taken back by a request of its own, unless it has fired or another one on the
        // same node is set: kept until then.
        let mut _watched = None;
        // When to look again though nothing happened.
        let mut again_at: Option<Instant> = None;
        // By then a session that nobody keeps is over: it has its whole timeout once more when servers are put back to an older
        // state, and up to two ticks, which no timeout is less than.
        let old_from = Instant::now() + 2 * link.timeout();
        while let Some(data) = self.wants.look() {
            // Asked once: a node that is not watched by itself is made only where its directory is watched.
            let crowded = self.is_crowded(link).await?;
            let (there, mut changed) = self.look(link, crowded).await?;
            let left_until = again_at.take();
            let before = Before {
                contended: matches!(self.place.name, Name::Contended(_)),
                young: !self.was_held_in(link.id()) && Instant::now() < old_from,
                replaced_ownerless: self.replaced_ownerless.is_some_and(|at| at.elapsed() < OWNERLESS_PAUSE),
                ..self.before
            };
            match (claim(there.as_ref().map(|(_, node)| node), link.ours(), before), there) {
                (Claim::Create, _) => {
                    // In another session it went with the one before.
                    if self.was_held_in(link.id()) {
                        self.standing.missing();
                    }
                    self.standing.pending(None);
                    if self.queued {
                        tokio::select! {
                            () = sleep(RUSH.mul_f64(rand::random())) => {}
                            _ = &mut changed => continue,
                            _ = self.wants.changed() => continue,
                        }
                    }
                    match self.create(link, crowded).await? {
                        // A watch of its own is set by looking again.
                        Made::Unwatched | Made::NotYet => continue,
                        // The directory's watch was set before: what it told by now may be of what was there until we made ours.
                        Made::Watched if (&mut changed).now_or_never().is_some() => continue,
                        Made::Watched => {}
                    }
                }
                (Claim::Adopt, Some((path, node))) if node.data == *data => {
                    self.held(link, path.into(), Some(node.stat.czxid));
                    self.settled = Some(data);
                }
                (Claim::Adopt, Some((path, node))) => {
                    // Somebody else writes into our node. One who does it again and again gets no answer at once; meanwhile we
                    // hear what else happens to it.
                    if self.settled.as_ref() == Some(&data) {
                        let at = left_until.unwrap_or_else(|| Instant::now() + self.rewrites.next_delay());
                        again_at = (Instant::now() < at).then_some(at);
                    }
                    // What it says is not what it is: nobody else has its place.
                    if again_at.is_some() && self.refused.is_some() {
                        self.keeps(link, path.as_str().into(), Some(node.stat.czxid));
                    }
                    if again_at.is_none() {
                        match link.set(&path, &data, Some(node.stat.version)).await {
                            // Whatever is found there next was written since, or cannot be read.
                            Ok(_) => (self.settled, self.refused) = (Some(data), None),
                            // It is there and ours still, so what happens to it is heard until the next try.
                            Err(error @ Error::Rejected { .. }) => {
                                (self.settled, self.refused) = (Some(data), Some(error));
                            }
                            // Somebody was faster: look again.
                            Err(Error::NoNode | Error::BadVersion) => {}
                            Err(error) => return Err(error),
                        }
                        continue;
                    }
                }
                (Claim::Replace(version), Some((path, node))) => {
                    self.standing.pending(None);
                    self.replace(link, path, &node, version).await?;
                    continue;
                }
                (Claim::Yield, Some((path, node))) => {
                    warn!(
                        path,
                        owner = node.stat.owner.map(tracing::field::display),
                        "a newer process with the same id has taken our place"
                    );
                    return Ok(End::Replaced);
                }
                (Claim::Doubt, Some((path, node))) => {
                    self.standing.pending(None);
                    // Said once, however often it is looked at meanwhile.
                    if left_until.is_none() {
                        info!(
                            path,
                            owner = node.stat.owner.map(tracing::field::display),
                            "somebody else has our place since we were away: it is seen whether their session lives"
                        );
                    }
                    again_at = Some(old_from);
                }
                (Claim::Blocked, Some((path, _))) => {
                    return Err(Error::Rejected {
                        what: format!("a node without owner keeps coming back at {path}"),
                    });
                }
                (_, taken) => {
                    if let Some((path, node)) = taken {
                        self.standing.taken(&path, node.stat.owner);
                    }
                    (self.queued, self.last) = (true, None);
                }
            }
            tokio::select! {
                // What nobody knew to be ours in this session was none that somebody deleted.
                what = &mut changed => if what == Some(What::Deleted) && self.was_held_in(link.id()) {
                    self.standing.missing();
                },
                () = self.wants.changed() => {}
                () = sleep_until(again_at.unwrap_or_else(Instant::now)), if again_at.is_some() => {}
            }
            _watched = Some(changed);
        }
        self.delete(link).await?;
        Ok(End::Withdrawn)
    }

    /// Whether the node's directory is watched instead of the node. What others may have as well is watched by itself.
    async fn is_crowded(&self, link: &Link) -> Result<bool, Error> {
        match self.place.name {
            Name::Own(_) => link.is_crowded(&self.place.directory).await,
            Name::Contended(_) | Name::Sequential(_) => Ok(false),
        }
    }

    /// Whether a node of ours is known to have been there in this session.
    fn was_held_in(&self, session: SessionId) -> bool {
        self.last.as_ref().is_some_and(|(_, seen_on)| seen_on.id() == session)
    }

    /// The node is ours, and says what it should.
    fn held(&mut self, link: &Link, path: Arc<str>, czxid: Option<i64>) {
        self.refused = None;
        self.keeps(link, path, czxid);
    }

    fn keeps(&mut self, link: &Link, path: Arc<str>, czxid: Option<i64>) {
        self.before.held = true;
        (self.queued, self.unsure) = (false, false);
        let last = self.last.as_ref().map(|(last, _)| last);
        if last != Some(&path) {
            if let Some(replaced) = last {
                self.enlisted.give_up(replaced);
            }
            self.enlisted.want(&path);
        }
        self.standing.held(link, &path, czxid, self.refused.as_ref());
        self.last = Some((path, link.clone()));
    }
}

/// The connection to keep a node on, once nobody else does so; `None` when there will be none, or no need.
async fn next(enlisted: &Enlisted, wants: &mut Wants, sessions: &Sessions) -> Option<Link> {
    let next = async {
        enlisted.alone().await;
        sessions.next().await
    };
    tokio::select! {
        link = next => link,
        // Who leaves nothing waits for nobody: those that are wanted and given up again would pile up during an outage.
        () = wants.forsaken() => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a call makes, without calling it.
    fn size<F: Future>(_: impl FnOnce(Box<Keeping>, Sessions) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_task_is_small_for_a_process_may_have_thousands() {
        let bytes = size(Keeping::run);
        assert!(bytes <= 2_048, "{bytes} bytes");
        // Those that are kept together have no task of their own.
        let bytes = size_of::<Keeping>();
        assert!(bytes <= 320, "{bytes} bytes");
    }
}
