//! Cycles in which everybody has exactly its part, evenly spread.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use common::{instance, listed, number, number_of, picker};
use loadbalance::{Balancer, Picker, Request, WeightedRoundRobin};
use proptest::collection::vec;
use proptest::prelude::*;

fn greatest_common_divisor(weights: &[u32]) -> u32 {
    weights.iter().fold(0, |mut one, other| {
        let mut other = *other;
        while other > 0 {
            (one, other) = (other, one % other);
        }
        one
    })
}

/// Weights without a common divisor, and how many picks a cycle has.
fn reduced(weights: &[u32]) -> (Vec<i128>, i128) {
    let divisor = greatest_common_divisor(weights);
    let weights: Vec<_> = weights.iter().map(|weight| i128::from(weight / divisor)).collect();
    let picks = weights.iter().sum();
    (weights, picks)
}

/// How far instances were from their part of the picks at any moment, in picks.
#[derive(Debug)]
struct Furthest {
    lead: f64,
    lag: f64,
}

/// Takes so many picks. Somebody's lead is largest right after a pick of it, and its lag right before one, or in the end: each pick
/// is checked for the one that is picked only, which is enough.
fn take(picker: &dyn Picker, weights: &[u32], many: i128) -> (Vec<i128>, Furthest) {
    let (weights, cycle) = reduced(weights);
    let mut had = vec![0i128; weights.len()];
    // In parts of which a cycle's picks make one pick.
    let (mut lead, mut lag) = (i128::MIN, i128::MIN);
    for turn in 0..many {
        let index = picker.pick(&Request::default()).unwrap();
        lag = lag.max(turn * weights[index] - had[index] * cycle);
        had[index] += 1;
        lead = lead.max(had[index] * cycle - (turn + 1) * weights[index]);
    }
    for (had, weight) in had.iter().zip(&weights) {
        lag = lag.max(many * weight - had * cycle);
    }
    (had, Furthest { lead: lead as f64 / cycle as f64, lag: lag as f64 / cycle as f64 })
}

/// At most this many picks in a cycle that is written out.
const WRITTEN_OUT: i128 = 65_536;

fn is_exact_and_even(weights: &[u32]) -> Result<(), TestCaseError> {
    let (parts, cycle) = reduced(weights);
    let picker = picker(&WeightedRoundRobin::default(), weights);
    for _ in 0..2 {
        let (had, furthest) = take(&*picker, weights, cycle);
        prop_assert_eq!(&had, &parts);
        let Furthest { lead, lag } = furthest;
        let most = match parts.iter().max().unwrap() * 2 > cycle {
            _ if cycle > WRITTEN_OUT => 5.0,
            true => 1.5,
            false => 1.0,
        };
        prop_assert!(lead < most && lag < most, "{:?}", furthest);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_cycle_of_few_is_exact_and_even(weights in vec(1..=40u32, 1..=12)) {
        is_exact_and_even(&weights)?;
    }

    #[test]
    fn a_cycle_of_many_is_exact_and_even(weights in vec(1..=200u32, 1..=300)) {
        is_exact_and_even(&weights)?;
    }

    #[test]
    fn a_cycle_of_a_few_heavy_ones_among_light_ones_is_exact_and_even(
        heavy in vec(1_000..=9_000u32, 1..=6),
        light in vec(1..=3u32, 1..=100),
        divisor in 1..=1_000u32,
    ) {
        let weights: Vec<_> = heavy.into_iter().chain(light).map(|weight| weight * divisor).collect();
        is_exact_and_even(&weights)?;
    }

    /// Cycles that are never over: only the first of their picks are looked at.
    #[test]
    fn the_picks_of_a_cycle_that_is_too_long_to_be_gone_through_are_even(
        weights in vec(prop_oneof![any::<u32>(), Just(u32::MAX), 1..100u32], 2..=300),
        before in 0..100_000usize,
    ) {
        let weights: Vec<_> = weights.into_iter().map(|weight| weight.max(1)).collect();
        let (_, cycle) = reduced(&weights);
        prop_assume!(cycle > WRITTEN_OUT);
        let picker = picker(&WeightedRoundRobin::default(), &weights);
        for _ in 0..before {
            picker.pick(&Request::default());
        }
        // Not from the beginning: what is ahead there may be behind here, so the bound is twice that.
        let (_, furthest) = take(&*picker, &weights, 20_000.min(cycle));
        prop_assert!(furthest.lead <= 10.0 && furthest.lag <= 10.0, "{:?}", furthest);
        let picker = self::picker(&WeightedRoundRobin::default(), &weights);
        let (_, furthest) = take(&*picker, &weights, 20_000.min(cycle));
        prop_assert!(furthest.lead <= 5.0 && furthest.lag <= 5.0, "{:?}", furthest);
    }

    /// An algorithm may be given the same weights in another form: what divides all does not count.
    #[test]
    fn a_cycle_is_not_longer_than_it_has_to_be(weights in vec(1..=30u32, 1..=10), factor in 1..=100_000_000u32) {
        let one = picker(&WeightedRoundRobin::default(), &weights);
        let multiplied: Vec<_> = weights.iter().map(|weight| weight * factor).collect();
        let other = picker(&WeightedRoundRobin::default(), &multiplied);
        for _ in 0..1_000 {
            prop_assert_eq!(one.pick(&Request::default()), other.pick(&Request::default()));
        }
    }

    #[test]
    fn a_list_that_changes_after_every_pick_does_not_disturb_a_cycle(
        weights in vec(0..=30u32, 1..=12),
        changed in any::<prop::sample::Index>(),
    ) {
        prop_assume!(weights.iter().any(|weight| *weight > 0));
        let balancer = Balancer::fixed(listed(&weights), WeightedRoundRobin::default());
        let (parts, cycle) = reduced(&weights);
        for _ in 0..2 {
            let mut had = vec![0; weights.len()];
            for turn in 0..cycle {
                had[number_of(&balancer.pick(&Request::default()).unwrap().id)] += 1;
                let mut list = listed(&weights);
                let data = &mut list[changed.index(weights.len())].data;
                *data = data.clone().with_metadata("turn", turn.to_string());
                balancer.replace(list);
            }
            prop_assert_eq!(&had, &parts);
        }
    }
}

#[test]
fn a_cycle_of_a_few_million_picks_is_exact_and_even() {
    for weights in [
        vec![65_535, 2], // the shortest one that is not written out: 65,537 picks
        vec![1_000_003, 999_983, 1],
        vec![1_999_993, 1],
        (1..=1_500).collect(), // 1,125,750 picks
        [1_000_000].into_iter().chain(vec![1; 1_000]).collect(),
        vec![1; 999].into_iter().chain([1_000_000]).collect(),
        (0..100).map(|index| 10_000 + index * index).collect(),
        vec![832_040, 514_229, 317_811], // numbers of Fibonacci
        vec![1 << 20, 1 << 19, 1 << 18, 1],
    ] {
        assert!(reduced(&weights).1 > WRITTEN_OUT);
        is_exact_and_even(&weights).unwrap_or_else(|error| panic!("{weights:.80?}: {error}"));
    }
}

#[test]
fn the_longest_cycle_that_is_written_out_and_the_shortest_that_is_not_are_exact() {
    for weights in [[65_535, 1], [65_533, 3], [32_769, 32_767], [65_535, 2], [32_769, 32_768]] {
        is_exact_and_even(&weights).unwrap_or_else(|error| panic!("{weights:?}: {error}"));
    }
}

#[test]
fn a_heavy_one_among_light_ones_has_at_most_two_picks_in_a_row_in_a_cycle() {
    let heavy_first = [instance("a", 5), instance("b", 1), instance("c", 1)];
    let balancer = Balancer::fixed(heavy_first, WeightedRoundRobin::default());
    for _ in 0..3 {
        let cycle: String =
            (0..7).map(|_| balancer.pick(&Request::default()).unwrap().id.to_string()).collect();
        assert!(!cycle.contains("aaa"), "{cycle}");
        assert_eq!(cycle.matches('a').count(), 5);
    }
}

#[test]
fn equal_weights_go_through_the_list_in_order() {
    let balancer = Balancer::fixed(listed(&[7, 0, 7, 7]), WeightedRoundRobin::default());
    let picked: Vec<_> = (0..6).map(|_| number_of(&balancer.pick(&Request::default()).unwrap().id)).collect();
    assert_eq!(picked, [0, 2, 3, 0, 2, 3]);
}

/// One instance leaves and comes back between any two picks: the others are not to see anything of that.
#[test]
fn the_turn_outlives_lists_that_nobody_picks_from() {
    for weights in [[1; 100].as_slice(), &[5, 1, 1], &[10, 20, 30, 1], &[u32::MAX, u32::MAX, 1, 1]] {
        let (_, cycle) = reduced(weights);
        let picks = cycle.min(300);
        let balancer = Balancer::fixed(listed(weights), WeightedRoundRobin::default());
        let mut had = vec![0; weights.len()];
        for _ in 0..picks {
            had[number_of(&balancer.pick(&Request::default()).unwrap().id)] += 1;
            balancer.replace(listed(&weights[..weights.len() - 1]));
            balancer.replace(listed(weights));
        }
        let total: f64 = weights.iter().copied().map(f64::from).sum();
        for (index, had) in had.iter().enumerate() {
            let part = picks as f64 * f64::from(weights[index]) / total;
            assert!(
                (f64::from(*had) - part).abs() < 5.0,
                "{index} of {weights:?} had {had} of {picks}, not {part}"
            );
        }
    }
}

#[test]
fn the_turn_outlives_an_empty_list() {
    let balancer = Balancer::fixed(listed(&[2, 1, 1]), WeightedRoundRobin::default());
    let mut had = [0; 3];
    for _ in 0..8 {
        had[number_of(&balancer.pick(&Request::default()).unwrap().id)] += 1;
        balancer.replace([]);
        balancer.replace(listed(&[2, 1, 1]));
    }
    assert_eq!(had, [4, 2, 2]);
}

/// Somebody's weight goes up and down again after each pick, a little or a lot.
#[test]
fn a_list_whose_weights_change_after_every_pick_is_gone_through_in_proportion() {
    for (one, other) in
        [([10, 10, 10, 10], [10, 10, 10, 11]), ([1, 1, 1, 1], [1, 1, 1, 1_000]), ([6, 3, 2, 1], [6, 3, 2, 3])]
    {
        let balancer = Balancer::fixed(listed(&one), WeightedRoundRobin::default());
        let mut had = [0.0; 4];
        let mut part = [0.0; 4];
        let picks = 4_000;
        for pick in 0..picks {
            let weights = if pick % 2 == 0 { one } else { other };
            balancer.replace(weights.iter().enumerate().map(|(index, weight)| number(index, *weight)));
            had[number_of(&balancer.pick(&Request::default()).unwrap().id)] += 1.0;
            let total: u32 = weights.iter().sum();
            for (part, weight) in part.iter_mut().zip(weights) {
                *part += f64::from(weight) / f64::from(total);
            }
        }
        for (index, (had, part)) in had.iter().zip(part).enumerate() {
            assert!(
                (had - part).abs() <= 0.1 * f64::from(picks),
                "{index} of {one:?} and {other:?} had {had}, not {part}"
            );
        }
    }
}
