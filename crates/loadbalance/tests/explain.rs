//! Why a pick went as it did, for people and as JSON.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use std::collections::HashSet;

use common::{instance, listed, request};
use loadbalance::{Balancer, Filter, LeastConnections, Name, PickError, Pool, Request, RoundRobin, Verdict};
use serde_json::{Value, json};
use tokio::sync::watch;

/// One of each: chosen, not chosen, tried, drained, filtered and the master.
fn one_of_each() -> (Balancer, watch::Sender<Option<loadbalance::InstanceId>>) {
    let (master, masters) = watch::channel(Some("master".parse().unwrap()));
    let filter = Filter::new("in lower case", |it| it.id.as_str().chars().all(char::is_lowercase));
    let balancer =
        Balancer::builder(RoundRobin::default()).filter(filter).pool(Pool::Normal(masters)).fixed([
            instance("tried", 1),
            instance("chosen", 2),
            instance("other", 3),
            instance("drained", 0),
            instance("FILTERED", 1),
            instance("FILTERED-AND-DRAINED", 0),
            instance("master", 1),
        ]);
    (balancer, master)
}

#[tokio::test]
async fn everybody_has_a_verdict_and_a_reason() {
    let (balancer, _master) = one_of_each();
    let tried = HashSet::from(["tried".parse().unwrap()]);
    let explained = balancer.explain(&Request::default().tried(&tried));
    let verdicts: Vec<_> = explained.instances.iter().map(|it| (it.id.as_str(), it.verdict)).collect();
    assert_eq!(
        verdicts,
        [
            ("tried", Verdict::Tried),
            ("chosen", Verdict::Chosen),
            ("other", Verdict::NotChosen),
            ("drained", Verdict::Drained),
            ("FILTERED", Verdict::Filtered),
            ("FILTERED-AND-DRAINED", Verdict::Filtered),
            ("master", Verdict::Master),
        ]
    );
    let because: Vec<_> = explained.instances.iter().map(|it| it.because.as_str()).collect();
    assert_eq!(
        because,
        [
            "it was tried already for this request",
            "it was its turn",
            "it was another one's turn",
            "its weight is 0",
            "it is not in lower case",
            "it is not in lower case",
            "it is the master, and others are there",
        ]
    );
    assert_eq!(explained.algorithm, "round-robin");
    assert_eq!(explained.chosen.as_ref().map(loadbalance::InstanceId::as_str), Some("chosen"));
    assert_eq!(explained.error, None);
    let third = 1.0 / 3.0;
    let shares: Vec<_> = explained.instances.iter().map(|it| it.share).collect();
    assert_eq!(shares, [Some(third), Some(third), Some(third), None, None, None, None]);
}

#[tokio::test]
async fn it_is_json_that_programs_can_read() {
    let (balancer, _master) = one_of_each();
    let tried = HashSet::from(["tried".parse().unwrap()]);
    let explained = balancer.explain(&Request::default().tried(&tried));
    let json: Value = serde_json::to_value(&explained).unwrap();
    assert_eq!(json["algorithm"], "round-robin");
    assert_eq!(json["chosen"], "chosen");
    assert_eq!(json["error"], Value::Null);
    let verdicts: Vec<_> =
        json["instances"].as_array().unwrap().iter().map(|it| it["verdict"].clone()).collect();
    assert_eq!(verdicts, ["tried", "chosen", "not-chosen", "drained", "filtered", "filtered", "master"]);
    assert_eq!(
        json["instances"][3],
        json!({
            "id": "drained", "weight": 0, "in_flight": 0, "failures": 0, "share": null, "verdict": "drained",
            "because": "its weight is 0"
        })
    );
}

#[test]
fn where_nobody_is_picked_it_says_why() {
    let balancer = Balancer::fixed(listed(&[0, 0]), RoundRobin::default());
    let explained = balancer.explain(&Request::default());
    assert_eq!((&explained.chosen, &explained.error), (&None, &Some(PickError::Drained { listed: 2 })));
    assert!(explained.instances.iter().all(|it| it.verdict == Verdict::Drained));
    let why = PickError::Drained { listed: 2 }.to_string();
    assert_eq!(serde_json::to_value(&explained).unwrap()["error"], why);
    assert!(explained.to_string().ends_with(&format!("nobody was picked: {why}")));

    // Without a key it belongs to nobody, and so to no other one.
    let balancer = Balancer::fixed(listed(&[1, 1]), Name::UrlHash.algorithm());
    let explained = balancer.explain(&Request::default());
    assert!(explained.instances.iter().all(|it| it.because == "nobody was"), "{explained}");
    assert!(explained.to_string().lines().all(|line| !line.is_empty()), "{explained}");

    let balancer = Balancer::builder(RoundRobin::default()).by_hand();
    let explained = balancer.explain(&Request::default());
    assert_eq!((explained.error, explained.instances), (Some(PickError::NotReady), vec![]));
}

#[test]
fn what_is_in_flight_and_what_failed_is_told() {
    let balancer = Balancer::fixed([instance("one", 5)], LeastConnections);
    let _held = balancer.pick(&Request::default()).unwrap();
    balancer.pick(&Request::default()).unwrap().failed();
    let explained = balancer.explain(&Request::default());
    let one = &explained.instances[0];
    assert_eq!((one.weight, one.in_flight, one.failures, one.share), (5, 1, 1, None));
    // It counts nothing itself.
    assert_eq!(balancer.explain(&Request::default()).instances[0].in_flight, 1);
}

#[test]
fn what_is_explained_is_what_is_picked() {
    for name in [Name::IpHash, Name::UrlHash] {
        let balancer = Balancer::fixed(listed(&[1, 2, 3, 4]), name.algorithm());
        for number in 0..100 {
            let request = request(name, number);
            let chosen = balancer.explain(&request).chosen;
            assert_eq!(chosen, Some(balancer.pick(&request).unwrap().id.clone()));
        }
    }
}

#[test]
fn every_algorithm_says_why_it_chose_one_and_not_the_others() {
    for name in Name::ALL {
        let balancer = Balancer::fixed(listed(&[1, 2, 3]), name.algorithm());
        let explained = balancer.explain(&request(name, 1));
        assert_eq!(explained.algorithm, name.as_str());
        let of = |verdict| explained.instances.iter().filter(move |it| it.verdict == verdict);
        assert_eq!((of(Verdict::Chosen).count(), of(Verdict::NotChosen).count()), (1, 2), "{name}");
        let not_chosen: HashSet<_> = of(Verdict::NotChosen).map(|it| &it.because).collect();
        assert!(!not_chosen.contains(&of(Verdict::Chosen).next().unwrap().because), "{name}");
        assert!(explained.instances.iter().all(|it| !it.because.is_empty()), "{name}");
        let table = explained.to_string();
        for it in &explained.instances {
            let line = table.lines().find(|line| line.starts_with(it.id.as_str())).unwrap();
            assert!(line.contains(&it.verdict.to_string()) && line.ends_with(&it.because), "{table}");
        }
    }
}
