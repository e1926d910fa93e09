//! Which faults come, drawn from a seed: the same seed gives the same faults, on the same processes, for as long.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::who::{Role, Who};

/// What can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// SIGKILL, and started again.
    Kill,
    /// SIGSTOP, and SIGCONT.
    Pause,
    /// SIGTERM or the command, and started again.
    Quit,
    /// All connections are cut and refused for less than a fifth of a session.
    Blip,
    /// The same for less than a session.
    Cut,
    /// The same for more than a session.
    Expire,
    /// Nothing arrives, either way, and connections stay open.
    Stall,
    /// What the process sends does not arrive.
    StallToServer,
    /// What the servers send does not arrive.
    StallToClient,
    /// Connections are cut again and again.
    Flaps,
    /// Started again while replies of the servers are lost.
    LostReplies,
    /// Its data are updated while it is cut off.
    Update,
    /// It is deregistered while it is cut off.
    Deregister,
    /// Somebody else deletes its node.
    NodeDeleted,
    /// Somebody writes a node that nobody can read beside the instances.
    BadNode,
    /// One server crashes.
    ServerKilled,
    /// The server that leads the others stops for a while.
    ServerPaused,
    /// One server does not reach the others, and its clients reach it still.
    ServerIsolated,
    /// One server after the other is started again.
    RollingRestart,
    /// All servers are down.
    Outage,
}

/// A session, which all lengths are measured by.
pub(crate) const SESSION: Duration = Duration::from_secs(2);
/// The servers' unit of time.
pub(crate) const TICK: Duration = Duration::from_millis(200);

impl Kind {
    pub(crate) const ALL: [Self; 20] = [
        Self::Kill,
        Self::Pause,
        Self::Quit,
        Self::Blip,
        Self::Cut,
        Self::Expire,
        Self::Stall,
        Self::StallToServer,
        Self::StallToClient,
        Self::Flaps,
        Self::LostReplies,
        Self::Update,
        Self::Deregister,
        Self::NodeDeleted,
        Self::BadNode,
        Self::ServerKilled,
        Self::ServerPaused,
        Self::ServerIsolated,
        Self::RollingRestart,
        Self::Outage,
    ];

    /// Whether a process of it does not live on.
    pub(crate) fn ends_a_life(self) -> bool {
        matches!(self, Self::Kill | Self::Quit | Self::LostReplies | Self::Deregister)
    }

    /// Whether it breaks servers, and so everybody.
    pub(crate) fn is_of_servers(self) -> bool {
        matches!(
            self,
            Self::ServerKilled
                | Self::ServerPaused
                | Self::ServerIsolated
                | Self::RollingRestart
                | Self::Outage
        )
    }

    /// Whether nothing that the process says reaches the servers, or the other way.
    pub(crate) fn separates(self) -> bool {
        matches!(
            self,
            Self::Blip | Self::Cut | Self::Expire | Self::Stall | Self::StallToServer | Self::StallToClient
        )
    }

    /// Whom it can happen to.
    fn roles(self) -> &'static [Role] {
        use Role::{Candidate, Instance, Watcher};
        match self {
            Self::Update | Self::Deregister => &[Instance],
            Self::LostReplies | Self::NodeDeleted => &[Instance, Candidate],
            // Much hangs on the one that leads, and little on any other.
            _ => &[Instance, Watcher, Candidate, Candidate],
        }
    }

    /// How long it lasts, in thousandths of a session.
    fn lasts(self) -> Range<u64> {
        match self {
            Self::NodeDeleted => 0..1,
            Self::Blip => 20..180,
            Self::Flaps => 200..900,
            Self::Update | Self::LostReplies => 100..500,
            Self::Cut | Self::BadNode => 250..900,
            Self::Pause => 100..3000,
            Self::Quit => 0..800,
            Self::Kill | Self::Stall | Self::StallToServer | Self::StallToClient => 200..2000,
            Self::Deregister => 100..2000,
            // Servers end a session up to a tick later.
            Self::Expire => 1300..2000,
            Self::ServerPaused => 100..1500,
            Self::ServerKilled | Self::ServerIsolated => 100..2000,
            Self::RollingRestart => 50..200,
            Self::Outage => 800..2000,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "killed",
            Self::Pause => "paused",
            Self::Quit => "asked to end",
            Self::Blip => "cut off, < T/5",
            Self::Cut => "cut off, < T",
            Self::Expire => "cut off, > T",
            Self::Stall => "half-open, both ways",
            Self::StallToServer => "half-open, to servers",
            Self::StallToClient => "half-open, from servers",
            Self::Flaps => "flapping connection",
            Self::LostReplies => "started, replies lost",
            Self::Update => "updated while cut off",
            Self::Deregister => "deregistered, cut off",
            Self::NodeDeleted => "node deleted by others",
            Self::BadNode => "unreadable node",
            Self::ServerKilled => "server killed",
            Self::ServerPaused => "ZooKeeper's leader paused",
            Self::ServerIsolated => "server isolated",
            Self::RollingRestart => "rolling restart",
            Self::Outage => "all servers down",
        })
    }
}

/// Whom a fault is to happen to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Whoever acts as the leader when it begins.
    Leader,
    These(Vec<Who>),
    /// A server, counted from 0.
    Server(usize),
    /// No process and no single server.
    Nobody,
}

/// A fault that is to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) kind: Kind,
    pub(crate) on: Target,
    /// From the beginning of the episode.
    pub(crate) after: Duration,
    pub(crate) lasts: Duration,
}

/// Faults that overlap, after which everything is to become whole again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Episode {
    pub(crate) faults: Vec<Planned>,
    /// How long nothing is broken afterwards.
    pub(crate) rest: Duration,
}

/// Episodes without end.
#[derive(Debug)]
pub(crate) struct Plan {
    random: StdRng,
    /// Dealt one by one, so that each kind comes once before any comes again.
    deck: VecDeque<Kind>,
}

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), deck: VecDeque::new() }
    }

    /// The same, after a fault that only a leader with a lease survives.
    pub(crate) fn against_a_lease(seed: u64) -> impl Iterator<Item = Episode> {
        let lasts = SESSION * 9 / 5;
        let cut = Planned { kind: Kind::Expire, on: Target::Leader, after: Duration::ZERO, lasts };
        let first = Episode { faults: vec![cut], rest: Duration::ZERO };
        std::iter::once(first).chain(Self::of(seed))
    }

    fn deal(&mut self) -> Kind {
        if self.deck.is_empty() {
            let mut kinds = Kind::ALL;
            kinds.shuffle(&mut self.random);
            self.deck = kinds.into();
        }
        self.deck.pop_front().unwrap_or(Kind::Kill)
    }

    fn draw(&mut self, kind: Kind) -> Planned {
        let lasts = SESSION * self.random.random_range(kind.lasts()) as u32 / 1000;
        let after = SESSION * self.random.random_range(0..400) / 1000;
        Planned { kind, on: self.target(kind), after, lasts }
    }

    fn target(&mut self, kind: Kind) -> Target {
        match kind {
            Kind::ServerKilled | Kind::ServerIsolated => Target::Server(self.random.random_range(0..3)),
            Kind::BadNode | Kind::ServerPaused | Kind::RollingRestart | Kind::Outage => Target::Nobody,
            _ => {
                let role = *kind.roles().choose(&mut self.random).unwrap_or(&Role::Instance);
                if role == Role::Candidate && self.random.random_bool(0.8) {
                    return Target::Leader;
                }
                let mut all: Vec<_> =
                    role.all().filter(|who| !(kind.ends_a_life() && who.is_elder())).collect();
                all.shuffle(&mut self.random);
                // A crash hits one, a network many.
                let many = [1, 1, 2, all.len() / 2].choose(&mut self.random).copied().unwrap_or(1);
                all.truncate(many);
                all.sort();
                Target::These(all)
            }
        }
    }
}

impl Iterator for Plan {
    type Item = Episode;

    fn next(&mut self) -> Option<Episode> {
        let many = self.random.random_range(1..=3);
        let mut kinds = Vec::new();
        while kinds.len() < many {
            let kind = self.deal();
            // Two faults of servers at a time would be one, for they need each other.
            if kind.is_of_servers() && kinds.iter().any(|kind: &Kind| kind.is_of_servers()) {
                self.deck.push_front(kind);
                break;
            }
            kinds.push(kind);
        }
        let mut faults: Vec<_> = kinds.into_iter().map(|kind| self.draw(kind)).collect();
        // The first one begins at once.
        let first = faults.iter().map(|fault| fault.after).min().unwrap_or_default();
        for fault in &mut faults {
            fault.after -= first;
        }
        Some(Episode { faults, rest: Duration::from_millis(self.random.random_range(100..600)) })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_repeats_its_faults_and_another_one_has_others() {
        let of = |seed| Plan::of(seed).take(50).collect::<Vec<_>>();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn every_kind_comes_before_any_comes_again() {
        for seed in 0..20 {
            let faults: Vec<_> = Plan::of(seed).take(50).flat_map(|episode| episode.faults).collect();
            for deck in faults.chunks_exact(Kind::ALL.len()) {
                let kinds: BTreeSet<_> = deck.iter().map(|fault| fault.kind).collect();
                assert_eq!(kinds.len(), Kind::ALL.len(), "{deck:?}");
            }
        }
    }

    #[test]
    fn faults_are_what_their_names_say() {
        for fault in (0..20).flat_map(|seed| Plan::of(seed).take(50)).flat_map(|episode| episode.faults) {
            let Planned { kind, on, lasts, .. } = &fault;
            match kind {
                Kind::Blip => assert!(*lasts < SESSION / 5, "{fault:?}"),
                Kind::Cut => assert!(*lasts < SESSION, "{fault:?}"),
                Kind::Expire => assert!(*lasts > SESSION + 2 * TICK, "{fault:?}"),
                _ => {}
            }
            assert_eq!(
                *on == Target::Nobody || matches!(on, Target::Server(_)),
                kind.is_of_servers() || *kind == Kind::BadNode
            );
            if let Target::These(all) = on {
                assert!(!all.is_empty(), "{fault:?}");
                assert!(!kind.ends_a_life() || !all.iter().any(|who| who.is_elder()), "{fault:?}");
                assert!(all.iter().all(|who| kind.roles().contains(&who.role)), "{fault:?}");
            }
        }
    }

    #[test]
    fn servers_break_one_at_a_time() {
        for episode in (0..20).flat_map(|seed| Plan::of(seed).take(50)) {
            assert!(episode.faults.iter().filter(|fault| fault.kind.is_of_servers()).count() <= 1);
            assert!(episode.faults.iter().any(|fault| fault.after.is_zero()), "{episode:?}");
        }
    }
}
