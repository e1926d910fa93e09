//! What is counted, for whom, and until when.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use std::collections::{HashMap, VecDeque};

use common::{instance, listed, number, number_of};
use loadbalance::{Balancer, Instance, LeastConnections, Picked, Request, RoundRobin};
use proptest::collection::vec;
use proptest::prelude::*;

fn pick(balancer: &Balancer) -> Picked {
    balancer.pick(&Request::default()).unwrap()
}

/// Of everybody in the list, by number.
fn in_flight(balancer: &Balancer) -> Vec<(usize, u32)> {
    balancer.candidates().iter().map(|it| (number_of(it.id()), it.in_flight())).collect()
}

fn with_metadata(instance: Instance, value: &str) -> Instance {
    Instance { data: instance.data.with_metadata("key", value), ..instance }
}

#[test]
fn a_pick_counts_until_its_guard_is_dropped() {
    let balancer = Balancer::fixed(listed(&[1, 1]), RoundRobin::default());
    let (one, other, again) = (pick(&balancer), pick(&balancer), pick(&balancer));
    assert_eq!(in_flight(&balancer), [(0, 2), (1, 1)]);
    assert_eq!(one.candidate().in_flight(), 2);
    drop(one);
    assert_eq!(in_flight(&balancer), [(0, 1), (1, 1)]);
    other.failed();
    assert_eq!(in_flight(&balancer), [(0, 1), (1, 0)]);
    assert_eq!(balancer.candidates()[1].failures(), 1);
    drop(again);
    assert_eq!(in_flight(&balancer), [(0, 0), (1, 0)]);
}

#[test]
fn counts_stay_with_the_id_whatever_becomes_of_the_list() {
    let balancer = Balancer::fixed(listed(&[1, 1, 1]), RoundRobin::default());
    let held: Vec<_> = (0..4).map(|_| pick(&balancer)).collect();
    assert_eq!(in_flight(&balancer), [(0, 2), (1, 1), (2, 1)]);
    // Another order, and somebody new.
    balancer.replace([2, 3, 0, 1].map(|index| number(index, 1)));
    assert_eq!(in_flight(&balancer), [(2, 1), (3, 0), (0, 2), (1, 1)]);
    // Other data and weights.
    balancer.replace([with_metadata(number(0, 9), "new"), number(1, 5)]);
    assert_eq!(in_flight(&balancer), [(0, 2), (1, 1)]);
    assert_eq!(balancer.candidates()[0].weight(), 9);
    // Drained for a while, and away for a while.
    balancer.replace([number(0, 0), number(1, 1)]);
    assert_eq!(balancer.explain(&Request::default()).instances[0].in_flight, 2);
    balancer.replace([]);
    balancer.replace([number(7, 1)]);
    balancer.replace(listed(&[1, 1, 1]));
    assert_eq!(in_flight(&balancer), [(0, 2), (1, 1), (2, 1)]);
    drop(held);
    assert_eq!(in_flight(&balancer), [(0, 0), (1, 0), (2, 0)]);
}

#[test]
fn what_ends_while_an_instance_is_away_is_not_in_flight_when_it_is_back() {
    let balancer = Balancer::fixed(listed(&[1]), RoundRobin::default());
    let mut held: Vec<_> = (0..3).map(|_| pick(&balancer)).collect();
    balancer.replace([number(1, 1)]);
    held.pop().unwrap().failed();
    drop(held.pop());
    balancer.replace([number(1, 1), number(2, 1)]);
    balancer.replace(listed(&[1, 1]));
    assert_eq!(in_flight(&balancer), [(0, 1), (1, 0)]);
    balancer.replace([]);
    drop(held);
    balancer.replace(listed(&[1]));
    assert_eq!(in_flight(&balancer), [(0, 0)]);
}

#[test]
fn an_old_guard_and_a_new_one_of_the_same_id_count_together() {
    let balancer = Balancer::fixed([instance("i000000", 1)], RoundRobin::default());
    let old = pick(&balancer);
    balancer.replace([with_metadata(number(0, 1), "new")]);
    let new = pick(&balancer);
    assert_eq!((old.candidate().in_flight(), new.candidate().in_flight()), (2, 2));
    // Each guard has the data that it was picked by.
    assert_eq!((old.data.metadata.len(), new.data.metadata.len()), (0, 1));
    drop(old);
    assert_eq!(new.candidate().in_flight(), 1);
}

#[test]
fn failures_stay_with_the_id_too() {
    let balancer = Balancer::fixed(listed(&[1]), LeastConnections);
    pick(&balancer).failed();
    pick(&balancer).failed();
    balancer.replace([number(1, 1), with_metadata(number(0, 3), "new")]);
    assert_eq!(balancer.candidates()[1].failures(), 2);
}

#[test]
fn a_request_that_is_given_up_says_nothing_unless_it_is_told() {
    let balancer = Balancer::fixed(listed(&[1]), LeastConnections);
    let failures = || balancer.candidates()[0].failures();
    pick(&balancer).failed();
    drop(pick(&balancer).tentative());
    assert_eq!((failures(), in_flight(&balancer)), (1, vec![(0, 0)]));
    pick(&balancer).tentative().failed();
    assert_eq!((failures(), in_flight(&balancer)), (2, vec![(0, 0)]));
    // Also where it is taken along.
    let mut handle = balancer.handle();
    let taken = handle.pick(&Request::default()).unwrap().tentative().into_owned();
    assert_eq!(in_flight(&balancer), [(0, 1)]);
    drop(taken);
    assert_eq!((failures(), in_flight(&balancer)), (2, vec![(0, 0)]));
    pick(&balancer).tentative().succeeded();
    assert_eq!((failures(), in_flight(&balancer)), (0, vec![(0, 0)]));
}

#[test]
fn two_balancers_count_for_themselves() {
    let one = Balancer::fixed(listed(&[1]), LeastConnections);
    let other = Balancer::fixed(listed(&[1]), LeastConnections);
    let _held = pick(&one);
    assert_eq!(in_flight(&other), [(0, 0)]);
    assert_eq!(in_flight(&one.clone()), [(0, 1)]);
}

#[test]
fn of_instances_with_the_same_id_the_first_counts() {
    let twice = [
        number(0, 1),
        with_metadata(number(1, 2), "first"),
        number(0, 7),
        with_metadata(number(1, 9), "second"),
    ];
    let balancer = Balancer::fixed(twice, RoundRobin::default());
    let candidates = balancer.candidates();
    assert_eq!(candidates.iter().map(|it| it.weight()).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(&candidates[1].instance().data.metadata["key"], "first");
    assert_eq!(balancer.explain(&Request::default()).instances.len(), 2);
}

#[test]
fn a_handle_sees_the_next_list() {
    let balancer = Balancer::fixed(listed(&[1]), RoundRobin::default());
    let mut handle = balancer.handle();
    assert_eq!(number_of(&handle.pick(&Request::default()).unwrap().id), 0);
    balancer.replace([number(5, 1)]);
    assert_eq!(number_of(&handle.pick(&Request::default()).unwrap().id), 5);
    let mut other = handle.clone();
    balancer.replace([]);
    assert!(handle.pick(&Request::default()).is_err());
    assert!(other.choose(&Request::default()).is_err());
    balancer.replace([number(6, 1)]);
    assert_eq!(number_of(other.choose(&Request::default()).unwrap().id()), 6);
    // The balancer may be gone: a handle is enough.
    drop(balancer);
    assert_eq!(number_of(handle.choose(&Request::default()).unwrap().id()), 6);
}

#[test]
fn a_pick_of_a_handle_counts_once_also_when_it_is_made_one_of_its_own() {
    let balancer = Balancer::fixed(listed(&[1]), RoundRobin::default());
    let mut handle = balancer.handle();
    let picked = handle.pick(&Request::default()).unwrap();
    assert_eq!(in_flight(&balancer), [(0, 1)]);
    let owned = picked.into_owned();
    assert_eq!(in_flight(&balancer), [(0, 1)]);
    drop(handle);
    balancer.replace([]);
    balancer.replace(listed(&[1]));
    assert_eq!(in_flight(&balancer), [(0, 1)]);
    owned.failed();
    assert_eq!(in_flight(&balancer), [(0, 0)]);
    assert_eq!(balancer.candidates()[0].failures(), 1);

    let mut handle = balancer.handle();
    drop(handle.pick(&Request::default()).unwrap());
    handle.pick(&Request::default()).unwrap().failed();
    drop(handle.pick(&Request::default()).unwrap().into_owned());
    assert_eq!(in_flight(&balancer), [(0, 0)]);
}

#[test]
fn to_choose_counts_nothing() {
    let balancer = Balancer::fixed(listed(&[1, 1]), LeastConnections);
    let mut handle = balancer.handle();
    for _ in 0..10 {
        handle.choose(&Request::default()).unwrap();
        assert!(balancer.explain(&Request::default()).chosen.is_some());
    }
    assert_eq!(in_flight(&balancer), [(0, 0), (1, 0)]);
}

/// What may happen to a balancer.
#[derive(Clone, Debug)]
enum Step {
    Pick,
    PickByHandle,
    End(prop::sample::Index),
    Fail(prop::sample::Index),
    Replace(Vec<u32>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Pick),
        2 => Just(Step::PickByHandle),
        3 => any::<prop::sample::Index>().prop_map(Step::End),
        1 => any::<prop::sample::Index>().prop_map(Step::Fail),
        2 => vec(0..3u32, 0..6).prop_map(Step::Replace),
    ]
}

proptest! {
    /// The truth is counted beside it: who is held, and how many failures of each came one after the other.
    #[test]
    fn what_is_counted_is_the_truth_whatever_happens(steps in vec(step(), 1..120)) {
        let balancer = Balancer::fixed(listed(&[1, 1, 1]), LeastConnections);
        let mut handle = balancer.handle();
        let mut held = VecDeque::new();
        let mut truth: HashMap<usize, u32> = HashMap::new();
        for step in steps {
            match step {
                Step::Pick => held.extend(balancer.pick(&Request::default()).ok()),
                Step::PickByHandle => held.extend(handle.pick(&Request::default()).ok().map(Picked::into_owned)),
                Step::End(which) if !held.is_empty() => drop(held.swap_remove_back(which.index(held.len()))),
                Step::Fail(which) if !held.is_empty() => {
                    held.swap_remove_back(which.index(held.len())).into_iter().for_each(Picked::failed);
                }
                Step::End(_) | Step::Fail(_) => {}
                Step::Replace(weights) => balancer.replace(listed(&weights)),
            }
            truth.clear();
            for picked in &held {
                *truth.entry(number_of(&picked.id)).or_default() += 1;
            }
            for (number, counted) in in_flight(&balancer) {
                prop_assert_eq!(counted, truth.get(&number).copied().unwrap_or(0), "{}", number);
            }
            for picked in &held {
                prop_assert_eq!(picked.candidate().in_flight(), truth[&number_of(&picked.id)]);
            }
        }
    }
}

#[test]
fn one_that_was_abandoned_is_no_failure_and_forgives_none() {
    let balancer = Balancer::fixed(listed(&[1]), LeastConnections);
    pick(&balancer).failed();
    let standing = || {
        let one = balancer.candidates()[0].clone();
        (one.in_flight(), one.failures())
    };
    assert_eq!(standing(), (0, 1));
    let picked = pick(&balancer);
    assert_eq!(standing(), (1, 1));
    picked.abandoned();
    assert_eq!(standing(), (0, 1));
    drop(pick(&balancer));
    assert_eq!(standing(), (0, 0));
}
