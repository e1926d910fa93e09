//! The scenarios by name, and what sizes each is for.

use std::fmt;

use clap::ValueEnum;

use super::MOST;
use super::outside::changes::PER_INSTANCE;
use super::report::Report;
use super::scenarios::{
    burst, change, churn, cold_start, ensemble, expiry, hand_over, large, memory, outage, register, restart,
    services, slow, watchers,
};
use super::stage::Stage;

/// The numbers of instances that most are measured at.
const SIZES: &[u32] = &[100, 1_000, 10_000];
/// The rounds of most, of which the median is shown.
const ROUNDS: u32 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Which {
    /// How fast are instances registered over one session?
    Register,
    /// How long until a client has the first list?
    ColdStart,
    /// How long until one change is in the list, and what does it cost?
    Change,
    /// What does a rolling restart of all instances cost those who follow them?
    Churn,
    /// How long is nobody the leader, of so many candidates?
    HandOver,
    /// How long until all is there again that one process had registered whose session ended?
    Expiry,
    /// What changes when the server is killed and restarted, or all connections are cut?
    Restart,
    /// What does the same cost on three servers that write to the disk before they answer?
    Ensemble,
    /// Is anything lost when there is no server for longer than sessions last?
    Outage,
    /// How much memory does a process take that follows a service?
    Memory,
    /// What do all instances in one service cost?
    Large,
    /// What do the same in services of 100 cost one process that follows all of them?
    Services,
    /// How long until so many sessions know of one change?
    Watchers,
    /// What do so many changes cost, as fast as they can be written?
    Burst,
    /// What do the same cost whoever does not keep up?
    Slow,
}

impl Which {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::ColdStart => "cold-start",
            Self::Change => "change",
            Self::Churn => "churn",
            Self::HandOver => "hand-over",
            Self::Expiry => "expiry",
            Self::Restart => "restart",
            Self::Ensemble => "ensemble",
            Self::Outage => "outage",
            Self::Memory => "memory",
            Self::Large => "large",
            Self::Services => "services",
            Self::Watchers => "watchers",
            Self::Burst => "burst",
            Self::Slow => "slow",
        }
    }

    /// What its sizes are numbers of.
    pub(super) fn of(self) -> &'static str {
        match self {
            Self::HandOver => "candidates",
            Self::Watchers => "sessions",
            Self::Burst | Self::Slow => "changes",
            Self::Register
            | Self::ColdStart
            | Self::Change
            | Self::Churn
            | Self::Expiry
            | Self::Restart
            | Self::Ensemble
            | Self::Outage
            | Self::Memory
            | Self::Large
            | Self::Services => "instances",
        }
    }

    /// The sizes, rising, unless others are asked for.
    pub(super) fn sizes(self) -> &'static [u32] {
        match self {
            Self::Register | Self::ColdStart | Self::Change | Self::Churn | Self::Expiry | Self::Restart => {
                SIZES
            }
            // Each of them waits for a disk.
            Self::Ensemble => &[1_000],
            // Its rounds are made of waiting.
            Self::Outage => &[1_000, 10_000],
            Self::HandOver => &[3, 50],
            Self::Memory => &[100, 1_000, 10_000, 100_000],
            Self::Large | Self::Services | Self::Burst | Self::Slow => &[100_000],
            Self::Watchers => &[500],
        }
    }

    /// The sizes that it can be asked for.
    pub(super) fn accepts(self) -> Accepted {
        match self {
            Self::HandOver => Accepted { least: 2, most: 1_000, step: 1 },
            Self::Watchers => Accepted { least: 1, most: 1_000, step: 1 },
            Self::Register
            | Self::ColdStart
            | Self::Change
            | Self::Churn
            | Self::Expiry
            | Self::Restart
            | Self::Ensemble
            | Self::Outage
            | Self::Memory => Accepted { least: 1, most: MOST, step: 1 },
            Self::Large => Accepted { least: large::SESSIONS, most: MOST, step: large::SESSIONS },
            Self::Services => Accepted { least: services::EACH, most: MOST, step: services::EACH },
            // Fewer than a transaction of 100 are no burst.
            Self::Burst | Self::Slow => Accepted { least: 100, most: MOST, step: PER_INSTANCE },
        }
    }

    /// How many rounds count, unless that was said.
    pub(super) fn rounds(self) -> u32 {
        match self {
            Self::Register | Self::ColdStart | Self::Change | Self::HandOver => ROUNDS,
            // A median of three tells one that was disturbed.
            Self::Churn
            | Self::Expiry
            | Self::Restart
            | Self::Ensemble
            | Self::Outage
            | Self::Large
            | Self::Services
            | Self::Burst => 3,
            // A round of watchers takes 44 seconds, and one of slow a minute and a half, for it waits for who is slow.
            Self::Memory | Self::Watchers | Self::Slow => 1,
        }
    }

    /// What it does that cannot be done to servers of others.
    pub(super) fn needs_own_server(self) -> Option<&'static str> {
        match self {
            Self::Expiry => Some("it ends a session as its owner could, by what servers make passwords of"),
            Self::Restart => Some("it kills the server"),
            Self::Ensemble => Some("it measures on three servers that write to the disk"),
            Self::Outage => Some("it cuts all off from a server of its own, and kills another one"),
            _ => None,
        }
    }

    pub(super) async fn run(self, stage: &Stage, count: u32, rounds: u32) -> anyhow::Result<Report> {
        let report = match self {
            Self::Register => register::run(stage, count, rounds).await,
            Self::ColdStart => cold_start::run(stage, count, rounds).await,
            Self::Change => change::run(stage, count, rounds).await,
            Self::Churn => churn::run(stage, count, rounds).await,
            Self::HandOver => hand_over::run(stage, count, rounds).await,
            Self::Expiry => expiry::run(stage, count, rounds).await,
            Self::Restart => restart::run(stage, count, rounds).await,
            Self::Ensemble => ensemble::run(stage, count, rounds).await,
            Self::Outage => outage::run(stage, count, rounds).await,
            Self::Memory => memory::run(stage, count, rounds).await,
            Self::Large => large::run(stage, count, rounds).await,
            Self::Services => services::run(stage, count, rounds).await,
            Self::Watchers => watchers::run(stage, count, rounds).await,
            Self::Burst => burst::run(stage, count, rounds).await,
            Self::Slow => slow::run(stage, count, rounds).await,
        };
        report?.checked()
    }
}

/// Sizes that a scenario can measure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accepted {
    least: u32,
    most: u32,
    /// Only multiples of this: others would not come out even.
    step: u32,
}

impl Accepted {
    pub(super) fn contains(self, size: u32) -> bool {
        (self.least..=self.most).contains(&size) && size.is_multiple_of(self.step)
    }
}

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { least, most, step } = self;
        match step {
            1 => write!(f, "{least} to {most}"),
            _ => write!(f, "{least} to {most} in steps of {step}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_called_by_its_name_and_accepts_its_own_sizes() {
        for &which in Which::value_variants() {
            assert_eq!(Which::from_str(which.name(), false), Ok(which));
            assert!(which.sizes().is_sorted() && !which.sizes().is_empty());
            assert!(which.sizes().iter().all(|size| which.accepts().contains(*size)), "{which:?}");
        }
    }

    #[test]
    fn only_sizes_that_come_out_even_are_accepted() {
        for (which, accepted, refused) in [
            (Which::Register, &[1, 99, 200_000][..], &[0, 200_001][..]),
            (Which::HandOver, &[2, 3, 1_000], &[0, 1, 1_001]),
            (Which::Watchers, &[1, 1_000], &[0, 1_001]),
            (Which::Large, &[10, 200_000], &[0, 1, 9, 11, 200_010]),
            (Which::Services, &[100, 200, 200_000], &[0, 10, 99, 150, 200_100]),
            (Which::Burst, &[100, 110, 200_000], &[0, 1, 10, 99, 105, 200_010]),
            (Which::Slow, &[100, 110, 200_000], &[0, 1, 10, 99, 105, 200_010]),
        ] {
            let accepts = which.accepts();
            assert!(accepted.iter().all(|size| accepts.contains(*size)), "{which:?}: {accepts}");
            assert!(!refused.iter().any(|size| accepts.contains(*size)), "{which:?}: {accepts}");
        }
        // What writes changes has an instance at least to write to.
        assert!(Which::Burst.accepts().least >= PER_INSTANCE);
    }
}
