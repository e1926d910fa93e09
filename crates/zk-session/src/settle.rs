//! What may be published while a connection is young.
//!
//! Absence is no evidence then: after an outage long enough to end every session, whoever comes back first sees an
//! empty directory, and the others reappear one after the other.

use std::time::Duration;

use tokio::time::Instant;

/// A longer time than this cannot be told from it, and could not be added to a moment.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// What bears on the question, besides the lists themselves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances {
    pub(crate) now: Instant,
    /// A new session has replaced the one in which the list was last whole: until then, what is missing may come back.
    pub(crate) young_until: Option<Instant>,
    /// When our connection last came back.
    pub(crate) disturbed_at: Option<Instant>,
    /// Since when nothing is there.
    pub(crate) empty_since: Option<Instant>,
    /// Our session timeout.
    pub(crate) timeout: Duration,
    /// For how long a list that became empty at once is not believed, if we were disturbed shortly before.
    pub(crate) empty_grace: Duration,
    /// Until when that is so already.
    pub(crate) protected_until: Option<Instant>,
}

/// What to do with entries that were published and are not there any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// They are gone.
    Drop,
    /// They stay, marked stale, because our session is new.
    Keep(Instant),
    /// They stay, marked stale, because all vanished at once.
    Protect(Instant),
}

/// `present` entries are there, `missing` were published before and are not.
pub(crate) fn settle(present: usize, missing: usize, c: Circumstances) -> Missing {
    if missing == 0 {
        return Missing::Drop;
    }
    if let Some(until) = c.young_until.filter(|until| c.now < *until) {
        return Missing::Keep(until);
    }
    if let Some(until) = c.protected_until {
        return if c.now < until { Missing::Protect(until) } else { Missing::Drop };
    }
    // One that goes is an ordinary event; several that go together are an outage until proved otherwise.
    let Some(since) = c.empty_since.filter(|_| present == 0 && missing > 1) else { return Missing::Drop };
    let disturbed = c.disturbed_at.is_some_and(|at| since < at + 2 * c.timeout);
    // Counted from when they went: what a new session kept for so long already is not kept for longer.
    let until = since + c.empty_grace.min(FOREVER);
    if disturbed && c.now < until { Missing::Protect(until) } else { Missing::Drop }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_missing_stays_only_while_that_is_no_evidence() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let calm = Circumstances {
            now: at(100),
            young_until: None,
            disturbed_at: None,
            empty_since: Some(at(100)),
            timeout: Duration::from_secs(10),
            empty_grace: Duration::from_secs(5),
            protected_until: None,
        };
        let young = Circumstances { young_until: Some(at(104)), disturbed_at: Some(at(94)), ..calm };
        let old = Circumstances { young_until: Some(at(99)), disturbed_at: Some(at(89)), ..calm };
        let disturbed = Circumstances { disturbed_at: Some(at(81)), ..calm };
        let long_ago = Circumstances { disturbed_at: Some(at(80)), ..calm };
        let protected = Circumstances { protected_until: Some(at(101)), ..disturbed };
        let released = Circumstances { protected_until: Some(at(100)), ..disturbed };
        let doubted = Circumstances { empty_since: Some(at(95)), ..old };
        let forever = Circumstances { empty_grace: Duration::MAX, ..disturbed };
        let unprotected = Circumstances { empty_grace: Duration::ZERO, ..disturbed };
        for (what, present, missing, circumstances, expected) in [
            ("nothing is missing", 0, 0, young, Missing::Drop),
            ("a calm session is believed", 3, 1, calm, Missing::Drop),
            ("even when all is gone", 0, 3, calm, Missing::Drop),
            ("a new session is not", 2, 1, young, Missing::Keep(at(104))),
            ("for the session timeout", 2, 1, old, Missing::Drop),
            ("and what went only now is doubted", 0, 2, old, Missing::Protect(at(105))),
            ("unlike what was gone all the time", 0, 2, doubted, Missing::Drop),
            ("after a disturbance a part is believed", 1, 2, disturbed, Missing::Drop),
            ("but not that all is gone", 0, 2, disturbed, Missing::Protect(at(105))),
            ("unless it was a single one", 0, 1, disturbed, Missing::Drop),
            ("or the disturbance is long over", 0, 2, long_ago, Missing::Drop),
            ("protection lasts when new ones come", 1, 2, protected, Missing::Protect(at(101))),
            ("and ends", 0, 2, released, Missing::Drop),
            ("it may be for ever", 0, 2, forever, Missing::Protect(at(100) + FOREVER)),
            ("it can be switched off", 0, 2, unprotected, Missing::Drop),
        ] {
            assert_eq!(settle(present, missing, circumstances), expected, "{what}");
        }
    }
}
