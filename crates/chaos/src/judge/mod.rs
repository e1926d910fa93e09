//! What must hold whatever was broken, each under the name of its promise in `docs/reliability.md`.
//!
//! All of it is decided from the history alone, so that a run can be judged once more.

mod ends;
mod leading;
mod passing;
mod registered;
mod seen;
mod uses;

#[cfg(test)]
mod story;

use std::time::Duration;

use serde::Serialize;

use crate::facts::{Facts, Span};
use crate::history::{Nanos, nanos};

/// Servers date what they do by whole milliseconds, before the others have agreed.
const DATING: Duration = Duration::from_millis(20);

/// Something that must not have happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Violation {
    pub(crate) promise: &'static str,
    /// Nanoseconds since the beginning of the run.
    pub(crate) at: Nanos,
    pub(crate) what: String,
}

/// All that was promised and not kept, in the order of time.
pub(crate) fn all(facts: &Facts<'_>, slack: f64) -> Vec<Violation> {
    let mut bench = Bench { facts, slack, found: Vec::new() };
    leading::judge(&mut bench);
    passing::judge(&mut bench);
    registered::judge(&mut bench);
    seen::judge(&mut bench);
    ends::judge(&mut bench);
    uses::judge(&mut bench);
    bench.found.sort_by(|a, b| (a.at, a.promise).cmp(&(b.at, b.promise)));
    bench.found
}

/// Where what happened is held against what was promised.
struct Bench<'a> {
    facts: &'a Facts<'a>,
    slack: f64,
    found: Vec<Violation>,
}

impl<'a> Bench<'a> {
    fn found(&mut self, promise: &'static str, at: Nanos, what: impl Into<String>) {
        let at = at.saturating_sub(self.facts.span.from);
        self.found.push(Violation { promise, at, what: what.into() });
    }

    /// A limit of time on this machine.
    fn limit(&self, promised: Duration) -> Nanos {
        nanos(promised.mul_f64(self.slack))
    }

    fn session(&self) -> Duration {
        self.facts.setting.session()
    }

    /// How long servers need to see that a session is over.
    fn expiry(&self) -> Duration {
        self.session() + 2 * self.facts.setting.tick()
    }

    /// Whether servers were broken at any time of a span.
    fn servers_broke(&self, span: Span) -> bool {
        self.facts.broken(span).any(|fault| fault.kind.is_of_servers())
    }
}

/// A time for people.
fn millis(nanos: Nanos) -> String {
    format!("{} ms", Duration::from_nanos(nanos).as_millis())
}
