//! Keeps nodes that were wanted together by one task, each for as long as nothing happens to it alone.

mod making;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::sleep;

use super::{End, Keeping};
use crate::among::{Happened, Numbers};
use crate::claim::{Claim, claim};
use crate::presence::Name;
use crate::wish::Bell;
use crate::{Backoff, Error, Kind, Link, Node, Sessions, What};

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
    /// Which is where, once that is needed.
    numbers: Option<Arc<Numbers>>,
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
        Self { directory, parents, members, left, numbers: None, rings, sessions }
    }

    async fn run(mut self) {
        let mut backoff = Backoff::default();
        while self.left > 0 {
            let link = tokio::select! {
                link = self.sessions.next() => link,
                Some(number) = self.rings.recv() => {
                    self.rung_while_away(number);
                    continue;
                }
            };
            let Some(link) = link else { break };
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
        let numbers = self.numbers();
        let happened = link.watch_many_among(&self.directory, numbers).await?;
        let mut missing = self.find(link).await?;
        let mut tries = Backoff::default();
        let mut wary = false;
        while self.left > 0 {
            missing = self.make(link, missing, &happened, wary).await?;
            wary = true;
            // Those that were refused are made later, and the others told to be held all the time.
            let pause = if missing.is_empty() { None } else { Some(tries.next_delay()) };
            self.watch_over(link, &happened, pause).await?;
        }
        Ok(())
    }

    /// Sees to whatever happens, for so long or until none is left.
    async fn watch_over(
        &mut self,
        link: &Link,
        happened: &Happened,
        pause: Option<Duration>,
    ) -> Result<(), Error> {
        let mut over = pin!(async {
            match pause {
                Some(pause) => sleep(pause).await,
                None => std::future::pending().await,
            }
        });
        while self.left > 0 {
            tokio::select! {
                news = self.news(link, happened) => news?,
                () = &mut over => break,
            }
        }
        Ok(())
    }

    /// Waits until something happened or something else is wanted, and sees to that. To be dropped at any time.
    async fn news(&mut self, link: &Link, happened: &Happened) -> Result<(), Error> {
        tokio::select! {
            some = happened.some() => some?,
            Some(number) = self.rings.recv() => self.rung(number),
        }
        self.see_to(link, happened);
        Ok(())
    }

    /// Sees to what happened and is wanted by now.
    fn see_to(&mut self, link: &Link, happened: &Happened) {
        for (number, what) in happened.read() {
            self.happened(link, number, what);
        }
        while let Ok(number) = self.rings.try_recv() {
            self.rung(number);
        }
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

    /// Somebody changed or deleted one, or it is somebody else's.
    fn happened(&mut self, link: &Link, number: usize, what: What) {
        // Of whom nothing is there yet, it was somebody else's: making it will tell.
        if self.member(number).is_none_or(|member| member.may_make_first(link)) {
            return;
        }
        if what == What::Deleted && self.was_held(link, number) {
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

    /// Something else is wanted of one, while there is no connection.
    fn rung_while_away(&mut self, number: usize) {
        let Some(member) = self.member(number) else { return };
        if member.wants.look().is_some() {
            return;
        }
        if member.wants.was_tried() {
            self.part(number);
        } else if let Some(member) = self.take(number) {
            // It leaves nothing, and waits for nobody.
            member.end(End::Withdrawn);
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

    fn numbers(&mut self) -> Arc<Numbers> {
        let members = self.members.iter().enumerate();
        let number = |(number, member): (usize, &Option<Keeping>)| {
            member.as_ref().map(|member| (member.place.path.clone(), number))
        };
        self.numbers.get_or_insert_with(|| Arc::new(members.filter_map(number).collect())).clone()
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

    fn take(&mut self, number: usize) -> Option<Keeping> {
        let member = self.members.get_mut(number)?.take()?;
        self.left -= 1;
        member.wants.ring(None);
        Some(member)
    }

    /// It goes its own way from here, if it is here still.
    fn part(&mut self, number: usize) {
        if let Some(member) = self.take(number) {
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
