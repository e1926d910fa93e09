//! The scenarios by name, and what sizes each is for.

use std::ops::RangeInclusive;

use clap::ValueEnum;

use super::report::Report;
use super::stage::Stage;
use super::{MOST, change, cold_start, register};

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
}

impl Which {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::ColdStart => "cold-start",
            Self::Change => "change",
        }
    }

    /// The numbers of instances, rising, unless others are asked for.
    pub(super) fn sizes(self) -> &'static [u32] {
        match self {
            Self::Register | Self::ColdStart | Self::Change => SIZES,
        }
    }

    /// The numbers of instances that it can be asked for.
    pub(super) fn accepts(self) -> RangeInclusive<u32> {
        match self {
            Self::Register | Self::ColdStart | Self::Change => 1..=MOST as u32,
        }
    }

    /// How many rounds count, unless that was said.
    pub(super) fn rounds(self) -> u32 {
        match self {
            Self::Register | Self::ColdStart | Self::Change => ROUNDS,
        }
    }

    pub(super) async fn run(self, stage: &Stage, count: u32, rounds: u32) -> anyhow::Result<Report> {
        match self {
            Self::Register => register::run(stage, count, rounds).await,
            Self::ColdStart => cold_start::run(stage, count, rounds).await,
            Self::Change => change::run(stage, count, rounds).await,
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
            assert!(which.sizes().iter().all(|size| which.accepts().contains(size)), "{which:?}");
        }
    }
}
