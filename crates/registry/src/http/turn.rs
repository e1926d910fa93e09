//! Which gateway is asked next, and when.

use std::time::Duration;

use zk_session::Backoff;

use super::problem::{Kind, Problem};

/// What was refused is asked for again after this, and then less and less often.
const REFUSED: Duration = Duration::from_millis(500);

/// The longest time between two requests that are refused.
const REFUSED_MOST: Duration = Duration::from_secs(5);

/// Whose turn it is among several gateways.
#[derive(Debug)]
pub(super) struct Turn {
    next: usize,
    count: usize,
    /// How far behind that one the one is that was last asked besides.
    looked: usize,
    lost: Backoff,
    refused: Backoff,
}

impl Turn {
    /// Begins anywhere, so that clients spread over the gateways.
    pub(super) fn begin(count: usize) -> Self {
        let next = rand::random_range(0..count);
        Self { next, count, looked: 0, lost: Backoff::default(), refused: refused() }
    }

    pub(super) fn gateway(&self) -> usize {
        self.next
    }

    /// A gateway whose turn it is not: each of them, one after the other. None if there is no other.
    pub(super) fn other(&mut self) -> Option<usize> {
        self.looked = self.looked.checked_rem(self.count - 1)? + 1;
        Some((self.next + self.looked) % self.count)
    }

    /// Now it is this one's turn.
    pub(super) fn turn_to(&mut self, gateway: usize) {
        self.next = gateway;
    }

    /// A gateway did what it was asked, and is not asked again at once: whatever fails next is the first of its kind.
    pub(super) fn served(&mut self) {
        self.lost = Backoff::default();
        self.refused = refused();
    }

    /// How long to wait before the next try, which is with the next gateway, or with the same where that `may_resume`.
    pub(super) fn after(&mut self, problem: &Problem, may_resume: bool) -> Duration {
        if !may_resume {
            self.next = (self.next + 1) % self.count;
        }
        let delay = match problem.kind() {
            Kind::Lost => self.lost.next_delay(),
            Kind::Refused => self.refused.next_delay(),
        };
        // Another gateway need not wait for this one.
        let asked_for = problem.retry_after().filter(|_| self.count == 1).unwrap_or_default();
        delay.max(asked_for.min(REFUSED_MOST))
    }
}

fn refused() -> Backoff {
    Backoff::new(REFUSED, REFUSED_MOST)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_others_are_looked_at_one_after_the_other() {
        let mut turn = Turn::begin(3);
        for gateway in [2, 0] {
            turn.turn_to(gateway);
            assert_eq!(turn.gateway(), gateway);
            let others: Vec<_> =
                (0..4).map(|_| turn.other().map(|other| (other + 3 - gateway) % 3)).collect();
            assert_eq!(others, [Some(1), Some(2), Some(1), Some(2)]);
        }
        assert_eq!(Turn::begin(1).other(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn gateways_are_asked_in_turn_and_less_often_where_they_refuse() {
        let gateway: Arc<str> = "http://h:1".into();
        let lost = Problem::interrupted(&gateway, "it ended");
        let refused = Problem::refused(&gateway, 401, "no token", None);
        let mut turn = Turn::begin(3);
        let first = turn.gateway();
        let asked: Vec<_> = (0..6)
            .map(|_| {
                turn.after(&lost, false);
                (turn.gateway() + 3 - first) % 3
            })
            .collect();
        assert_eq!(asked, [1, 2, 0, 1, 2, 0]);
        turn.after(&lost, true);
        assert_eq!(turn.gateway(), first);
        let lost_of = |turn: &mut Turn| turn.after(&lost, false);
        let refused_of = |turn: &mut Turn| turn.after(&refused, false);
        let delays: Vec<_> = (0..12).map(|_| (lost_of(&mut turn), refused_of(&mut turn))).collect();
        let (lost, refused) = delays[11];
        assert!(lost >= Duration::from_millis(400) && lost <= Duration::from_millis(800), "{lost:?}");
        assert!(refused >= Duration::from_millis(2_500) && refused <= REFUSED_MOST, "{refused:?}");

        turn.served();
        let (lost, refused) = (lost_of(&mut turn), refused_of(&mut turn));
        assert!(
            lost <= Duration::from_millis(50) && refused <= Duration::from_millis(125),
            "{lost:?} {refused:?}"
        );

        // Who lost the same gateway at the same moment is spread over more than a tenth of a second.
        let mut spread: Vec<_> = (0..1_000)
            .map(|_| {
                let mut turn = Turn::begin(3);
                (0..6).for_each(|_| _ = lost_of(&mut turn));
                lost_of(&mut turn)
            })
            .collect();
        spread.sort_unstable();
        let window = Duration::from_millis(100);
        assert!(
            spread.windows(500).all(|half| half[499] - half[0] > window),
            "half of them within {window:?}"
        );

        let full = |seconds| Problem::refused(&gateway, 503, "full", Some(Duration::from_secs(seconds)));
        assert_eq!(Turn::begin(1).after(&full(3), false), Duration::from_secs(3));
        assert_eq!(Turn::begin(1).after(&full(1_000_000), false), REFUSED_MOST);
        assert!(Turn::begin(2).after(&full(3), false) < Duration::from_secs(1), "there is another one");
    }
}
