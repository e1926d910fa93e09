//! Whether one instance is in or out, by what became of its requests. Pure: the time comes with each question.

use std::time::Duration;

use tokio::time::Instant;

use crate::proxy::rules::Settings;

/// How an instance is that failed lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patient {
    /// It gets requests. `failures` of them failed one after the other.
    In { failures: u32, before: Option<Stay> },
    /// It gets none before this moment, and then one alone.
    Out { until: Instant, stay: Stay },
    /// That one is under way.
    Probed { stay: Stay },
}

/// For how long one was out, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stay {
    pub(super) lasts: Duration,
    /// When it returned; for who is still out, when that began.
    pub(super) since: Instant,
}

/// What an instance that was picked may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Ordinary,
    /// This request decides whether it returns.
    Probe,
    /// Nothing: pick another one.
    Refused,
}

/// What an outcome changed, for those who log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Nothing,
    Ejected(Duration),
    Returned,
}

impl Patient {
    /// One of whom nothing bad is known.
    pub(super) const WELL: Self = Self::In { failures: 0, before: None };

    /// A request is about to go to it.
    pub(super) fn admit(&mut self, now: Instant) -> Admission {
        match *self {
            Self::In { .. } => Admission::Ordinary,
            Self::Out { until, .. } if now < until => Admission::Refused,
            Self::Probed { .. } => Admission::Refused,
            Self::Out { stay, .. } => {
                *self = Self::Probed { stay };
                Admission::Probe
            }
        }
    }

    /// A request went well.
    pub(super) fn succeeded(&mut self, probe: bool, now: Instant) -> Change {
        match *self {
            Self::In { before, .. } => {
                let before = before.filter(|stay| !stay.is_forgotten(now));
                *self = Self::In { failures: 0, before };
                Change::Nothing
            }
            Self::Probed { stay } if probe => {
                *self = Self::In { failures: 0, before: Some(Stay { since: now, ..stay }) };
                Change::Returned
            }
            // What began before it was put out says nothing of how it is now.
            Self::Out { .. } | Self::Probed { .. } => Change::Nothing,
        }
    }

    /// A request failed. `may_go` is whether it may be put out.
    pub(super) fn failed(&mut self, probe: bool, now: Instant, may_go: bool, settings: &Settings) -> Change {
        let before = match *self {
            Self::In { failures, before } => {
                let failures = failures.saturating_add(1);
                *self = Self::In { failures, before };
                if failures < settings.failures || !may_go {
                    return Change::Nothing;
                }
                before.filter(|stay| !stay.is_forgotten(now))
            }
            Self::Probed { stay } if probe => Some(stay),
            Self::Probed { .. } | Self::Out { .. } => return Change::Nothing,
        };
        let lasts = before.map_or(settings.first, |stay| (stay.lasts * 2).min(settings.longest));
        *self = Self::Out { until: now + lasts, stay: Stay { lasts, since: now } };
        Change::Ejected(lasts)
    }

    /// A probe ended without telling anything: its client went away. The next request is one again.
    pub(super) fn undecided(&mut self, now: Instant) {
        if let Self::Probed { stay } = *self {
            *self = Self::Out { until: now, stay };
        }
    }

    /// It gets requests again because too many are out. It is not known to be well: one more failure, and it is out again.
    pub(super) fn returns(&mut self, settings: &Settings) {
        if let Self::Out { stay, .. } | Self::Probed { stay } = *self {
            *self = Self::In { failures: settings.failures.saturating_sub(1), before: Some(stay) };
        }
    }

    /// Since when it has been out, one that is probed or may be included.
    pub(super) fn out_since(&self) -> Option<Instant> {
        match self {
            Self::In { .. } => None,
            Self::Out { stay, .. } | Self::Probed { stay } => Some(stay.since),
        }
    }
}

impl Stay {
    /// One that was in for ten times as long as it had been out begins anew.
    fn is_forgotten(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= self.lasts * 10
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let (first, longest) = (Duration::from_secs(1), Duration::from_secs(5));
        Settings { failures: 3, first, longest, statuses: vec![503] }
    }

    /// What happens to an instance.
    #[derive(Clone, Copy, Debug)]
    enum Event {
        Succeeds,
        Fails,
        ProbeSucceeds,
        ProbeFails,
        ProbeEndsUndecided,
        Asked(Admission),
        /// Milliseconds pass.
        Pass(u64),
    }

    #[derive(Debug, PartialEq)]
    enum Is {
        Well,
        In(u32),
        /// For these milliseconds in all.
        Out(u64),
        Probed,
    }

    fn after(events: &[Event]) -> Is {
        let (mut a, mut now, settings) = (Patient::WELL, Instant::now(), settings());
        for event in events {
            match *event {
                Event::Succeeds => drop(a.succeeded(false, now)),
                Event::Fails => drop(a.failed(false, now, true, &settings)),
                Event::ProbeSucceeds => assert_eq!(a.succeeded(true, now), Change::Returned),
                Event::ProbeFails => {
                    assert!(matches!(a.failed(true, now, true, &settings), Change::Ejected(_)));
                }
                Event::ProbeEndsUndecided => a.undecided(now),
                Event::Asked(admission) => assert_eq!(a.admit(now), admission, "{events:?}"),
                Event::Pass(time) => now += Duration::from_millis(time),
            }
        }
        match a {
            Patient::WELL => Is::Well,
            Patient::In { failures, .. } => Is::In(failures),
            Patient::Out { stay, .. } => Is::Out(stay.lasts.as_millis() as u64),
            Patient::Probed { .. } => Is::Probed,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_goes_out_for_longer_each_time_and_returns_by_one_probe() {
        use Admission::{Ordinary, Probe, Refused};
        use Event::{Asked, Fails, Pass, ProbeEndsUndecided, ProbeFails, ProbeSucceeds, Succeeds};

        let out = [Fails, Fails, Fails];
        let probed = [&out[..], &[Pass(1_000), Asked(Probe)]].concat();
        let returned = [&probed[..], &[ProbeSucceeds]].concat();
        let cases: Vec<(&str, Vec<Event>, Is)> = vec![
            ("nothing happened", vec![Asked(Ordinary)], Is::Well),
            ("who goes well is not kept", vec![Succeeds], Is::Well),
            ("a few failures do nothing", vec![Fails, Fails, Asked(Ordinary)], Is::In(2)),
            ("a success begins anew", vec![Fails, Fails, Succeeds, Fails], Is::In(1)),
            ("three in a row put it out", [&out[..], &[Asked(Refused)]].concat(), Is::Out(1_000)),
            ("for its time", [&out[..], &[Pass(999), Asked(Refused)]].concat(), Is::Out(1_000)),
            (
                "what began before says nothing",
                [&out[..], &[Succeeds, Fails, Fails]].concat(),
                Is::Out(1_000),
            ),
            ("then one request is let in", probed.clone(), Is::Probed),
            (
                "and no other",
                [&probed[..], &[Asked(Refused), Pass(60_000), Asked(Refused)]].concat(),
                Is::Probed,
            ),
            ("which alone decides", [&probed[..], &[Succeeds, Fails]].concat(), Is::Probed),
            ("it returns", [&returned[..], &[Asked(Ordinary), Asked(Ordinary)]].concat(), Is::In(0)),
            (
                "or is out for longer",
                [&probed[..], &[ProbeFails, Pass(1_999), Asked(Refused)]].concat(),
                Is::Out(2_000),
            ),
            (
                "and longer",
                [&probed[..], &[ProbeFails, Pass(2_000), Asked(Probe), ProbeFails]].concat(),
                Is::Out(4_000),
            ),
            (
                "up to the longest",
                [
                    &probed[..],
                    &[
                        ProbeFails,
                        Pass(2_000),
                        Asked(Probe),
                        ProbeFails,
                        Pass(4_000),
                        Asked(Probe),
                        ProbeFails,
                    ],
                ]
                .concat(),
                Is::Out(5_000),
            ),
            (
                "a probe that tells nothing is made again",
                [&probed[..], &[ProbeEndsUndecided, Asked(Probe)]].concat(),
                Is::Probed,
            ),
            (
                "one at a time",
                [&probed[..], &[ProbeEndsUndecided, Asked(Probe), Asked(Refused)]].concat(),
                Is::Probed,
            ),
            ("soon out again is out for longer", [&returned[..], &out[..]].concat(), Is::Out(2_000)),
            (
                "much later it begins anew",
                [&returned[..], &[Pass(10_000)], &out[..]].concat(),
                Is::Out(1_000),
            ),
            (
                "and is forgotten once it goes well",
                [&returned[..], &[Pass(10_000), Succeeds]].concat(),
                Is::Well,
            ),
            ("not before", [&returned[..], &[Pass(9_999), Succeeds]].concat(), Is::In(0)),
        ];
        for (what, events, is) in cases {
            assert_eq!(after(&events), is, "{what}");
        }
    }
}
