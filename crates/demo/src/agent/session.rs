//! What became of the session, told change by change.

use std::time::Duration;

use cli::output::chain;
use zk_session::{SessionId, State};

use super::events::{Event, SessionState};

/// What was told of the session so far.
///
/// The keeper publishes states, of which fast ones may be skipped; what is told are changes, none of which may be
/// missing: who is connected again was suspended before, and another session means that the earlier one is over.
#[derive(Debug, Default)]
pub(crate) struct Told {
    last: Option<(SessionId, Duration)>,
    connected: bool,
}

impl Told {
    /// What is to be told now that the state changed to `state`.
    pub(crate) fn change(&mut self, state: &State) -> Vec<Event> {
        let mut events = Vec::new();
        match *state {
            State::Connected { id, timeout } => {
                events.extend(self.suspended());
                if let Some((last, granted)) = self.last.filter(|(last, _)| *last != id) {
                    events.push(event(SessionState::Expired, last, granted));
                }
                (self.last, self.connected) = (Some((id, timeout)), true);
                events.push(event(SessionState::Connected, id, timeout));
            }
            State::Suspended { .. } => events.extend(self.suspended()),
            // That the session is closed is told when it is, and not when closing begins.
            State::Connecting { .. } | State::Closed => {}
        }
        events
    }

    /// What is to be told now that we have closed the session; nothing when there was none.
    pub(crate) fn closed(self) -> Option<Event> {
        self.last.map(|(id, timeout)| event(SessionState::Closed, id, timeout))
    }

    fn suspended(&mut self) -> Option<Event> {
        let (id, timeout) = self.last?;
        std::mem::take(&mut self.connected).then(|| event(SessionState::Suspended, id, timeout))
    }
}

/// What keeps us from a connection, if anything does.
pub(crate) fn problem(state: &State) -> Option<String> {
    match state {
        State::Connecting { problem } | State::Suspended { problem, .. } => {
            problem.as_ref().map(|problem| chain(problem))
        }
        State::Connected { .. } | State::Closed => None,
    }
}

fn event(state: SessionState, id: SessionId, timeout: Duration) -> Event {
    let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    Event::Session { state, session_id: id.to_string(), timeout_ms }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::Instant;

    use super::*;

    fn connected(id: i64) -> State {
        State::Connected { id: SessionId(id), timeout: Duration::from_secs(2) }
    }

    fn suspended(id: i64) -> State {
        State::Suspended { id: SessionId(id), since: Instant::now(), problem: None }
    }

    /// The names of the states that are told, with the session's number.
    fn told(states: &[State]) -> Vec<String> {
        let mut told = Told::default();
        let mut events: Vec<_> = states.iter().flat_map(|state| told.change(state)).collect();
        events.extend(told.closed());
        let name = |event| match event {
            Event::Session { state, session_id, timeout_ms: 2000 } => {
                format!("{state:?} {session_id}")
            }
            other => panic!("{other:?}"),
        };
        events.into_iter().map(name).collect()
    }

    #[test]
    fn every_change_is_told_also_when_states_were_skipped() {
        let connecting = || State::Connecting { problem: None };
        for (states, expected) in [
            (vec![connecting(), State::Closed], vec![]),
            (vec![connecting(), connected(1), State::Closed], vec!["Connected 0x1", "Closed 0x1"]),
            (
                vec![connected(1), suspended(1), suspended(1), connected(1)],
                vec!["Connected 0x1", "Suspended 0x1", "Connected 0x1", "Closed 0x1"],
            ),
            (
                vec![connected(1), connected(1)],
                vec!["Connected 0x1", "Suspended 0x1", "Connected 0x1", "Closed 0x1"],
            ),
            (
                vec![connected(1), suspended(1), connected(2)],
                vec!["Connected 0x1", "Suspended 0x1", "Expired 0x1", "Connected 0x2", "Closed 0x2"],
            ),
            (
                vec![connected(1), connected(2), suspended(2)],
                vec![
                    "Connected 0x1",
                    "Suspended 0x1",
                    "Expired 0x1",
                    "Connected 0x2",
                    "Suspended 0x2",
                    "Closed 0x2",
                ],
            ),
        ] {
            assert_eq!(told(&states), expected, "{states:?}");
        }
    }

    #[test]
    fn a_problem_is_what_keeps_us_from_a_connection() {
        let refused = || Some(zk_session::Error::Invalid("no".into()));
        assert_eq!(problem(&State::Connecting { problem: refused() }).as_deref(), Some("no"));
        let since = Instant::now();
        let state = State::Suspended { id: SessionId(1), since, problem: refused() };
        assert_eq!(problem(&state).as_deref(), Some("no"));
        assert_eq!(problem(&connected(1)), None);
        assert_eq!(problem(&State::Connecting { problem: None }), None);
        let source: Arc<dyn std::error::Error + Send + Sync> =
            Arc::new(std::io::Error::other("certificate expired"));
        let unreachable = zk_session::Error::Unreachable { servers: "a:1".to_owned(), source: Some(source) };
        let told = problem(&State::Connecting { problem: Some(unreachable) });
        assert_eq!(told.as_deref(), Some("no ZooKeeper server of a:1 could be reached: certificate expired"));
    }
}
