//! Takes down what happens, and knows what is the case at the moment.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::history::{Command, Entry, Event, Life, Nanos, SessionId, SessionState, Source, What, now};
use crate::who::{Role, Who};

/// All that was seen so far.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    seen: Mutex<Seen>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Seen {
    entries: Vec<Entry>,
    now: Now,
}

/// What is the case, as far as it was seen.
#[derive(Debug, Default)]
pub(crate) struct Now {
    alive: BTreeMap<Who, Alive>,
    /// When an act was last accepted, and whose.
    acted: Option<(Nanos, Who)>,
}

/// What a process that lives said last.
#[derive(Debug)]
struct Alive {
    life: u32,
    /// Its session, while it has a connection.
    session: Option<SessionId>,
    registered: Option<SessionId>,
    deregistered: bool,
    /// The port that its node is to have.
    port: Option<u16>,
    view: Option<(BTreeMap<String, Option<u16>>, Source)>,
    tasks: bool,
}

impl Recorder {
    /// Takes down what happens now.
    pub(crate) fn note(&self, what: What) {
        self.note_at(now(), what);
    }

    pub(crate) fn note_at(&self, at: Nanos, what: What) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.now.learn(at, &what);
        seen.entries.push(Entry { at, what });
        drop(seen);
        self.changed.send_replace(());
    }

    pub(crate) fn look<T>(&self, look: impl FnOnce(&Now) -> T) -> T {
        look(&self.seen.lock().unwrap_or_else(PoisonError::into_inner).now)
    }

    /// Waits until something is the case; false when it was not for so long.
    pub(crate) async fn wait_for(&self, limit: Duration, is: impl Fn(&Now) -> bool) -> bool {
        let mut changed = self.changed.subscribe();
        let wait = async {
            while !self.look(&is) {
                // The sender lives as long as this.
                let _ = changed.changed().await;
            }
        };
        timeout(limit, wait).await.is_ok()
    }

    pub(crate) fn take(&self) -> Vec<Entry> {
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner).entries)
    }
}

impl Now {
    fn learn(&mut self, at: Nanos, what: &What) {
        match what {
            What::Started { life: Life { who, life }, port, .. } => {
                let alive = Alive {
                    life: *life,
                    session: None,
                    registered: None,
                    deregistered: false,
                    port: *port,
                    view: None,
                    tasks: false,
                };
                self.alive.insert(*who, alive);
            }
            What::Ended { life: Life { who, life }, .. }
                if self.alive.get(who).is_some_and(|alive| alive.life == *life) =>
            {
                self.alive.remove(who);
            }
            What::Told { life: Life { who, .. }, command: Command::Update { port } } => {
                if let Some(alive) = self.alive.get_mut(who) {
                    alive.port = Some(*port);
                }
            }
            What::Told { life: Life { who, .. }, command: Command::Tasks } => {
                if let Some(alive) = self.alive.get_mut(who) {
                    alive.tasks = false;
                }
            }
            What::Said { life: Life { who, life }, event } => {
                if let Some(alive) = self.alive.get_mut(who).filter(|alive| alive.life == *life) {
                    alive.learn(event);
                }
            }
            What::Acted { who, ok: true, .. } => self.acted = Some((at, *who)),
            _ => {}
        }
    }

    /// Who acts as the leader.
    pub(crate) fn leader(&self) -> Option<Who> {
        self.acted.map(|(_, who)| who)
    }

    /// Whether somebody's tasks were told.
    pub(crate) fn has_told_tasks(&self, who: Who) -> bool {
        self.alive.get(&who).is_none_or(|alive| alive.tasks)
    }

    /// Whether this process said that its node is gone for good, or is gone itself.
    pub(crate) fn is_deregistered(&self, who: Who) -> bool {
        self.alive.get(&who).is_none_or(|alive| alive.deregistered)
    }

    /// What is not as it should be, after all was mended at some time.
    pub(crate) fn missing(&self, healed: Nanos) -> Option<String> {
        if let Some(who) = Who::all().find(|who| !self.alive.contains_key(who)) {
            return Some(format!("{who} does not run"));
        }
        if self.acted.is_none_or(|(at, _)| at <= healed) {
            return Some("nobody acts as the leader".to_owned());
        }
        if let Some((who, _)) = self.alive.iter().find(|(_, alive)| alive.session.is_none()) {
            return Some(format!("{who} has no session"));
        }
        let unregistered = |alive: &Alive| alive.registered != alive.session;
        let (instances, watchers): (Vec<_>, Vec<_>) = self
            .alive
            .iter()
            .filter(|(who, _)| who.role != Role::Candidate)
            .partition(|(who, _)| who.role == Role::Instance);
        if let Some((who, _)) = instances.iter().find(|(_, alive)| unregistered(alive)) {
            return Some(format!("{who} is not registered"));
        }
        let truth: BTreeMap<_, _> =
            instances.iter().map(|(who, alive)| (who.to_string(), alive.port)).collect();
        let live = |alive: &Alive| {
            alive.view.as_ref().is_some_and(|(view, source)| *view == truth && *source == Source::Live)
        };
        let (who, _) = watchers.iter().find(|(_, alive)| !live(alive))?;
        Some(format!("{who} does not see what is registered"))
    }
}

impl Alive {
    fn learn(&mut self, event: &Event) {
        match event {
            Event::Session { state, session_id } => {
                self.session = (*state == SessionState::Connected).then_some(*session_id);
            }
            Event::Registered { session_id, .. } => self.registered = Some(*session_id),
            Event::Deregistered => self.deregistered = true,
            Event::View { instances, source } => {
                let view = instances.iter().map(|seen| (seen.id.clone(), seen.port)).collect();
                self.view = Some((view, *source));
            }
            Event::Tasks { .. } => self.tasks = true,
            _ => {}
        }
    }
}
