//! Whether a server is registered: while it hears what it is asked.

use std::future::pending;
use std::time::Duration;

use leader::{Lost, Term};
use proto::{InstanceId, NodeData};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use zk_session::Keeper;

use super::super::link::{Refused, State};
use super::Args;
use crate::candidate::News as Told;
use crate::registered::{News, Registered};
use crate::withdrawal::Withdrawal;

/// Whoever is deaf for longer is found no more. A restart of the broker is shorter: nobody gains when all its servers leave and come
/// back together.
pub(super) const DEAF: Duration = Duration::from_secs(5);

/// A server that is registered while it hears what it is asked.
pub(super) struct Presence<'a> {
    args: &'a Args,
    keeper: &'a Keeper,
    id: InstanceId,
    data: NodeData,
    hears: watch::Receiver<State>,
    deaf_since: Option<Instant>,
    standing: Standing,
    /// Somebody else has its id, or it was refused: it does not come back.
    is_over: bool,
}

/// Something that happened to it.
pub(super) enum Happened {
    News(News),
    /// It has been deaf for too long, and is leaving; with the leadership that has ended.
    Leaves(Option<(Term, Lost)>),
    /// It was told to be registered, and is no more, until it hears again.
    Left,
    /// The broker does not let it hear any more, for this reason.
    Forbidden(String),
}

enum Standing {
    Out,
    In(Box<Registered>),
    Leaving {
        nodes: Vec<Withdrawal>,
        /// Whether it was told to be registered.
        was_told: bool,
    },
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Register,
    Withdraw,
    /// Nothing, before something changes or this time comes.
    Wait(Option<Instant>),
}

impl<'a> Presence<'a> {
    pub(super) fn new(
        args: &'a Args,
        keeper: &'a Keeper,
        id: InstanceId,
        data: NodeData,
        hears: watch::Receiver<State>,
    ) -> Self {
        let standing = Standing::Out;
        Self { args, keeper, id, data, hears, deaf_since: None, standing, is_over: false }
    }

    /// Registers and withdraws as it hears: the next thing that happens.
    ///
    /// # Cancel safety
    ///
    /// Nothing is missed when this is dropped before it is ready.
    pub(super) async fn happens(&mut self) -> anyhow::Result<Happened> {
        loop {
            let (now, state) = (Instant::now(), self.hears.borrow_and_update().clone());
            if let State::Away { why, refused: Some(Refused::Subscription) } = state {
                return Ok(Happened::Forbidden(why.unwrap_or_default()));
            }
            let hears = state.is_listening();
            self.deaf_since = if hears { None } else { self.deaf_since.or(Some(now)) };
            match step(&self.standing, self.is_over, self.deaf_since, now) {
                Step::Register => {
                    let (Args { connection, service, .. }, data) = (self.args, self.data.clone());
                    let registered =
                        Registered::start(connection, self.keeper, service, self.id.clone(), data, false)?;
                    self.standing = Standing::In(Box::new(registered));
                }
                Step::Withdraw => {
                    let was_told = self.is_told();
                    let (led, nodes) = self.leave();
                    self.standing = Standing::Leaving { nodes, was_told };
                    return Ok(Happened::Leaves(led));
                }
                Step::Wait(until) => tokio::select! {
                    Ok(()) = self.hears.changed() => {}
                    () = reached(until) => {}
                    news = self.standing.news() => match news {
                        Some(news) => {
                            self.is_over |= matches!(news, News::Replaced | News::Told(Told::Refused(_)));
                            return Ok(Happened::News(news));
                        }
                        None => {
                            let was_told = self.is_told();
                            self.standing = Standing::Out;
                            if was_told {
                                return Ok(Happened::Left);
                            }
                        }
                    },
                },
            }
        }
    }

    /// Whether others may find it still.
    pub(super) fn may_be_found(&self) -> bool {
        !matches!(self.standing, Standing::Out)
    }

    /// Whether its end is news; see [`Registered::is_told`].
    pub(super) fn is_told(&self) -> bool {
        match &self.standing {
            Standing::Out => false,
            Standing::In(registered) => registered.is_told(),
            Standing::Leaving { was_told, .. } => *was_told,
        }
    }

    /// See [`Registered::resign`].
    pub(super) fn resign(&mut self) -> Option<(Term, Lost)> {
        match &mut self.standing {
            Standing::In(registered) => registered.resign(),
            Standing::Out | Standing::Leaving { .. } => None,
        }
    }

    /// See [`Registered::leave`].
    pub(super) fn leave(&mut self) -> (Option<(Term, Lost)>, Vec<Withdrawal>) {
        match std::mem::replace(&mut self.standing, Standing::Out) {
            Standing::Out => (None, Vec::new()),
            Standing::In(registered) => registered.leave(),
            Standing::Leaving { nodes, .. } => (None, nodes),
        }
    }
}

impl Standing {
    /// What happens to it where it is registered; `None` once it has left.
    async fn news(&mut self) -> Option<News> {
        match self {
            Self::Out => pending().await,
            Self::In(registered) => Some(registered.news().await),
            Self::Leaving { nodes, .. } => {
                while let Some(one) = nodes.last_mut() {
                    one.done().await;
                    nodes.pop();
                }
                None
            }
        }
    }
}

fn step(standing: &Standing, is_over: bool, deaf_since: Option<Instant>, now: Instant) -> Step {
    let deaf_until = deaf_since.map(|since| since + DEAF);
    match (standing, deaf_until) {
        (Standing::Out, None) if !is_over => Step::Register,
        (Standing::In(_), Some(until)) if !is_over => due(until, now),
        // What is leaving has to be gone before it comes back.
        _ => Step::Wait(None),
    }
}

fn due(until: Instant, now: Instant) -> Step {
    if until <= now { Step::Withdraw } else { Step::Wait(Some(until)) }
}

async fn reached(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_hears_registers_unless_it_is_still_leaving_or_its_place_is_somebody_elses() {
        let now = Instant::now();
        let leaving = || Standing::Leaving { nodes: Vec::new(), was_told: true };
        for (standing, is_over, deaf_since, expected) in [
            (Standing::Out, false, None, Step::Register),
            (Standing::Out, true, None, Step::Wait(None)),
            (Standing::Out, false, Some(now), Step::Wait(None)),
            (leaving(), false, None, Step::Wait(None)),
            (leaving(), false, Some(now), Step::Wait(None)),
        ] {
            assert_eq!(step(&standing, is_over, deaf_since, now), expected, "{is_over} {deaf_since:?}");
        }
    }

    #[test]
    fn whoever_is_deaf_stays_for_a_while() {
        let until = Instant::now() + DEAF;
        let before = until - Duration::from_millis(1);
        assert_eq!(due(until, before), Step::Wait(Some(until)));
        assert_eq!(due(until, until), Step::Withdraw);
    }
}
