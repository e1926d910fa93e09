//! Histories for tests, told in milliseconds.

use crate::facts::Facts;
use crate::history::{
    Change, Command, Entry, Event, History, Life, Seen, SessionId, SessionState, Setting, Source, What,
};
use crate::plan::Kind;

/// A history that is written by hand. Nobody says anything in a second life.
#[derive(Default)]
pub(super) struct Story(Vec<Entry>);

fn life(who: &str) -> Life {
    Life { who: who.parse().unwrap(), life: 0 }
}

fn path(name: &str) -> String {
    let directory = if name.starts_with('i') { "instances" } else { "election" };
    format!("/headkeeper/chaos/{directory}/{name}")
}

impl Story {
    fn add(&mut self, at_ms: u64, what: What) -> &mut Self {
        self.0.push(Entry { at: at_ms * 1_000_000, what });
        self
    }

    fn says(&mut self, at_ms: u64, who: &str, event: Event) -> &mut Self {
        self.add(at_ms, What::Said { life: life(who), event })
    }

    /// The promises that were broken.
    pub(super) fn promises(&self) -> Vec<&'static str> {
        self.promises_with(1.0)
    }

    /// The same on a busy machine.
    pub(super) fn promises_with(&self, slack: f64) -> Vec<&'static str> {
        let setting =
            Setting { seed: 1, session_ms: 2000, tick_ms: 200, service: "chaos".into(), broken: None };
        let mut entries = self.0.clone();
        let last = entries.iter().map(|entry| entry.at).max().unwrap();
        // What is there at last is there to stay.
        entries.push(Entry { at: last + 10_000_000_000, what: What::Done });
        let history = History::new(setting, entries);
        let found = super::all(&Facts::of(&history), slack);
        found.iter().map(|violation| violation.promise).collect()
    }

    pub(super) fn starts(&mut self, at_ms: u64, who: &str) -> &mut Self {
        let port = who.starts_with('i').then_some(80);
        self.add(at_ms, What::Started { life: life(who), pid: 1, port })
    }

    pub(super) fn starts_again(&mut self, at_ms: u64, who: &str) -> &mut Self {
        let life = Life { life: 1, ..life(who) };
        self.add(at_ms, What::Started { life, pid: 1, port: None })
    }

    pub(super) fn ready(&mut self, at_ms: u64, who: &str) -> &mut Self {
        self.says(at_ms, who, Event::Ready)
    }

    pub(super) fn candidate(&mut self, who: &str, session: i64) -> &mut Self {
        self.starts(10, who).connected(90, who, session)
    }

    pub(super) fn ended(&mut self, at_ms: u64, who: &str, code: Option<i32>) -> &mut Self {
        self.add(at_ms, What::Ended { life: life(who), code })
    }

    pub(super) fn asked_to_end(&mut self, at_ms: u64, who: &str) -> &mut Self {
        self.add(at_ms, What::Told { life: life(who), command: Command::Quit })
    }

    pub(super) fn withdrawn(&mut self, at_ms: u64, who: &str) -> &mut Self {
        self.add(at_ms, What::Told { life: life(who), command: Command::Deregister })
    }

    pub(super) fn updated(&mut self, at_ms: u64, who: &str, port: u16) -> &mut Self {
        self.add(at_ms, What::Told { life: life(who), command: Command::Update { port } })
    }

    pub(super) fn connected(&mut self, at_ms: u64, who: &str, session: i64) -> &mut Self {
        let state = SessionState::Connected;
        self.says(at_ms, who, Event::Session { state, session_id: SessionId(session) })
    }

    pub(super) fn suspended(&mut self, at_ms: u64, who: &str, session: i64) -> &mut Self {
        let state = SessionState::Suspended;
        self.says(at_ms, who, Event::Session { state, session_id: SessionId(session) })
    }

    pub(super) fn registered(&mut self, at_ms: u64, who: &str, session: i64) -> &mut Self {
        self.says(at_ms, who, Event::Registered { path: path(who), session_id: SessionId(session) })
    }

    pub(super) fn deregistered(&mut self, at_ms: u64, who: &str) -> &mut Self {
        self.says(at_ms, who, Event::Deregistered)
    }

    pub(super) fn bye(&mut self, at_ms: u64, who: &str, clean: bool) -> &mut Self {
        self.says(at_ms, who, Event::Bye { clean })
    }

    pub(super) fn bad_node(&mut self, at_ms: u64, who: &str, path: &str) -> &mut Self {
        self.says(at_ms, who, Event::BadNode { path: path.to_owned() })
    }

    pub(super) fn tasks(&mut self, at_ms: u64, who: &str, alive: usize) -> &mut Self {
        self.says(at_ms, who, Event::Tasks { alive })
    }

    pub(super) fn view(&mut self, at_ms: u64, who: &str, ids: &[&str]) -> &mut Self {
        self.sees(at_ms, who, ids, Source::Live)
    }

    pub(super) fn stale(&mut self, at_ms: u64, who: &str, ids: &[&str]) -> &mut Self {
        self.sees(at_ms, who, ids, Source::Stale)
    }

    fn sees(&mut self, at_ms: u64, who: &str, ids: &[&str], source: Source) -> &mut Self {
        let instances = ids.iter().map(|&id| Seen { id: id.to_owned(), port: Some(80) }).collect();
        self.says(at_ms, who, Event::View { instances, source })
    }

    pub(super) fn leads(&mut self, at_ms: u64, who: &str, token: i64, name: &str, session: i64) -> &mut Self {
        let session_id = SessionId(session);
        self.says(at_ms, who, Event::LeaderAcquired { token, path: path(name), session_id })
    }

    pub(super) fn led(&mut self, at_ms: u64, who: &str, token: i64, reason: &str) -> &mut Self {
        self.says(at_ms, who, Event::LeaderLost { token, reason: reason.to_owned() })
    }

    pub(super) fn act(&mut self, at_ms: u64, who: &str, token: i64, ok: bool) -> &mut Self {
        self.add(at_ms, What::Acted { who: who.parse().unwrap(), token, ok })
    }

    pub(super) fn node(&mut self, at_ms: u64, name: &str, session: i64, zxid: i64) -> &mut Self {
        let change = Change::Created { path: path(name), ephemeral: true };
        self.add(at_ms, What::Wrote { zxid, session, change })
    }

    pub(super) fn deleted(&mut self, at_ms: u64, name: &str, session: i64) -> &mut Self {
        self.add(at_ms, What::Wrote { zxid: 99, session, change: Change::Deleted { path: path(name) } })
    }

    pub(super) fn expired(&mut self, at_ms: u64, session: i64) -> &mut Self {
        self.add(at_ms, What::Wrote { zxid: 99, session, change: Change::SessionClosed })
    }

    pub(super) fn fault(&mut self, id: u32, kind: Kind, on: &str, from_ms: u64, to_ms: u64) -> &mut Self {
        self.add(from_ms, What::Fault { id, kind, on: vec![on.to_owned()] }).add(to_ms, What::Over { id })
    }

    pub(super) fn episode(&mut self, healed_ms: u64, whole_ms: u64) -> &mut Self {
        self.add(healed_ms, What::Healed).add(whole_ms, What::Whole)
    }

    pub(super) fn stuck(&mut self, healed_ms: u64, to_ms: u64, missing: &str) -> &mut Self {
        self.add(healed_ms, What::Healed).add(to_ms, What::Stuck { missing: missing.to_owned() })
    }

    pub(super) fn uses(&mut self, at_ms: u64, who: &str, descriptors: usize, rss_kib: u64) -> &mut Self {
        self.add(at_ms, What::Uses { life: life(who), descriptors, rss_kib })
    }

    pub(super) fn connects(&mut self, since_ms: u64, at_ms: u64, who: &str, connections: u64) -> &mut Self {
        let since = since_ms * 1_000_000;
        self.add(at_ms, What::Connected { who: who.parse().unwrap(), connections, since })
    }
}
