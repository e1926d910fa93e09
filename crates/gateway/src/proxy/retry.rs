//! Whether a request that failed is sent once more. Pure.

/// How a try failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// There was no connection.
    Unreachable,
    /// There was no room here for one more connection.
    NoRoom,
    /// There was no port for one more connection to this address.
    NoPort,
    /// It was not found out in time where its host is.
    LookedUpLate,
    /// The connection ended, or what came is no HTTP.
    Broken {
        /// Whether the instance may have seen a part of the request.
        sent: bool,
        /// Whether the connection had been used before: the instance may have closed it while it was idle.
        used: bool,
        /// Whether the client's body was waited for: the instance may have had enough of that.
        waited: bool,
    },
    /// The head of the answer has more than is read.
    LargeHead {
        /// Whether there was room for as much as is ever read.
        had_room: bool,
    },
    /// No answer came in time.
    Late {
        /// Whether no other instance took a part of that time.
        had_all_time: bool,
    },
    /// The body did not come from the client.
    Client,
}

/// What a request allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowed {
    /// Whether it may be done twice (RFC 9110, 9.2.2).
    pub(super) is_idempotent: bool,
    /// Whether its whole body can be sent once more.
    pub(super) is_whole: bool,
    /// Whether there may be another try.
    pub(super) another_try: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) try_again: Option<Where>,
    /// Whether it is a failure of the instance.
    pub(super) blames_instance: bool,
    /// Whether the other try may be work that was done already, or is being done: then there may be so many of them, and no more.
    pub(super) costs: bool,
}

/// Where a request is sent once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Where {
    /// To the same instance, on a new connection.
    Here,
    Elsewhere,
}

pub(super) fn next(failure: Failure, allowed: Allowed) -> Next {
    let Allowed { is_idempotent, is_whole, another_try } = allowed;
    let elsewhere = |may: bool| (may && is_whole && another_try).then_some(Where::Elsewhere);
    let next = |try_again, blames_instance| Next { try_again, blames_instance, costs: false };
    match failure {
        Failure::Unreachable => next(elsewhere(true), true),
        Failure::NoPort | Failure::LookedUpLate => next(elsewhere(true), false),
        // No try of another instance: this one did nothing wrong, and a new connection will tell.
        Failure::Broken { sent, used: true, .. } => {
            let again = is_whole && (!sent || is_idempotent);
            next(again.then_some(Where::Here), false)
        }
        Failure::Broken { sent, used: false, waited } => {
            let try_again = elsewhere(!sent || is_idempotent);
            Next { costs: sent && try_again.is_some(), ..next(try_again, !waited) }
        }
        // The time that is over was for all tries.
        Failure::Late { had_all_time } => next(None, had_all_time),
        // It is there and answers, and so would the others: they are asked the same. A new connection may have room.
        Failure::LargeHead { had_room } => {
            let again = !had_room && is_whole && is_idempotent;
            next(again.then_some(Where::Here), false)
        }
        Failure::Client | Failure::NoRoom => next(None, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_not_sent_or_may_be_done_twice_is_sent_again() {
        use Failure::{Broken, Client, LargeHead, Late, LookedUpLate, NoPort, NoRoom, Unreachable};

        let (here, elsewhere) = (Some(Where::Here), Some(Where::Elsewhere));
        let fresh = |sent| Broken { sent, used: false, waited: false };
        let waited = |sent| Broken { sent, used: false, waited: true };
        let used = |sent| Broken { sent, used: true, waited: false };
        // failure, idempotent, whole, another try: where, whose failure
        let cases = [
            (Unreachable, false, true, true, elsewhere, true),
            (Unreachable, true, true, true, elsewhere, true),
            (Unreachable, true, true, false, None, true),
            (Unreachable, true, false, true, None, true),
            (fresh(false), false, true, true, elsewhere, true),
            (fresh(true), false, true, true, None, true),
            (fresh(true), true, true, true, elsewhere, true),
            (fresh(true), true, false, true, None, true),
            (fresh(true), true, true, false, None, true),
            (used(false), false, true, true, here, false),
            (used(false), false, true, false, here, false),
            (used(true), false, true, true, None, false),
            (used(true), true, true, true, here, false),
            (used(true), true, true, false, here, false),
            (used(true), true, false, true, None, false),
            (waited(true), true, true, true, elsewhere, false),
            (waited(true), false, true, true, None, false),
            (Late { had_all_time: true }, true, true, true, None, true),
            (Late { had_all_time: false }, true, true, true, None, false),
            (LargeHead { had_room: true }, true, true, true, None, false),
            (LargeHead { had_room: false }, true, true, true, here, false),
            (LargeHead { had_room: false }, true, true, false, here, false),
            (LargeHead { had_room: false }, true, false, true, None, false),
            (LargeHead { had_room: false }, false, true, true, None, false),
            (NoRoom, true, true, true, None, false),
            (NoPort, false, true, true, elsewhere, false),
            (NoPort, true, true, false, None, false),
            (NoPort, true, false, true, None, false),
            (LookedUpLate, false, true, true, elsewhere, false),
            (LookedUpLate, true, true, false, None, false),
            (LookedUpLate, true, false, true, None, false),
            (Client, true, true, true, None, false),
        ];
        for (failure, is_idempotent, is_whole, another_try, try_again, blames_instance) in cases {
            let allowed = Allowed { is_idempotent, is_whole, another_try };
            // Only what somebody may work on is work twice.
            let costs = matches!(failure, Broken { sent: true, used: false, .. }) && try_again.is_some();
            let expected = Next { try_again, blames_instance, costs };
            assert_eq!(next(failure, allowed), expected, "{failure:?} {allowed:?}");
        }
    }
}
