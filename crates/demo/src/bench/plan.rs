//! What is measured in a run, at which sizes and how often, from what was asked for.

use clap::ValueEnum;
use cli::ending::Usage;

use super::which::Which;

/// A scenario as it is measured.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) which: Which,
    /// Rising.
    pub(super) sizes: Vec<u32>,
    pub(super) rounds: u32,
}

/// What was asked for.
#[derive(Clone, Copy, Default)]
pub(super) struct Asked<'a> {
    pub(super) which: &'a [Which],
    pub(super) instances: &'a [u32],
    pub(super) rounds: Option<u32>,
    /// Whether the servers are somebody else's.
    pub(super) on_others: bool,
}

/// Who asks for no scenario gets all those that are for one of the sizes, and that need no server of their own where the
/// servers are somebody else's.
pub(super) fn plan(asked: Asked<'_>) -> Result<Vec<Run>, Usage> {
    let Asked { which, instances, rounds, on_others } = asked;
    let mut runs: Vec<Run> = Vec::new();
    for &scenario in if which.is_empty() { Which::value_variants() } else { which } {
        if runs.iter().any(|run| run.which == scenario) {
            continue;
        }
        if let Some(why) = scenario.needs_own_server().filter(|_| on_others) {
            if which.is_empty() {
                continue;
            }
            let name = scenario.name();
            return Err(Usage(format!(
                "--zk: {name} needs a server of its own ({why}): measure it without --zk"
            )));
        }
        let accepts = scenario.accepts();
        let (told, refused): (Vec<_>, Vec<_>) = instances.iter().partition(|size| accepts.contains(**size));
        if let Some(size) = refused.first().filter(|_| !which.is_empty()) {
            let (name, of) = (scenario.name(), scenario.of());
            return Err(Usage(format!(
                "--instances: {name} cannot be measured at {size}: accepted are {accepts} {of}"
            )));
        }
        let mut sizes = if instances.is_empty() { scenario.sizes().to_vec() } else { told };
        sizes.sort_unstable();
        sizes.dedup();
        if !sizes.is_empty() {
            runs.push(Run { which: scenario, sizes, rounds: rounds.unwrap_or(scenario.rounds()) });
        }
    }
    Ok(runs)
}

/// What is not measured of all on servers of others, and why; nothing where a scenario was asked for by name.
pub(super) fn left_out(asked: Asked<'_>) -> Option<String> {
    if !asked.on_others || !asked.which.is_empty() {
        return None;
    }
    let needs = |which: &Which| Some(format!("{} ({})", which.name(), which.needs_own_server()?));
    let all: Vec<_> = Which::value_variants().iter().filter_map(needs).collect();
    Some(format!("left out with --zk, each needs a server of its own: {}", all.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_run_at_their_own_sizes_unless_told() {
        let runs = plan(Asked::default()).unwrap();
        assert_eq!(runs.len(), Which::value_variants().len());
        for run in runs {
            assert_eq!((&run.sizes[..], run.rounds), (run.which.sizes(), run.which.rounds()));
        }
    }

    #[test]
    fn what_is_asked_for_is_run_once_with_its_sizes_in_order() {
        let which = &[Which::Change, Which::Change];
        let asked = Asked { which, instances: &[1_000, 100, 1_000], rounds: Some(2), on_others: true };
        let runs = plan(asked).unwrap();
        assert_eq!(runs, [Run { which: Which::Change, sizes: vec![100, 1_000], rounds: 2 }]);
    }

    #[test]
    fn a_size_that_a_scenario_cannot_measure_is_refused_by_name_and_otherwise_left_out() {
        let asked = Asked { instances: &[200_001], ..Asked::default() };
        assert_eq!(plan(asked).unwrap(), []);
        for (which, instances, accepted) in [
            (Which::Register, &[200_001][..], "200001: accepted are 1 to 200000 instances"),
            (Which::HandOver, &[50, 2_000], "2000: accepted are 2 to 1000 candidates"),
            (Which::Services, &[100, 250], "250: accepted are 100 to 200000 in steps of 100 instances"),
            (Which::Slow, &[5], "5: accepted are 100 to 200000 in steps of 10 changes"),
        ] {
            let refused = plan(Asked { which: &[which], instances, ..asked }).unwrap_err().to_string();
            assert_eq!(refused, format!("--instances: {} cannot be measured at {accepted}", which.name()));
        }
        let some = plan(Asked { instances: &[150, 2_000], ..asked }).unwrap();
        let sizes = |which| some.iter().find(|run| run.which == which).map(|run| &run.sizes[..]);
        assert_eq!(sizes(Which::Register), Some(&[150, 2_000][..]));
        assert_eq!(sizes(Which::HandOver), Some(&[150][..]));
        assert_eq!(sizes(Which::Services), Some(&[2_000][..]));
    }

    #[test]
    fn what_needs_a_server_of_its_own_is_refused_by_name_on_others_and_otherwise_left_out_aloud() {
        let asked = Asked { on_others: true, ..Asked::default() };
        let runs = plan(asked).unwrap();
        let left = left_out(asked).unwrap();
        for which in Which::value_variants() {
            let needs = which.needs_own_server().is_some();
            assert_eq!(runs.iter().all(|run| run.which != *which), needs, "{which:?}");
            assert_eq!(left.contains(&format!("{} (", which.name())), needs, "{left}");
            let alone = Asked { which: &[*which], ..asked };
            assert_eq!(plan(alone).is_err(), needs, "{which:?}");
            assert_eq!(left_out(alone), None);
        }
        let refused =
            plan(Asked { which: &[Which::Register, Which::Restart], ..asked }).unwrap_err().to_string();
        assert_eq!(
            refused,
            "--zk: restart needs a server of its own (it kills the server): measure it without --zk"
        );
        assert_eq!(left_out(Asked::default()), None);
    }
}
