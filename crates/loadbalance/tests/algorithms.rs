//! What holds for every algorithm and all lists.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use std::collections::HashSet;

use common::{candidates, listed, number_of, request};
use loadbalance::{Balancer, Name, PickError, Request};
use proptest::collection::vec;
use proptest::prelude::*;

/// Any weight, more often one that is of interest.
fn weight() -> impl Strategy<Value = u32> {
    prop_oneof![2 => Just(0), 2 => Just(1), 1 => Just(u32::MAX), 4 => 1..10u32, 2 => any::<u32>()]
}

/// Weights of a list, often many that are equal.
fn weights() -> impl Strategy<Value = Vec<u32>> {
    let equal = (weight(), 1..=300usize).prop_map(|(weight, many)| vec![weight; many]);
    let all_but_one = (weight(), weight(), 1..=300usize, any::<prop::sample::Index>()).prop_map(
        |(weight, other, many, index)| {
            let mut weights = vec![weight; many];
            weights[index.index(many)] = other;
            weights
        },
    );
    prop_oneof![3 => vec(weight(), 1..=8), 3 => vec(weight(), 1..=300), 1 => equal, 1 => all_but_one]
}

fn name() -> impl Strategy<Value = Name> {
    prop::sample::select(Name::ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn whoever_is_picked_is_in_the_list_and_has_a_weight(name in name(), weights in weights(), from in any::<u32>()) {
        let balancer = Balancer::fixed(listed(&weights), name.algorithm());
        let mut handle = balancer.handle();
        if weights.iter().all(|weight| *weight == 0) {
            let drained = PickError::Drained { listed: weights.len() };
            prop_assert_eq!(balancer.pick(&request(name, 0)).err(), Some(drained.clone()));
            prop_assert_eq!(handle.choose(&request(name, 0)).err(), Some(drained));
            return Ok(());
        }
        let mut held = Vec::new();
        for number in 0..200 {
            let picked = balancer.pick(&request(name, from as usize + number)).unwrap();
            prop_assert!(weights[number_of(&picked.id)] > 0);
            prop_assert_eq!(picked.data.weight, weights[number_of(&picked.id)]);
            if number % 3 == 0 {
                held.push(picked);
            } else if number % 7 == 0 {
                picked.failed();
            }
            let chosen = handle.choose(&request(name, from as usize + number)).unwrap();
            prop_assert!(weights[number_of(chosen.id())] > 0);
        }
    }

    #[test]
    fn a_picker_names_one_of_those_that_it_was_made_for(name in name(), weights in weights(), from in any::<u32>()) {
        let weights: Vec<_> = weights.into_iter().map(|weight| weight.max(1)).collect();
        let picker = name.algorithm().picker(candidates(&weights));
        for number in 0..500 {
            let index = picker.pick(&request(name, from as usize + number));
            prop_assert!(index.is_some_and(|index| index < weights.len()), "{:?} of {}", index, weights.len());
        }
    }

    #[test]
    fn shares_are_one_for_each_and_add_up_to_one(name in name(), weights in weights()) {
        let weights: Vec<_> = weights.into_iter().map(|weight| weight.max(1)).collect();
        let Some(shares) = name.algorithm().picker(candidates(&weights)).shares() else { return Ok(()) };
        prop_assert_eq!(shares.len(), weights.len());
        prop_assert!(shares.iter().all(|share| (0.0..=1.000_001).contains(share)), "{:?}", shares);
        prop_assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn who_was_tried_is_not_picked_again_until_nobody_is_left(
        name in name(),
        weights in vec(weight(), 1..=40),
        number in any::<u32>(),
    ) {
        let balancer = Balancer::fixed(listed(&weights), name.algorithm());
        let able = weights.iter().filter(|weight| **weight > 0).count();
        prop_assume!(able > 0);
        let mut tried = HashSet::new();
        for _ in 0..able {
            let picked = balancer.pick(&request(name, number as usize).tried(&tried)).unwrap();
            prop_assert!(picked.data.weight > 0);
            prop_assert!(tried.insert(picked.id.clone()), "{} again", picked.id);
            picked.failed();
        }
        let nobody = balancer.pick(&request(name, number as usize).tried(&tried)).err();
        prop_assert_eq!(nobody, Some(PickError::Tried { candidates: able }));
    }

    #[test]
    fn a_list_may_become_any_other_list_at_any_time(name in name(), lists in vec(weights(), 1..6)) {
        let balancer = Balancer::fixed([], name.algorithm());
        let mut handle = balancer.handle();
        let mut held = Vec::new();
        for weights in lists {
            balancer.replace(listed(&weights));
            for number in 0..20 {
                match balancer.pick(&request(name, number)) {
                    Ok(picked) => {
                        prop_assert!(weights[number_of(&picked.id)] > 0);
                        held.push(picked);
                    }
                    Err(error) => {
                        prop_assert_eq!(error, PickError::Drained { listed: weights.len() });
                    }
                }
                if let Ok(chosen) = handle.choose(&request(name, number)) {
                    prop_assert!(weights[number_of(chosen.id())] > 0);
                }
            }
        }
    }
}

#[test]
fn an_empty_list_is_an_error_that_says_so() {
    for name in Name::ALL {
        let balancer = Balancer::fixed([], name.algorithm());
        assert_eq!(balancer.pick(&request(name, 0)).unwrap_err(), PickError::Empty, "{name}");
        assert_eq!(balancer.pick(&Request::default()).unwrap_err(), PickError::Empty, "{name}");
        assert_eq!(balancer.handle().pick(&request(name, 0)).unwrap_err(), PickError::Empty, "{name}");
    }
}

#[test]
fn the_only_one_has_all_picks() {
    for name in Name::ALL {
        for weight in [1, 2, u32::MAX] {
            let balancer = Balancer::fixed(listed(&[0, weight, 0]), name.algorithm());
            for number in 0..100 {
                assert_eq!(number_of(&balancer.pick(&request(name, number)).unwrap().id), 1, "{name}");
            }
        }
    }
}
