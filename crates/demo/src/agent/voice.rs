//! What an agent says in every role: that it began, what became of its session, and how it ended.

use std::io::{self, stdout};

use tokio::runtime::Handle;
use zk_session::State;

use super::events::{Event, Events};
use super::session::{Told, problem};

/// The events of one agent.
#[derive(Debug)]
pub(super) struct Voice {
    events: Events,
    told: Told,
}

impl Voice {
    /// Says that the arguments are good.
    pub(super) fn begin() -> io::Result<Self> {
        let mut events = Events::to(stdout())?;
        events.say(&Event::Ready { pid: std::process::id() });
        Ok(Self { events, told: Told::default() })
    }

    pub(super) fn say(&mut self, event: &Event) {
        self.events.say(event);
    }

    pub(super) fn error(&mut self, what: impl Into<String>) {
        self.events.error(what);
    }

    /// Answers a command that is not obeyed: each of them, for who sent it waits for that.
    pub(super) fn refuse(&mut self, why: &str) {
        self.events.say(&Event::Error { what: format!("not done: {why}") });
    }

    /// Says how many tasks this process has that did not end.
    pub(super) fn tasks(&mut self) {
        let alive = Handle::current().metrics().num_alive_tasks();
        self.events.say(&Event::Tasks { alive });
    }

    /// Says what changed about the session, and what keeps us from a connection.
    pub(super) fn session(&mut self, state: &State) {
        for event in self.told.change(state) {
            self.events.say(&event);
        }
        if let Some(why) = problem(state) {
            self.events.error(why);
        }
    }

    /// Says whether the session was closed, or that `what` expires, and the last word.
    pub(super) async fn end(mut self, closed: bool, what: &str) {
        if closed {
            self.told.closed().iter().for_each(|event| self.events.say(event));
        } else {
            self.events.error(format!("ZooKeeper cannot be reached: {what}"));
        }
        self.events.end(closed).await;
    }
}
