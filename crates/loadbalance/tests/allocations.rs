//! A pick allocates nothing.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use std::collections::HashSet;

use common::{listed, request};
use loadbalance::{Algorithm, Balancer, Hash, InstanceId, Name, Request, RoundRobin};

const PICKS: usize = 200;

/// Measures picks in all ways that there are.
fn picks_allocate_nothing(what: &str, balancer: &Balancer, request: impl Fn(usize) -> Request<'static>) {
    let requests: Vec<_> = (0..PICKS).map(request).collect();
    let mut handle = balancer.handle();
    // A thread draws its first number, and a handle looks at its first list.
    drop(balancer.pick(&requests[0]).unwrap());
    handle.choose(&requests[0]).unwrap();
    let measure = |way: &str, pick: &mut dyn FnMut(&Request<'_>)| {
        let measured = allocation_counter::measure(|| requests.iter().for_each(pick));
        assert_eq!(measured.count_total, 0, "{what}: {way}: {measured:?}");
    };
    measure("pick", &mut |request| drop(balancer.pick(request).unwrap()));
    measure("pick of a handle", &mut |request| drop(handle.pick(request).unwrap()));
    measure("into_owned", &mut |request| drop(handle.pick(request).unwrap().into_owned()));
    measure("choose", &mut |request| assert!(handle.choose(request).is_ok()));
    // While somebody is passed over, picks go another way.
    measure("failed", &mut |request| balancer.pick(request).unwrap().failed());
    measure("pick after failures", &mut |request| drop(handle.pick(request).unwrap()));
}

/// Weights of each kind that an algorithm may treat in its own way.
fn kinds(many: usize) -> [(&'static str, Vec<u32>); 4] {
    let numbers = || 0..many as u32;
    [
        ("equal", vec![1; many]),
        ("different", numbers().map(|index| 1 + index % 5).collect()),
        ("in a long cycle", numbers().map(|index| 1 + index.wrapping_mul(2_654_435_761)).collect()),
        ("with one heavy", numbers().map(|index| if index == 0 { u32::MAX } else { 1 }).collect()),
    ]
}

fn of_each_kind(many: usize) {
    for (kind, weights) in kinds(many) {
        for name in Name::ALL {
            let balancer = Balancer::fixed(listed(&weights), name.algorithm());
            picks_allocate_nothing(&format!("{name} of {many} {kind}"), &balancer, |number| {
                request(name, number)
            });
        }
    }
    let others: [(&str, Box<dyn Algorithm>); 2] =
        [("hash", Box::new(Hash::by_key())), ("per thread", Box::new(RoundRobin::per_thread()))];
    for (name, algorithm) in others {
        let balancer = Balancer::fixed(listed(&vec![1; many]), algorithm);
        picks_allocate_nothing(&format!("{name} of {many}"), &balancer, |_| Request::keyed("key"));
    }
}

#[test]
fn a_pick_of_3_allocates_nothing() {
    of_each_kind(3);
}

#[test]
fn a_pick_of_100_allocates_nothing() {
    of_each_kind(100);
}

#[test]
fn a_pick_of_10_000_allocates_nothing() {
    of_each_kind(10_000);
}

#[test]
fn another_try_allocates_nothing() {
    for name in Name::ALL {
        let balancer = Balancer::fixed(listed(&[1, 2, 3, 4]), name.algorithm());
        let tried: HashSet<InstanceId> = listed(&[1, 1, 1]).into_iter().map(|it| it.id).collect();
        let requests: Vec<_> = (0..PICKS).map(|number| request(name, number).tried(&tried)).collect();
        drop(balancer.pick(&requests[0]).unwrap());
        let measured = allocation_counter::measure(|| {
            requests.iter().for_each(|request| drop(balancer.pick(request).unwrap()));
        });
        assert_eq!(measured.count_total, 0, "{name}: {measured:?}");
    }
}

#[test]
fn a_pick_of_a_list_that_is_new_allocates_nothing() {
    for name in Name::ALL {
        let balancer = Balancer::fixed(listed(&[1, 2, 3]), name.algorithm());
        let (mut handle, request) = (balancer.handle(), request(name, 0));
        handle.choose(&request).unwrap();
        balancer.replace(listed(&[3, 2, 1, 1]));
        let measured = allocation_counter::measure(|| {
            handle.choose(&request).unwrap();
            drop(balancer.pick(&request).unwrap());
        });
        assert_eq!(measured.count_total, 0, "{name}: {measured:?}");
    }
}

/// Also for the few keys that are so near to a border that it has to be looked at closely.
#[test]
fn no_key_of_many_allocates() {
    for many in [3, 100, 10_000] {
        for weights in [vec![1; many], (0..many as u32).map(|index| 1 + index % 5).collect()] {
            let balancer = Balancer::fixed(listed(&weights), Hash::by_key());
            let mut handle = balancer.handle();
            handle.choose(&Request::keyed("key")).unwrap();
            let measured = allocation_counter::measure(|| {
                for key in 0..200_000u32 {
                    handle.choose(&Request::keyed(&key.to_le_bytes())).unwrap();
                }
            });
            assert_eq!(measured.count_total, 0, "{many}: {measured:?}");
        }
    }
}

/// A count that is 0 whatever happens would prove nothing.
#[test]
fn what_allocates_is_counted() {
    let balancer = Balancer::fixed(listed(&[1, 2, 3]), RoundRobin::default());
    let measured = allocation_counter::measure(|| drop(balancer.explain(&Request::default())));
    assert!(measured.count_total > 0);
}
