//! What is known to go wrong in other balancers: 16 bits for an index, state that a new list loses, tables by weight.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use std::collections::HashSet;
use std::sync::Arc;

use common::{candidates, furthest, listed, number, number_of, picker, request};
use loadbalance::{
    Balancer, LeastConnections, Name, PickError, Picker, Random, Request, RoundRobin, WeightedRandom,
    WeightedRoundRobin,
};

/// More than 16 bits can count.
const MANY: usize = 70_000;

/// So many draws of `MANY` that one is left out less than once in 10^9 runs: each is left out with e^-(draws / MANY), and
/// 70,000 e^-37 < 10^-11.
const DRAWS: usize = 37 * MANY;

fn all_are_reached(picker: &dyn Picker, picks: usize, request: impl Fn(usize) -> Request<'static>) {
    let mut reached = vec![false; MANY];
    for number in 0..picks {
        reached[picker.pick(&request(number)).unwrap()] = true;
    }
    let missed = reached.iter().filter(|reached| !**reached).count();
    assert_eq!(missed, 0);
}

#[test]
fn above_65_535_every_one_has_its_turn() {
    let equal = vec![1; MANY];
    all_are_reached(&*picker(&RoundRobin::default(), &equal), MANY, |_| Request::default());
    all_are_reached(&*picker(&RoundRobin::per_thread(), &equal), MANY, |_| Request::default());
    all_are_reached(&*picker(&WeightedRoundRobin::default(), &equal), MANY, |_| Request::default());
    let different: Vec<_> = (0..MANY as u32).map(|index| 1 + index % 3).collect();
    all_are_reached(&*picker(&WeightedRoundRobin::default(), &different), 2 * MANY, |_| Request::default());
}

#[test]
fn above_65_535_every_one_is_drawn() {
    let equal = vec![7; MANY];
    all_are_reached(&*picker(&Random, &equal), DRAWS, |_| Request::default());
    all_are_reached(&*picker(&WeightedRandom, &equal), DRAWS, |_| Request::default());
    all_are_reached(&*picker(&LeastConnections, &equal), DRAWS, |_| Request::default());
    // Half of the pairs have one that is drawn evenly.
    let different: Vec<_> = (0..MANY as u32).map(|index| 1 + index % 2).collect();
    all_are_reached(&*picker(&WeightedRandom, &different), 2 * DRAWS, |_| Request::default());
}

/// Deterministic, as hashing is: by shares all have keys, and many are seen to.
#[test]
fn above_65_535_every_one_has_keys() {
    let picker = picker(&*Name::IpHash.algorithm(), &vec![1; MANY]);
    let shares = picker.shares().unwrap();
    assert!(shares.iter().all(|share| *share > 0.0));
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-6);
    let mut reached = vec![false; MANY];
    for number in 0..5 * MANY {
        reached[picker.pick(&request(Name::IpHash, number)).unwrap()] = true;
    }
    let above: usize = reached[65_536..].iter().map(|reached| usize::from(*reached)).sum();
    assert!(above > 4_000, "{above} of {}", MANY - 65_536);
}

#[test]
fn a_weight_of_0_neither_panics_nor_is_picked() {
    for name in Name::ALL {
        for weights in
            [vec![0, 1], vec![1, 0], vec![0, 0, 7, 0], [0, 3].repeat(50), [0, u32::MAX, 1].repeat(11)]
        {
            let balancer = Balancer::fixed(listed(&weights), name.algorithm());
            for number in 0..1_000 {
                let picked = balancer.pick(&request(name, number)).unwrap();
                assert!(weights[number_of(&picked.id)] > 0, "{name} of {weights:?}");
            }
        }
    }
}

#[test]
fn a_list_in_which_all_weights_are_0_is_an_error_and_no_panic() {
    for name in Name::ALL {
        for many in [1, 2, 33, 1_000] {
            let balancer = Balancer::fixed(listed(&vec![0; many]), name.algorithm());
            let error = balancer.pick(&request(name, 1)).unwrap_err();
            assert_eq!(error, PickError::Drained { listed: many }, "{name}");
        }
    }
}

/// A balancer that starts over at each list gives everything to the first ones.
#[test]
fn a_list_that_is_new_for_each_pick_does_not_send_everything_to_the_first() {
    for name in
        [Name::RoundRobin, Name::WeightRoundRobin, Name::Random, Name::WeightRandom, Name::LeastConnect]
    {
        let balancer = Balancer::fixed(listed(&[1; 10]), name.algorithm());
        let mut had = [0; 10];
        let picks = 4_000;
        for round in 0..picks {
            let picked = balancer.pick(&request(name, round)).unwrap();
            had[number_of(&picked.id)] += 1;
            let list = listed(&[1; 10]).into_iter().map(|mut it| {
                it.data = it.data.with_metadata("round", round.to_string());
                it
            });
            balancer.replace(list);
        }
        for had in had {
            let off = f64::from(had) - picks as f64 / 10.0;
            assert!(off.abs() <= furthest(picks, 0.1, 100), "{name}: {had}");
        }
    }
}

/// Two choices that may be the same one pick it, however busy it is.
#[test]
fn a_draw_never_compares_one_with_itself() {
    let heavy = |many: usize| -> Vec<u32> { [1_000].into_iter().chain(vec![1; many - 1]).collect() };
    for weights in [vec![1; 33], vec![1; 34], heavy(33), heavy(34), heavy(2), vec![1; 2]] {
        let busy = number(0, weights[0]);
        let balancer = Balancer::fixed([busy], LeastConnections);
        let _held: Vec<_> = (0..10_000).map(|_| balancer.pick(&Request::default()).unwrap()).collect();
        balancer.replace(listed(&weights));
        for _ in 0..50_000 {
            assert_ne!(
                number_of(&balancer.pick(&Request::default()).unwrap().id),
                0,
                "{} of them",
                weights.len()
            );
        }
    }
}

/// Lists of 100,000 that break sums of 32 bits, and tables with an entry for each unit of weight.
fn heaviest() -> [(&'static str, Vec<u32>); 5] {
    let many = 100_000;
    let numbers = || 0..many as u32;
    [
        ("equal", vec![1; many]),
        ("of the largest weight", vec![u32::MAX; many]),
        ("of large weights", numbers().map(|index| u32::MAX - index).collect()),
        ("one of the largest weight", numbers().map(|index| if index == 7 { u32::MAX } else { 1 }).collect()),
        (
            "all but one of the largest weight",
            numbers().map(|index| if index == 7 { 1 } else { u32::MAX }).collect(),
        ),
    ]
}

/// What a picker of 100,000 may take at most at one time while it is made, in bytes, beside the list itself.
fn most_bytes(name: Name) -> u64 {
    match name {
        Name::RoundRobin | Name::Random => 1_000,
        // 48 for each: weights, their sums, and a guide to these.
        Name::WeightRoundRobin => 5_000_000,
        // 36 for each while the table is made, 16 then.
        Name::WeightRandom | Name::LeastConnect => 4_000_000,
        // 1,000 for each: some dozens of points, twice while they are put in order.
        Name::IpHash | Name::UrlHash => 100_000_000,
    }
}

#[test]
fn large_lists_of_large_weights_neither_overflow_nor_take_much_memory() {
    for (kind, weights) in heaviest() {
        let candidates = candidates(&weights);
        // Both hashes prepare in the same way.
        for name in Name::ALL.into_iter().filter(|name| *name != Name::UrlHash) {
            let algorithm = name.algorithm();
            let mut made = None;
            let measured = allocation_counter::measure(|| made = Some(algorithm.picker(candidates.clone())));
            assert!(measured.bytes_max <= most_bytes(name), "{name} of {kind}: {measured:?}");
            let picker = made.unwrap();
            let mut seen = HashSet::new();
            for number in 0..20_000 {
                let index = picker.pick(&request(name, number)).unwrap();
                assert!(index < weights.len(), "{name}: {index}");
                seen.insert(index);
            }
            let drawn_alike = weights.iter().min() == weights.iter().max();
            assert!(!drawn_alike || seen.len() > 3_000, "{name} of {kind}: {}", seen.len());
        }
    }
}

#[test]
fn one_of_the_largest_weight_among_100_000_has_nearly_all_picks() {
    let weights: Vec<_> = (0..100_000).map(|index| if index == 7 { u32::MAX } else { 1 }).collect();
    let part = f64::from(u32::MAX) / (f64::from(u32::MAX) + 99_999.0);
    for name in [Name::WeightRoundRobin, Name::WeightRandom, Name::IpHash] {
        let picker: Arc<dyn Picker> = picker(&*name.algorithm(), &weights);
        let picks = 100_000;
        let had = (0..picks).filter(|number| picker.pick(&request(name, *number)) == Some(7)).count();
        let most_off = match name {
            Name::WeightRoundRobin => 5.0,
            // Everybody has one point at least: less exact the heavier one is.
            Name::IpHash => 0.1 * picks as f64,
            _ => furthest(picks, part, 10),
        };
        assert!((had as f64 - picks as f64 * part).abs() <= most_off, "{name}: {had}");
    }
}
