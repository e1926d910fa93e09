//! Whose turn it is, whatever happens to the list.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use common::{instance, listed, number_of, picker};
use loadbalance::{Balancer, Instance, Request, RoundRobin};
use proptest::prelude::*;

fn named(names: &str) -> Vec<Instance> {
    names.chars().map(|name| instance(&name.to_string(), 1)).collect()
}

fn next(balancer: &Balancer) -> String {
    balancer.pick(&Request::default()).unwrap().id.to_string()
}

fn following(balancer: &Balancer, many: usize) -> String {
    (0..many).map(|_| next(balancer)).collect()
}

proptest! {
    #[test]
    fn any_picks_in_a_row_that_are_as_many_as_the_list_are_each_once(many in 1..=300usize, before in 0..1_000usize) {
        for algorithm in [RoundRobin::default(), RoundRobin::per_thread()] {
            let picker = picker(&algorithm, &vec![1; many]);
            for _ in 0..before {
                picker.pick(&Request::default());
            }
            let mut picked: Vec<_> = (0..many).map(|_| picker.pick(&Request::default()).unwrap()).collect();
            picked.sort_unstable();
            prop_assert_eq!(picked, Vec::from_iter(0..many));
        }
    }

    /// With N others that stay, somebody comes or goes after every pick: each of the N still has its part.
    #[test]
    fn a_list_that_changes_after_every_pick_is_gone_through_evenly(many in 2..20usize, guests in 1..4usize, seed in any::<u64>()) {
        let balancer = Balancer::fixed(listed(&vec![1; many]), RoundRobin::default());
        let mut had = vec![0; many + guests];
        let mut state = seed;
        let rounds = 50;
        for _ in 0..rounds * many {
            had[number_of(&balancer.pick(&Request::default()).unwrap().id)] += 1;
            // Guests are behind the others, so that these have their turn in the same order as ever.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let here = (state >> 33) as usize % (guests + 1);
            balancer.replace(listed(&vec![1; many + here]));
        }
        let (residents, guests) = had.split_at(many);
        let (least, most) = (residents.iter().min().unwrap(), residents.iter().max().unwrap());
        prop_assert!(most - least <= 1, "{:?}", had);
        prop_assert!(guests.iter().all(|guest| guest <= most), "{:?}", had);
    }
}

#[test]
fn the_order_is_that_of_the_list_whatever_the_weights() {
    let instances = [instance("c", 9), instance("a", 1), instance("d", 0), instance("b", u32::MAX)];
    let balancer = Balancer::fixed(instances, RoundRobin::default());
    assert_eq!(following(&balancer, 7), "cabcabc");
}

#[test]
fn the_turn_stays_with_whose_it_was_when_others_come_and_go() {
    for (list, then) in [
        ("abcdefgh", "defgha"),   // nobody
        ("acdefgh", "defgha"),    // somebody before left
        ("abcdfgh", "dfghab"),    // somebody after left
        ("XYabcdefgh", "defghX"), // somebody came before
        ("abcXdefgh", "defgha"),  // just before
        ("abcdXefgh", "dXefgh"),  // just after
        ("abcefgh", "efghab"),    // the next one itself left: then whoever was to follow
        ("abch", "habcha"),
        ("abc", "abcabc"),
        ("hgfedcba", "dcbahg"), // another order
    ] {
        let balancer = Balancer::fixed(named("abcdefgh"), RoundRobin::default());
        assert_eq!(following(&balancer, 3), "abc");
        balancer.replace(named(list));
        assert_eq!(following(&balancer, 6), then, "{list}");
    }
}

#[test]
fn the_turn_outlives_lists_that_nobody_picks_from() {
    let balancer = Balancer::fixed(named("abcd"), RoundRobin::default());
    let mut picked = String::new();
    for _ in 0..8 {
        picked += &next(&balancer);
        balancer.replace(named("bcd"));
        balancer.replace(named("abcd"));
        balancer.replace(named("Xabcd"));
        balancer.replace(named("abcd"));
    }
    // "bcd" has no a: when it was a's turn it is b's from then on.
    assert_eq!(picked, "abcdbcdb");
}

#[test]
fn the_turn_outlives_an_empty_list() {
    let balancer = Balancer::fixed(named("abcd"), RoundRobin::default());
    let mut picked = String::new();
    for _ in 0..6 {
        picked += &next(&balancer);
        balancer.replace([]);
        balancer.replace(named("abcd"));
    }
    assert_eq!(picked, "abcdab");
}

#[test]
fn all_others_make_way_for_strangers_without_a_stop() {
    let balancer = Balancer::fixed(named("abcdefgh"), RoundRobin::default());
    assert_eq!(following(&balancer, 5), "abcde");
    balancer.replace(named("ABC"));
    let mut picked: Vec<_> = following(&balancer, 3).chars().collect();
    picked.sort_unstable();
    assert_eq!(picked, ['A', 'B', 'C']);
}

#[test]
fn two_balancers_have_turns_of_their_own() {
    let (one, other) = (
        Balancer::fixed(named("abc"), RoundRobin::default()),
        Balancer::fixed(named("abc"), RoundRobin::default()),
    );
    assert_eq!(following(&one, 2), "ab");
    assert_eq!(following(&other, 2), "ab");
    // A clone is the same balancer again.
    assert_eq!(following(&one.clone(), 2), "ca");
    assert_eq!(following(&one, 1), "b");
}
