//! Who may be picked at all: filters, and the master.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use std::time::Duration;

use common::{instance, listed, number_of};
use loadbalance::{
    Balancer, Filter, Instance, InstanceId, Name, PickError, Pool, Request, RoundRobin, Verdict,
};
use tokio::sync::watch;
use tokio::time::timeout;

fn tagged(id: &str, weight: u32, metadata: &[(&str, &str)]) -> Instance {
    let mut instance = instance(id, weight);
    for (key, value) in metadata {
        instance.data = instance.data.with_metadata(*key, *value);
    }
    instance
}

fn ids(balancer: &Balancer) -> Vec<String> {
    balancer.candidates().iter().map(|it| it.id().to_string()).collect()
}

#[test]
fn filters_look_at_metadata_and_can_be_joined() {
    let instances = || {
        [
            tagged("a1", 1, &[("zone", "a"), ("version", "1")]),
            tagged("a2", 1, &[("zone", "a"), ("version", "2")]),
            tagged("b2", 1, &[("zone", "b"), ("version", "2")]),
            tagged("none", 1, &[]),
            tagged("drained", 0, &[("zone", "a"), ("version", "2")]),
        ]
    };
    let cases: [(Filter, &str, &[&str]); 6] = [
        (Filter::zone("a"), "zone=a", &["a1", "a2"]),
        (Filter::version("2"), "version=2", &["a2", "b2"]),
        (Filter::zone("a").and(Filter::version("2")), "zone=a and version=2", &["a2"]),
        (Filter::metadata("version", "1"), "version=1", &["a1"]),
        (Filter::zone("A"), "zone=A", &[]),
        (Filter::new("short", |it| it.id.as_str().len() < 3), "short", &["a1", "a2", "b2"]),
    ];
    for (filter, name, left) in cases {
        assert_eq!(filter.name(), name);
        let balancer = Balancer::builder(RoundRobin::default()).filter(filter).fixed(instances());
        assert_eq!(ids(&balancer), left, "{name}");
        match balancer.pick(&Request::default()) {
            Ok(picked) => assert!(left.contains(&picked.id.as_str())),
            Err(error) => {
                assert!(left.is_empty());
                let filter = name.to_owned();
                assert_eq!(error, PickError::Filtered { listed: 5, filtered: 5, drained: 0, filter });
            }
        }
    }
}

#[test]
fn no_algorithm_sees_who_is_filtered_out_or_drained() {
    for name in Name::ALL {
        let filter = Filter::new("even", |it| number_of(&it.id).is_multiple_of(2));
        let weights: Vec<u32> = (0..60).map(|index| index % 3).collect();
        let balancer = Balancer::builder(name.algorithm()).filter(filter).fixed(listed(&weights));
        for number in 0..500 {
            let index = number_of(&balancer.pick(&common::request(name, number)).unwrap().id);
            assert!(index.is_multiple_of(2) && weights[index] > 0, "{name}: {index}");
        }
    }
}

#[test]
fn a_filter_is_asked_for_each_list_and_not_for_picks() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let filter = Filter::new("counted", move |_| counted.fetch_add(1, SeqCst) < usize::MAX);
    let balancer = Balancer::builder(RoundRobin::default()).filter(filter).fixed(listed(&[1; 10]));
    for _ in 0..100 {
        assert!(balancer.pick(&Request::default()).is_ok());
    }
    assert_eq!(asked.load(SeqCst), 10);
    balancer.replace(listed(&[1; 5]));
    assert_eq!(asked.load(SeqCst), 15);
}

fn id(text: &str) -> Option<InstanceId> {
    Some(text.parse().unwrap())
}

/// Waits until these are the candidates.
async fn becomes(balancer: &Balancer, expected: &[&str]) {
    let taken = balancer.wait_for(|now| now.iter().map(|it| it.id().as_str()).eq(expected.iter().copied()));
    let taken = timeout(Duration::from_secs(30), taken).await;
    taken.unwrap_or_else(|_| panic!("{:?}, not {expected:?}", ids(balancer))).unwrap();
}

#[tokio::test]
async fn the_normal_pool_is_everybody_but_the_master() {
    let (master, masters) = watch::channel(None);
    let three = || ["a", "b", "c"].map(|name| instance(name, 1));
    let balancer = Balancer::builder(RoundRobin::default()).pool(Pool::Normal(masters)).fixed(three());
    // Nobody is known to be the master.
    assert_eq!(ids(&balancer), ["a", "b", "c"]);
    for (now, left) in [
        ("b", ["a", "c"].as_slice()),
        ("a", &["b", "c"]),
        ("elsewhere", &["a", "b", "c"]),
        ("c", &["a", "b"]),
    ] {
        master.send(id(now)).unwrap();
        becomes(&balancer, left).await;
    }
    master.send(None).unwrap();
    becomes(&balancer, &["a", "b", "c"]).await;

    // A new list and the master that is known already.
    master.send(id("b")).unwrap();
    becomes(&balancer, &["a", "c"]).await;
    balancer.replace(["b", "d"].map(|name| instance(name, 1)));
    assert_eq!(ids(&balancer), ["d"]);
    // Nobody else is there: better the master than nobody.
    balancer.replace(["b"].map(|name| instance(name, 1)));
    assert_eq!(ids(&balancer), ["b"]);
    balancer.replace([instance("a", 0), instance("b", 1)]);
    assert_eq!(ids(&balancer), ["b"]);
    balancer.replace([instance("a", 0), instance("b", 0)]);
    assert_eq!(balancer.pick(&Request::default()).unwrap_err(), PickError::Drained { listed: 2 });

    // Whoever tells of masters is gone: the last one stays.
    balancer.replace(three());
    drop(master);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(ids(&balancer), ["a", "c"]);
    let verdicts: Vec<_> =
        balancer.explain(&Request::default()).instances.iter().map(|it| it.verdict).collect();
    assert_eq!(verdicts[1], Verdict::Master);
}

#[tokio::test]
async fn a_change_of_master_keeps_what_is_in_flight() {
    let (master, masters) = watch::channel(id("a"));
    let balancer = Balancer::builder(RoundRobin::default())
        .pool(Pool::Normal(masters))
        .fixed(["a", "b", "c"].map(|name| instance(name, 1)));
    let held = [0; 4].map(|_| balancer.pick(&Request::default()).unwrap());
    master.send(id("b")).unwrap();
    becomes(&balancer, &["a", "c"]).await;
    let explained = balancer.explain(&Request::default());
    let in_flight: Vec<_> = explained.instances.iter().map(|it| it.in_flight).collect();
    assert_eq!(in_flight, [0, 2, 2]);
    drop(held);
    assert!(balancer.explain(&Request::default()).instances.iter().all(|it| it.in_flight == 0));
}

#[tokio::test]
async fn a_master_that_is_filtered_out_is_not_fallen_back_to() {
    let (_master, masters) = watch::channel(id("a"));
    let balancer = Balancer::builder(RoundRobin::default())
        .filter(Filter::zone("b"))
        .pool(Pool::Normal(masters))
        .fixed([instance("a", 1)]);
    let error = balancer.pick(&Request::default()).unwrap_err();
    assert!(matches!(error, PickError::Filtered { listed: 1, filtered: 1, drained: 0, .. }), "{error}");
}

#[tokio::test]
async fn a_master_before_the_first_list_makes_no_list() {
    let (master, masters) = watch::channel(None);
    let (lists, receiver) = watch::channel(None);
    let balancer = Balancer::builder(RoundRobin::default()).pool(Pool::Normal(masters)).follow(receiver);
    master.send(id("a")).unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(balancer.pick(&Request::default()).unwrap_err(), PickError::NotReady);
    let list = ["a", "b"].map(|name| std::sync::Arc::new(instance(name, 1)));
    lists.send(Some(list.into())).unwrap();
    becomes(&balancer, &["b"]).await;
}

/// Lists by hand come from whoever holds the balancer, whatever becomes of the channel of masters.
#[tokio::test]
async fn a_balancer_by_hand_waits_for_its_first_list_when_nobody_tells_of_masters_any_more() {
    let (master, masters) = watch::channel(id("a"));
    let balancer = Balancer::builder(RoundRobin::default()).pool(Pool::Normal(masters)).by_hand();
    drop(master);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(balancer.pick(&Request::default()).unwrap_err(), PickError::NotReady);
    balancer.replace(["a", "b"].map(|name| instance(name, 1)));
    assert_eq!(ids(&balancer), ["b"]);
}
