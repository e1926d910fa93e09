//! A history put in order: who lived when, who led, which nodes there were, what was broken.

use std::collections::BTreeMap;

use crate::history::{
    Change, Command, Entry, Event, History, Life, Nanos, Seen, SessionId, SessionState, Setting, Source, What,
};
use crate::plan::Kind;
use crate::who::{Role, Who};

/// A stretch of time; the end does not belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: Nanos,
    pub(crate) to: Nanos,
}

impl Span {
    pub(crate) fn meets(self, other: Self) -> bool {
        self.from < other.to && other.from < self.to
    }

    pub(crate) fn holds(self, at: Nanos) -> bool {
        (self.from..self.to).contains(&at)
    }
}

/// See [the module](self).
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) setting: &'a Setting,
    pub(crate) span: Span,
    /// When everybody was at work.
    pub(crate) begun: Nanos,
    pub(crate) lives: BTreeMap<Life, Living<'a>>,
    /// In the order in which they were made.
    pub(crate) nodes: Vec<Node>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) episodes: Vec<Episode>,
    pub(crate) acts: Vec<Act>,
    /// Everything that is not put in order.
    pub(crate) rest: Vec<&'a Entry>,
}

/// A life of a process.
#[derive(Debug)]
pub(crate) struct Living<'a> {
    pub(crate) span: Span,
    /// How it ended, unless it was alive to the last: the code of its exit, none after a signal.
    pub(crate) ended: Option<Option<i32>>,
    pub(crate) asked_to_end: Option<Nanos>,
    /// When it was told to take its node away for good.
    pub(crate) withdrawn: Option<Nanos>,
    /// The ports that it was to register, and since when.
    pub(crate) ports: Vec<(Nanos, u16)>,
    pub(crate) said: Vec<(Nanos, &'a Event)>,
    /// What became of its sessions.
    pub(crate) sessions: Vec<(Nanos, SessionState, SessionId)>,
    pub(crate) views: Vec<View<'a>>,
    pub(crate) uses: Vec<(Nanos, usize, u64)>,
    pub(crate) connections: Vec<Connections>,
    pub(crate) beliefs: Vec<Belief>,
}

/// Connections that a process made at some time after `since`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connections {
    pub(crate) since: Nanos,
    pub(crate) at: Nanos,
    pub(crate) many: u64,
}

/// That a process held itself to be the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Belief {
    pub(crate) life: Life,
    pub(crate) token: i64,
    pub(crate) path: String,
    pub(crate) session: SessionId,
    pub(crate) span: Span,
    /// What it said was why it ended, unless it died first.
    pub(crate) reason: Option<String>,
}

/// A node, as the servers wrote it down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) path: String,
    /// Whose it is, if it is an instance's or a candidate's.
    pub(crate) whose: Option<Whose>,
    pub(crate) czxid: i64,
    /// None when it belongs to nobody.
    pub(crate) owner: Option<SessionId>,
    pub(crate) span: Span,
    /// Who deleted it: nobody when it went with its session.
    pub(crate) deleted_by: Option<SessionId>,
}

/// Who made a node, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Instance(Who),
    Candidate(Who),
}

impl Whose {
    fn of(path: &str, service: &str) -> Option<Self> {
        let (_, place) = path.split_once(&format!("/{service}/"))?;
        if let Some(id) = place.strip_prefix("instances/") {
            return id.parse().ok().map(Self::Instance);
        }
        let (id, _) = proto::path::split_candidate(place.strip_prefix("election/")?)?;
        id.parse().ok().map(Self::Candidate)
    }
}

/// Something that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) id: u32,
    pub(crate) kind: Kind,
    pub(crate) on: Vec<String>,
    pub(crate) span: Span,
}

impl Fault {
    pub(crate) fn hits(&self, who: Who) -> bool {
        self.kind.is_of_servers() || self.on.iter().any(|name| *name == who.to_string())
    }
}

/// Faults that overlapped, and the time after them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Episode {
    /// From the first fault until everything was whole, or was waited for no longer.
    pub(crate) span: Span,
    pub(crate) healed: Nanos,
    /// What was missing, if it did not become whole.
    pub(crate) missing: Option<String>,
    /// The numbers of its faults among all.
    pub(crate) faults: std::ops::Range<usize>,
}

/// What a leader did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Act {
    pub(crate) at: Nanos,
    pub(crate) who: Who,
    pub(crate) token: i64,
    pub(crate) ok: bool,
}

/// What a watcher told others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) at: Nanos,
    pub(crate) instances: &'a [Seen],
    pub(crate) source: Source,
}

impl View<'_> {
    pub(crate) fn has(&self, id: &str) -> bool {
        self.instances.iter().any(|seen| seen.id == id)
    }
}

impl<'a> Facts<'a> {
    pub(crate) fn of(history: &'a History) -> Self {
        let entries = &history.entries;
        let at = |entry: Option<&Entry>| entry.map_or(0, |entry| entry.at);
        let mut facts = Self {
            setting: &history.setting,
            span: Span { from: at(entries.first()), to: at(entries.last()) },
            begun: 0,
            lives: BTreeMap::new(),
            nodes: Vec::new(),
            faults: Vec::new(),
            episodes: Vec::new(),
            acts: Vec::new(),
            rest: Vec::new(),
        };
        for entry in entries {
            facts.learn(entry);
        }
        for (life, living) in &mut facts.lives {
            living.beliefs = beliefs(*life, living);
        }
        facts
    }

    fn learn(&mut self, entry: &'a Entry) {
        let (at, end) = (entry.at, self.span.to);
        match &entry.what {
            What::Started { life, port, .. } => {
                let ports = port.iter().map(|port| (at, *port)).collect();
                let living = Living {
                    span: Span { from: at, to: end },
                    ended: None,
                    asked_to_end: None,
                    withdrawn: None,
                    ports,
                    said: Vec::new(),
                    sessions: Vec::new(),
                    views: Vec::new(),
                    uses: Vec::new(),
                    connections: Vec::new(),
                    beliefs: Vec::new(),
                };
                self.lives.insert(*life, living);
            }
            What::Ended { life, code } => self.with(life, |living| {
                living.span.to = at;
                living.ended = Some(*code);
            }),
            What::Said { life, event } => self.with(life, |living| {
                living.said.push((at, event));
                match event {
                    Event::Session { state, session_id } => living.sessions.push((at, *state, *session_id)),
                    Event::View { instances, source } => {
                        living.views.push(View { at, instances, source: *source });
                    }
                    _ => {}
                }
            }),
            What::Told { life, command } => self.with(life, |living| match command {
                // One that had ended by itself was not asked to.
                Command::Quit if living.ended.is_none() => living.asked_to_end = Some(at),
                Command::Update { port } => living.ports.push((at, *port)),
                Command::Deregister => living.withdrawn = Some(at),
                Command::Quit | Command::Tasks => {}
            }),
            What::Uses { life, descriptors, rss_kib } => {
                self.with(life, |living| living.uses.push((at, *descriptors, *rss_kib)));
            }
            What::Acted { who, token, ok } => {
                self.acts.push(Act { at, who: *who, token: *token, ok: *ok });
            }
            What::Begun => self.begun = at,
            What::Fault { id, kind, on } => {
                let span = Span { from: at, to: end };
                self.faults.push(Fault { id: *id, kind: *kind, on: on.clone(), span });
            }
            What::Over { id } => {
                if let Some(fault) = self.faults.iter_mut().rfind(|fault| fault.id == *id) {
                    fault.span.to = at;
                }
            }
            What::Healed => {
                let first = self.episodes.last().map_or(0, |episode| episode.faults.end);
                let faults = first..self.faults.len();
                let from = self.faults[faults.clone()].iter().map(|fault| fault.span.from).min();
                let span = Span { from: from.unwrap_or(at), to: end };
                self.episodes.push(Episode { span, healed: at, missing: None, faults });
            }
            What::Whole => self.end_episode(at, None),
            What::Stuck { missing } => self.end_episode(at, Some(missing)),
            What::Wrote { zxid, session, change } => self.write(at, *zxid, SessionId(*session), change),
            What::Setting(_) | What::Done => {}
            What::Connected { who, connections, since } => {
                let lives = Life { who: *who, life: 0 }..=Life { who: *who, life: u32::MAX };
                let mut lives = self.lives.range_mut(lives).rev();
                let Some((_, living)) = lives.next() else { return };
                // What the life before may have made counts for neither.
                if living.span.from <= *since
                    || lives.next().is_none_or(|(_, before)| before.span.to <= *since)
                {
                    let since = living.span.from.max(*since);
                    living.connections.push(Connections { since, at, many: *connections });
                }
            }
            What::Garbled { .. } => self.rest.push(entry),
        }
    }

    /// What nobody started is not known, and is no life.
    fn with(&mut self, life: &Life, work: impl FnOnce(&mut Living<'a>)) {
        if let Some(living) = self.lives.get_mut(life) {
            work(living);
        }
    }

    fn end_episode(&mut self, at: Nanos, missing: Option<&String>) {
        if let Some(episode) = self.episodes.last_mut() {
            episode.span.to = at;
            episode.missing = missing.cloned();
        }
    }

    fn write(&mut self, at: Nanos, zxid: i64, session: SessionId, change: &Change) {
        let end = self.span.to;
        let living = self.nodes.iter_mut().rev().filter(|node| node.span.to == end && node.span.from <= at);
        match change {
            Change::Created { path, ephemeral } => self.nodes.push(Node {
                path: path.clone(),
                whose: Whose::of(path, &self.setting.service),
                czxid: zxid,
                owner: ephemeral.then_some(session),
                // The end is not known yet.
                span: Span { from: at, to: end },
                deleted_by: None,
            }),
            Change::Deleted { path } => {
                if let Some(node) = living.into_iter().find(|node| node.path == *path) {
                    node.span.to = at;
                    node.deleted_by = Some(session);
                }
            }
            Change::SessionClosed => {
                for node in living.filter(|node| node.owner == Some(session)) {
                    node.span.to = at;
                }
            }
        }
    }

    pub(crate) fn of_role(&self, role: Role) -> impl Iterator<Item = (&Life, &Living<'a>)> {
        self.lives.iter().filter(move |(life, _)| life.who.role == role)
    }

    /// All leaderships, in the order in which they began.
    pub(crate) fn beliefs(&self) -> Vec<&Belief> {
        let mut all: Vec<_> = self.lives.values().flat_map(|living| &living.beliefs).collect();
        all.sort_by_key(|belief| belief.span.from);
        all
    }

    /// The nodes of those who are registered.
    pub(crate) fn instances(&self) -> impl Iterator<Item = (Who, &Node)> {
        self.nodes.iter().filter_map(|node| match node.whose {
            Some(Whose::Instance(who)) => Some((who, node)),
            _ => None,
        })
    }

    /// The nodes of those who stand for election.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = (Who, &Node)> {
        self.nodes.iter().filter_map(|node| match node.whose {
            Some(Whose::Candidate(who)) => Some((who, node)),
            _ => None,
        })
    }

    /// What is broken by faults that anybody notices at that time.
    pub(crate) fn broken(&self, span: Span) -> impl Iterator<Item = &Fault> {
        self.faults.iter().filter(move |fault| fault.span.meets(span))
    }
}

impl<'a> Living<'a> {
    pub(crate) fn sessions(&self) -> impl Iterator<Item = (Nanos, SessionState, SessionId)> {
        self.sessions.iter().copied()
    }

    pub(crate) fn owns(&self, session: SessionId) -> bool {
        self.sessions().any(|(_, _, id)| id == session)
    }

    pub(crate) fn views(&self) -> impl Iterator<Item = View<'a>> {
        self.views.iter().copied()
    }

    pub(crate) fn tasks(&self) -> Vec<(Nanos, usize)> {
        let tasks = |(at, event): &(Nanos, &Event)| match event {
            Event::Tasks { alive } => Some((*at, *alive)),
            _ => None,
        };
        self.said.iter().filter_map(tasks).collect()
    }
}

fn beliefs(life: Life, living: &Living<'_>) -> Vec<Belief> {
    let mut all: Vec<Belief> = Vec::new();
    for (at, event) in &living.said {
        match event {
            Event::LeaderAcquired { token, path, session_id } => all.push(Belief {
                life,
                token: *token,
                path: path.clone(),
                session: *session_id,
                span: Span { from: *at, to: living.span.to },
                reason: None,
            }),
            Event::LeaderLost { reason, .. } => {
                if let Some(last) = all.last_mut().filter(|last| last.reason.is_none()) {
                    last.span.to = *at;
                    last.reason = Some(reason.clone());
                }
            }
            _ => {}
        }
    }
    all
}
