//! What is measured in a run, at which sizes and how often, from what was asked for.

use clap::ValueEnum;

use super::which::Which;
use crate::connection::Usage;

/// A scenario as it is measured.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) which: Which,
    /// Numbers of instances, rising.
    pub(super) sizes: Vec<u32>,
    pub(super) rounds: u32,
}

/// Who asks for no scenario gets all those that are for one of the sizes.
pub(super) fn plan(which: &[Which], instances: &[u32], rounds: Option<u32>) -> Result<Vec<Run>, Usage> {
    let mut runs: Vec<Run> = Vec::new();
    let asked = if which.is_empty() { Which::value_variants() } else { which };
    for &scenario in asked {
        if runs.iter().any(|run| run.which == scenario) {
            continue;
        }
        let accepts = scenario.accepts();
        let told = instances.iter().copied().filter(|size| accepts.contains(size));
        let mut sizes: Vec<_> = if instances.is_empty() { scenario.sizes().to_vec() } else { told.collect() };
        sizes.sort_unstable();
        sizes.dedup();
        if !sizes.is_empty() {
            runs.push(Run { which: scenario, sizes, rounds: rounds.unwrap_or(scenario.rounds()) });
        } else if !which.is_empty() {
            return Err(Usage(format!(
                "--instances: {} is for {} to {} instances",
                scenario.name(),
                accepts.start(),
                accepts.end()
            )));
        }
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_run_at_their_own_sizes_unless_told() {
        let runs = plan(&[], &[], None).unwrap();
        assert_eq!(runs.len(), Which::value_variants().len());
        for run in runs {
            assert_eq!((&run.sizes[..], run.rounds), (run.which.sizes(), run.which.rounds()));
        }
    }

    #[test]
    fn what_is_asked_for_is_run_once_with_its_sizes_in_order() {
        let runs = plan(&[Which::Change, Which::Change], &[1_000, 100, 1_000], Some(2)).unwrap();
        assert_eq!(runs, [Run { which: Which::Change, sizes: vec![100, 1_000], rounds: 2 }]);
    }

    #[test]
    fn a_scenario_at_no_size_of_its_own_is_refused_by_name_and_otherwise_left_out() {
        let refused = plan(&[Which::Register], &[200_001], None).unwrap_err().to_string();
        assert_eq!(refused, "--instances: register is for 1 to 200000 instances");
        assert_eq!(plan(&[], &[200_001], None).unwrap(), []);
    }
}
