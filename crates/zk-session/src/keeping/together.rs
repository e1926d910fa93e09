//! Keeps nodes that were wanted together by one task, each for as long as nothing happens to it alone.

use std::collections::HashMap;
use std::iter::Peekable;
use std::pin::pin;
use std::sync::Arc;
use std::vec::IntoIter;

use futures::future::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::{End, Keeping};
use crate::claim::{Claim, claim};
use crate::presence::Name;
use crate::wish::Bell;
use crate::{Backoff, Change, Error, Kind, Link, MAX_COMMIT_BYTES, MAX_OPS, Node, Op, Sessions, What};

/// How many transactions are under way at the same time: the server has the next one when it is done with one.
const UNDER_WAY: usize = 4;

/// How many nodes are read before they are looked at.
const READ: usize = 1_000;

/// Starts to keep all of them: those of one directory together, where nothing speaks against it.
pub(crate) fn start(all: Vec<Keeping>, sessions: &Sessions) {
    let mut shared: HashMap<Arc<str>, Vec<Keeping>> = HashMap::new();
    for keeping in all {
        if matches!(keeping.place.name, Name::Own(_)) && keeping.enlisted.is_alone() {
            match shared.get_mut(&keeping.place.directory) {
                Some(others) => others.push(keeping),
                None => drop(shared.insert(keeping.place.directory.clone(), vec![keeping])),
            }
        } else {
            tokio::spawn(Box::new(keeping).run(sessions.clone()));
        }
    }
    for (directory, members) in shared {
        tokio::spawn(Together::new(directory, members, sessions.clone()).run());
    }
}

/// The state of the task behind many presences.
///
/// It does for all what [`Keeping`] does for one where all is well: they are made, found again, and known to be there. To whom
/// anything else happens, goes on in a task of its own from there.
struct Together {
    directory: Arc<str>,
    parents: Kind,
    /// Each has its number for good; those that went their own way are missing.
    members: Vec<Option<Keeping>>,
    left: usize,
    /// Which is where, once anybody asks.
    numbers: HashMap<Arc<str>, usize>,
    /// Of whom something else is wanted.
    rings: UnboundedReceiver<usize>,
    sessions: Sessions,
}

impl Together {
    fn new(directory: Arc<str>, members: Vec<Keeping>, sessions: Sessions) -> Self {
        let (bell, rings) = mpsc::unbounded_channel();
        for (number, member) in members.iter().enumerate() {
            member.wants.ring(Some(Bell { number, rings: bell.clone() }));
        }
        let parents = members.first().map_or(Kind::Container, |member| member.place.parents);
        let (left, members) = (members.len(), members.into_iter().map(Some).collect());
        Self { directory, parents, members, left, numbers: HashMap::new(), rings, sessions }
    }

    async fn run(mut self) {
        let mut backoff = Backoff::default();
        while self.left > 0 {
            let Some(link) = self.sessions.next().await else { break };
            let done = {
                let kept = pin!(async {
                    let kept = self.keep(&link).await;
                    if let Err(error) = &kept {
                        self.pending(Some(error));
                    }
                    kept
                });
                link.run(kept, &mut backoff).await
            };
            match done {
                Some(()) => self.part_all(),
                None => self.pending(None),
            }
        }
        for member in self.members.into_iter().flatten() {
            member.end(End::Withdrawn);
        }
    }

    /// Keeps all on one connection, until none is left or each is to be kept by itself.
    async fn keep(&mut self, link: &Link) -> Result<(), Error> {
        link.clear().await?;
        self.part_unwanted();
        if self.left == 0 || !link.is_crowded(&self.directory).await? {
            return Ok(());
        }
        let mut changes = link.watch_all_among(&self.directory).await?;
        let missing = self.find(link).await?;
        self.make(link, missing, &mut changes).await?;
        while self.left > 0 {
            tokio::select! {
                change = changes.recv() => self.changed(link, &change.ok_or(Error::Interrupted)?),
                Some(number) = self.rings.recv() => self.rung(number),
            }
        }
        Ok(())
    }

    /// Looks for those that may be there, and gives the numbers of those that are to be made.
    async fn find(&mut self, link: &Link) -> Result<Vec<usize>, Error> {
        let (mut missing, mut sought) = (Vec::new(), Vec::new());
        for (number, member) in self.members.iter().enumerate() {
            let Some(member) = member else { continue };
            if member.may_make_first(link) {
                missing.push(number);
            } else {
                sought.push(number);
            }
        }
        if !sought.is_empty() {
            link.catch_up().await?;
        }
        for sought in sought.chunks(READ) {
            let members = sought.iter().filter_map(|&number| self.members[number].as_ref());
            let paths: Vec<_> = members.map(|member| member.place.path.to_string()).collect();
            for (&number, node) in sought.iter().zip(link.get_many(&paths).await?) {
                match node {
                    Ok(Some(node)) => self.found(link, number, &node),
                    Ok(None) => {
                        // It may be that it was never made: then nobody deleted it.
                        if self.was_held(link, number) {
                            self.gone(number);
                        }
                        missing.push(number);
                    }
                    Err(_) => self.part(number),
                }
            }
        }
        Ok(missing)
    }

    /// It is ours as it should be, or nothing for all.
    fn found(&mut self, link: &Link, number: usize, node: &Node) {
        let Some(member) = self.member(number) else { return };
        let data = member.wants.look();
        let adopt = claim(Some(node), link.ours(), member.before) == Claim::Adopt;
        if adopt && data.as_deref() == Some(&node.data) {
            member.held(link, member.place.path.clone(), Some(node.stat.czxid));
            member.settled = data;
        } else {
            self.part(number);
        }
    }

    /// Makes what is missing, in transactions of which some are always under way, and sees to whatever happens meanwhile.
    async fn make(
        &mut self,
        link: &Link,
        mut missing: Vec<usize>,
        changes: &mut UnboundedReceiver<Change>,
    ) -> Result<(), Error> {
        while let Ok(number) = self.rings.try_recv() {
            self.rung(number);
        }
        missing.retain(|&number| self.members[number].is_some());
        // No directory is made for nobody.
        if missing.is_empty() {
            return Ok(());
        }
        match link.ensure(&self.directory, self.parents).await {
            Ok(()) => {}
            Err(error) if matches!(error, Error::Interrupted) || missing.len() == self.left => {
                return Err(error);
            }
            // Those that are there are not to be said to be gone.
            Err(_) => {
                missing.into_iter().for_each(|number| self.part(number));
                return Ok(());
            }
        }
        let mut missing = missing.into_iter().peekable();
        let mut under_way = FuturesUnordered::new();
        loop {
            let batch = if under_way.len() < UNDER_WAY { self.batch(link, &mut missing) } else { None };
            let answered = match batch {
                Some(batch) => {
                    under_way.push(commit(link, batch));
                    // It is sent at once, and the next one put together while the server is at it.
                    under_way.next().now_or_never().flatten()
                }
                None => tokio::select! {
                    answered = under_way.next() => match answered {
                        None => return Ok(()),
                        answered => answered,
                    },
                    Some(number) = self.rings.recv() => {
                        self.rung(number);
                        None
                    }
                    change = changes.recv() => {
                        self.changed(link, &change.ok_or(Error::Interrupted)?);
                        None
                    }
                },
            };
            if let Some((numbers, made)) = answered {
                self.made(link, numbers, made)?;
            }
        }
    }

    /// What fits into the next transaction.
    fn batch(&mut self, link: &Link, missing: &mut Peekable<IntoIter<usize>>) -> Option<Batch> {
        let mut batch = Batch { numbers: Vec::with_capacity(MAX_OPS), ops: Vec::with_capacity(MAX_OPS) };
        let mut bytes = 0;
        while batch.ops.len() < MAX_OPS
            && let Some(&number) = missing.peek()
        {
            let tried = self.member(number).map(|member| (member.try_now(link), member.place.path.clone()));
            if let Some((Some(data), path)) = tried {
                bytes += path.len() + data.len();
                if bytes > MAX_COMMIT_BYTES && !batch.ops.is_empty() {
                    break;
                }
                let (path, data) = (path.to_string(), data.to_vec());
                batch.ops.push(Op::Create { path, data, kind: Kind::Ephemeral });
                batch.numbers.push(number);
            } else {
                self.part(number);
            }
            missing.next();
        }
        (!batch.ops.is_empty()).then_some(batch)
    }

    fn made(&mut self, link: &Link, numbers: Vec<usize>, made: Result<(), Error>) -> Result<(), Error> {
        match made {
            Ok(()) => {
                for number in numbers {
                    if let Some(member) = self.member(number) {
                        member.held(link, member.place.path.clone(), None);
                    }
                }
            }
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            // One of them cannot be made. Each for itself, so that it harms only itself.
            Err(_) => numbers.into_iter().for_each(|number| self.part(number)),
        }
        Ok(())
    }

    /// Somebody changed or deleted one, or it is somebody else's.
    fn changed(&mut self, link: &Link, change: &Change) {
        if self.numbers.is_empty() {
            let members = self.members.iter().enumerate();
            let numbers =
                members.filter_map(|(number, member)| Some((member.as_ref()?.place.path.clone(), number)));
            self.numbers = numbers.collect();
        }
        let Some(&number) = self.numbers.get(&*change.path) else { return };
        // Of whom nothing is there yet, it was somebody else's: making it will tell.
        if self.member(number).is_none_or(|member| member.may_make_first(link)) {
            return;
        }
        if change.what == What::Deleted && self.was_held(link, number) {
            self.gone(number);
        }
        self.part(number);
    }

    /// Something else is wanted of one, unless that was seen already.
    fn rung(&mut self, number: usize) {
        if self.member(number).is_some_and(|member| member.wants.is_news()) {
            self.part(number);
        }
    }

    /// Those that are not wanted any more wait for nobody else. To be called while all are to be looked at: what is wanted is seen then.
    fn part_unwanted(&mut self) {
        while let Ok(number) = self.rings.try_recv() {
            if self.member(number).is_some_and(|member| member.wants.look().is_none()) {
                self.part(number);
            }
        }
    }

    fn was_held(&mut self, link: &Link, number: usize) -> bool {
        self.member(number).is_some_and(|member| member.was_held_in(link.id()))
    }

    fn gone(&mut self, number: usize) {
        if let Some(member) = self.member(number) {
            member.standing.missing();
        }
    }

    fn member(&mut self, number: usize) -> Option<&mut Keeping> {
        self.members.get_mut(number)?.as_mut()
    }

    /// It goes its own way from here, if it is here still.
    fn part(&mut self, number: usize) {
        if let Some(member) = self.members.get_mut(number).and_then(Option::take) {
            self.left -= 1;
            member.wants.ring(None);
            tokio::spawn(Box::new(member).run(self.sessions.clone()));
        }
    }

    fn part_all(&mut self) {
        (0..self.members.len()).for_each(|number| self.part(number));
    }

    /// None is known to be there any more.
    fn pending(&self, error: Option<&Error>) {
        for member in self.members.iter().flatten() {
            member.standing.pending(error);
        }
    }
}

/// What is made in one transaction, and whose it is.
struct Batch {
    numbers: Vec<usize>,
    ops: Vec<Op>,
}

async fn commit(link: &Link, batch: Batch) -> (Vec<usize>, Result<(), Error>) {
    (batch.numbers, link.commit(&batch.ops).await)
}
