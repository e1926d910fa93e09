//! Until when a session is surely alive: what is concluded from the requests that were answered.
//!
//! A session lives for its timeout T after ZooKeeper's leader last heard of it, and the leader hears of it late: a
//! follower tells it only every half tick what its clients did, and answers reads and pings by itself, cut off as well.
//! So an answer alone proves nothing, and neither does a write alone, whose acknowledgement says only that the follower
//! was one with the majority at that time. Both together do: an answered request *m*, and a write *n* that was called
//! later and acknowledged, with time enough between the two for the follower to have told of *m* before it passed *n* on.
//! A connection that was accepted is such an *m*, too, and needs no time in between: the leader itself was asked for it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::Moment;

/// Requests that are remembered at most. Of two that follow each other the second was sent a sixteenth of the timeout after
/// the one before the first, or later, so these are those of a whole timeout, however much is asked.
const MOST: usize = 32;

/// What was asked of one session, as far as it tells how long that lives.
#[derive(Debug)]
pub(crate) struct Evidence {
    timeout: Duration,
    /// In the order in which they were sent.
    answered: VecDeque<Answered>,
    /// When the newest request was sent that the leader has surely heard of.
    heard: Option<Moment>,
}

/// A request that was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered {
    /// Not after it was sent.
    pub(crate) sent: Moment,
    /// Not before its answer was there.
    pub(crate) at: Moment,
    /// On which connection: they are numbered from 1 on.
    pub(crate) connection: u64,
}

/// A write that was acknowledged, and so has been through a majority of the servers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    /// Not after it was sent.
    pub(crate) called: Moment,
    /// On which connection.
    pub(crate) connection: u64,
}

impl Evidence {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self { timeout, answered: VecDeque::new(), heard: None }
    }

    /// The session was made or met again on a connection that was asked for not before `asked`. The leader has heard of
    /// that itself: making a session is a write, and one that is met again is accepted only when the leader says that it lives. So
    /// it counts as a request on the connection before.
    pub(crate) fn met(&mut self, asked: Moment, connection: u64) {
        self.answered(Answered { sent: asked, at: asked, connection: connection.saturating_sub(1) });
    }

    /// A request was answered.
    pub(crate) fn answered(&mut self, request: Answered) {
        // What is left out proves nothing, and the one before it proves as much but for a sixteenth.
        if self.is_close_to_the_last_but_one(&request) {
            self.answered.pop_back();
        }
        if self.answered.len() == MOST {
            self.answered.pop_front();
        }
        self.answered.push_back(request);
    }

    /// Whether what was sent between them is of no use. On another connection everything before it is proven sooner.
    fn is_close_to_the_last_but_one(&self, request: &Answered) -> bool {
        let mut newest = self.answered.iter().rev();
        let (Some(last), Some(before)) = (newest.next(), newest.next()) else { return false };
        let same = [last, before].iter().all(|kept| kept.connection == request.connection);
        same && request.sent.since(before.sent) < self.timeout / 16
    }

    /// A write was acknowledged.
    pub(crate) fn written(&mut self, write: Written) {
        let heard = self.answered.iter().filter(|request| self.proves(write, request));
        self.heard = self.heard.max(heard.map(|request| request.sent).max());
        // What was sent before is of no more use.
        while self.answered.front().is_some_and(|request| Some(request.sent) <= self.heard) {
            self.answered.pop_front();
        }
    }

    /// Whether the leader has heard of `request` when it has done `write`.
    fn proves(&self, write: Written, request: &Answered) -> bool {
        // It was asked whether the session still lives before it was accepted on another connection.
        let met_again = request.connection < write.connection;
        // T is two ticks at least, and a follower tells of its clients every half tick.
        let told_of = write.called >= request.at + self.timeout / 3;
        met_again || told_of
    }

    /// Until when the session is surely alive, less a fifth of its timeout for clocks that differ. Never goes back.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        self.heard.map(|sent| sent + self.timeout * 4 / 5)
    }

    /// When the next write is due after the one at `last`: a tenth of T later, or a little after that if a newer request
    /// counts by then. With three requests between the two the deadline moves furthest for what it costs.
    pub(crate) fn next_write(&self, last: Moment) -> Moment {
        let (soon, late) = (last + self.timeout / 10, last + self.timeout / 6);
        let counts = self.answered.iter().map(|request| request.at + self.timeout / 3).find(|at| *at >= soon);
        counts.filter(|at| *at <= late).unwrap_or(soon)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const T: Duration = Duration::from_millis(3000);

    fn at(ms: u64) -> Moment {
        Moment::after_origin(Duration::from_millis(ms))
    }

    /// One thing that happened: in milliseconds, on a connection.
    #[derive(Clone, Copy, Debug)]
    enum It {
        /// The session was made, or met again: when it was asked for, and the number of the connection.
        Met(u64, u64),
        /// A read was sent and answered.
        Read(u64, u64, u64),
        /// A write was called and acknowledged: it is a request that was answered, too.
        Write(u64, u64, u64),
    }
    use It::{Met, Read, Write};

    fn deadline(history: &[It]) -> Option<Moment> {
        let mut evidence = Evidence::new(T);
        for it in history {
            match *it {
                Met(asked, connection) => evidence.met(at(asked), connection),
                Read(sent, answered, connection) => {
                    evidence.answered(Answered { sent: at(sent), at: at(answered), connection });
                }
                Write(called, acknowledged, connection) => {
                    evidence.written(Written { called: at(called), connection });
                    evidence.answered(Answered { sent: at(called), at: at(acknowledged), connection });
                }
            }
        }
        evidence.deadline()
    }

    #[test]
    fn a_request_counts_when_a_write_a_third_of_the_timeout_later_is_acknowledged() {
        for (what, history, expected) in [
            ("nothing was asked", vec![], None),
            ("reads alone", vec![Read(0, 5, 1), Read(2000, 2005, 1)], None),
            ("one write alone", vec![Write(0, 5, 1)], None),
            ("a write too soon after the read's answer", vec![Read(0, 5, 1), Write(1004, 1010, 1)], None),
            ("a write in time", vec![Read(0, 5, 1), Write(1005, 1010, 1)], Some(2400)),
            (
                "counted from the sending, however late the answer",
                vec![Read(0, 900, 1), Write(1900, 1910, 1)],
                Some(2400),
            ),
            ("a write is a request for a later one", vec![Write(0, 5, 1), Write(1005, 1010, 1)], Some(2400)),
            (
                "the newest that counts",
                vec![Read(0, 5, 1), Read(300, 305, 1), Read(600, 605, 1), Write(1310, 1320, 1)],
                Some(2700),
            ),
            (
                "a burst of writes adds nothing",
                vec![Write(0, 5, 1), Write(5, 10, 1), Write(10, 15, 1), Write(15, 20, 1)],
                None,
            ),
            (
                "two writes right after a pause prove only what was before it",
                vec![Read(0, 5, 1), Write(9000, 9005, 1), Write(9006, 9010, 1)],
                Some(2400),
            ),
            (
                "an answer that a pause held up counts from its arrival",
                vec![Read(0, 9000, 1), Write(9001, 9005, 1)],
                None,
            ),
            ("the making of the session alone", vec![Met(100, 1)], None),
            ("the making of the session, and a read", vec![Met(100, 1), Read(150, 160, 1)], None),
            ("the making of the session, and any write", vec![Met(100, 1), Write(150, 160, 1)], Some(2500)),
            (
                "which is the start for what follows",
                vec![Met(100, 1), Write(150, 160, 1), Write(1160, 1170, 1)],
                Some(2550),
            ),
        ] {
            assert_eq!(deadline(&history), expected.map(at), "{what}");
        }
    }

    #[test]
    fn what_was_answered_before_a_new_connection_counts_with_the_first_write_on_it() {
        for (what, history, expected) in [
            ("a write on the next connection", vec![Read(0, 5, 1), Write(20, 30, 2)], Some(2400)),
            (
                "requests of that connection itself do not",
                vec![Read(0, 5, 1), Read(10, 15, 2), Write(20, 30, 2)],
                Some(2400),
            ),
            (
                "unless a third has passed",
                vec![Read(0, 5, 1), Read(10, 15, 2), Write(1015, 1030, 2)],
                Some(2410),
            ),
            (
                "whatever connection they were on",
                vec![Read(0, 5, 1), Read(10, 15, 2), Write(20, 30, 3)],
                Some(2410),
            ),
            (
                "the meeting itself, with the first write",
                vec![Read(0, 5, 1), Met(1000, 2), Read(1010, 1015, 2), Write(1020, 1030, 2)],
                Some(3400),
            ),
            ("not with a read", vec![Read(0, 5, 1), Met(1000, 2), Read(1010, 1015, 2)], None),
            ("reads on the next one prove nothing", vec![Read(0, 5, 1), Read(20, 30, 2)], None),
            (
                "after a long outage it is of no use, and no harm",
                vec![Read(0, 5, 1), Write(9000, 9010, 2)],
                Some(2400),
            ),
        ] {
            assert_eq!(deadline(&history), expected.map(at), "{what}");
        }
    }

    #[test]
    fn the_deadline_never_goes_back() {
        let mut evidence = Evidence::new(T);
        evidence.answered(Answered { sent: at(5000), at: at(5010), connection: 1 });
        evidence.written(Written { called: at(6010), connection: 1 });
        assert_eq!(evidence.deadline(), Some(at(7400)));
        // An answer that was long on its way.
        evidence.answered(Answered { sent: at(200), at: at(6020), connection: 1 });
        evidence.written(Written { called: at(7020), connection: 1 });
        assert_eq!(evidence.deadline(), Some(at(7400)));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_goes_back_far_enough_however_much_is_asked() {
        let mut evidence = Evidence::new(T);
        for ms in 0..10_000 {
            evidence.answered(Answered { sent: at(ms), at: at(ms), connection: 1 });
            assert!(evidence.answered.len() <= MOST);
        }
        evidence.written(Written { called: at(10_000), connection: 1 });
        let deadline = evidence.deadline().expect("much was answered a third before");
        assert!(deadline > at(9_000 + 2400 - 188), "{deadline:?}");
        assert!(deadline <= at(9_000 + 2400), "{deadline:?}");
        evidence.written(Written { called: at(20_000), connection: 1 });
        assert!(evidence.answered.is_empty());
        assert_eq!(evidence.deadline(), Some(at(9_999 + 2400)));
    }

    /// A leader that writes when it is due, each write answered after `answer` ms, while other requests are answered every
    /// `others` ms. Gives the least time that is left of the lease at any moment, and the shortest time between two writes.
    fn leads_for_long(answer: u64, others: Option<u64>) -> (Duration, Duration) {
        let mut evidence = Evidence::new(T);
        let (mut now, mut deadline) = (at(0), None);
        let (mut least_left, mut shortest) = (T, T);
        let mut other = others.map(|every| (at(0), Duration::from_millis(every)));
        for round in 0..200 {
            let called = now;
            while let Some((sent, every)) = other.filter(|(sent, _)| *sent < called) {
                evidence.answered(Answered { sent, at: sent, connection: 1 });
                other = Some((sent + every, every));
            }
            let acknowledged = called + Duration::from_millis(answer);
            if round > 20 {
                let left = deadline.map_or(Duration::ZERO, |deadline: Moment| deadline.since(acknowledged));
                least_left = least_left.min(left);
            }
            evidence.written(Written { called, connection: 1 });
            evidence.answered(Answered { sent: called, at: acknowledged, connection: 1 });
            deadline = evidence.deadline();
            now = evidence.next_write(called);
            shortest = shortest.min(now.since(called));
        }
        (least_left, shortest)
    }

    #[test]
    fn a_leader_that_writes_at_most_every_tenth_always_has_a_third_of_its_timeout_left() {
        for answer in [0, 1, 5, 20] {
            let (left, shortest) = leads_for_long(answer, None);
            assert!(left + 4 * Duration::from_millis(answer) >= T / 3, "{answer}: {left:?} left");
            assert!(shortest >= T / 10, "{answer}: {shortest:?} apart");
        }
        // Servers that take a tenth of the timeout for an answer do not end a leadership.
        assert!(leads_for_long(300, None).0 > T / 20, "{:?}", leads_for_long(300, None));
    }

    #[test]
    fn what_else_is_asked_costs_a_leader_nothing() {
        // Forty in each third are the third case.
        for others in [1, 5, 25, 60, 100, 150, 200, 250, 290] {
            let (left, shortest) = leads_for_long(0, Some(others));
            assert!(left >= T / 3, "{others}: {left:?} left");
            assert!(shortest >= T / 10, "{others}: {shortest:?} apart");
        }
    }

    proptest! {
        #[test]
        fn what_is_left_out_costs_a_sixteenth_and_never_proves_more(
            steps in vec((0..400_u64, 0..50_u64, any::<bool>(), prop::bool::weighted(0.03)), 1..300),
        ) {
            let mut evidence = Evidence::new(T);
            let (mut all, mut heard) = (Vec::new(), None);
            let (mut now, mut connection) = (0, 1);
            for (pause, answer, writes, breaks) in steps {
                connection += u64::from(breaks);
                let (sent, answered) = (at(now + pause), at(now + pause + answer));
                now += pause + answer;
                if writes {
                    let write = Written { called: sent, connection };
                    evidence.written(write);
                    let proven = all.iter().filter(|request| evidence.proves(write, request));
                    heard = heard.max(proven.map(|request: &Answered| request.sent).max());
                }
                let request = Answered { sent, at: answered, connection };
                evidence.answered(request);
                all.push(request);
                prop_assert!(evidence.answered.len() <= MOST);
                prop_assert!(evidence.heard <= heard);
                let most = heard.map(|heard| heard.since(evidence.heard.unwrap_or(at(0))));
                prop_assert!(most.is_none_or(|most| most <= T / 16), "{:?} of {heard:?}", evidence.heard);
            }
        }
    }
}
