//! The benches of faults run to their end on small services, and what they count is what is promised. No time is judged.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use serde_json::Value;

use self::common::bench::{at, kept, ratio};

/// How many instances. Few, since nothing is timed.
const COUNT: &str = "100";

/// The median of the only figure or ratio whose name ends so.
fn measured(report: &Value, kind: &str, ends: &str) -> f64 {
    let all = report[kind].as_array().unwrap();
    let mut found = all.iter().filter(|it| it["what"].as_str().unwrap().ends_with(ends));
    let (Some(one), None) = (found.next(), found.next()) else { panic!("not one {ends}: {report}") };
    let rounds = one["rounds"].as_array().unwrap();
    assert_eq!(rounds.len(), 1, "{one}");
    rounds[0].as_f64().unwrap()
}

#[tokio::test]
async fn a_rolling_restart_costs_less_than_a_request_each() {
    let report = at("churn", COUNT).await;
    for ids in ["new ids", "same ids"] {
        let requests = measured(&report, "ratios", &format!("{ids}: requests for one instance"));
        // Who reads each new node by itself has 1.0.
        assert!(requests > 0.0 && requests <= 0.5, "{ids}: {requests}");
        kept(&report, &format!("{ids}: list under ZooKeeper's own low, part of all, in the worst round"));
    }
}

#[tokio::test]
async fn a_hand_over_costs_three_requests_at_any_number_of_candidates() {
    for candidates in ["3", "50"] {
        let report = at("hand-over", candidates).await;
        // Whoever loses its session asks nothing for that: the third is its end.
        for (what, exactly) in [
            ("requests for a resignation", 3.0),
            ("requests when a session is closed", 3.0),
            ("requests of all others when a session is ended", 2.0),
        ] {
            let figures = report["figures"].as_array().unwrap();
            let figure = figures.iter().find(|figure| figure["what"] == what).unwrap();
            let each: Vec<_> =
                figure["rounds"].as_array().unwrap().iter().map(|it| it.as_f64().unwrap()).collect();
            assert!(
                !each.is_empty() && each.iter().all(|it| *it == exactly),
                "{candidates}: {what}: {each:?}"
            );
        }
        for what in ["for a resignation", "for a closed session", "of all others for an ended session"] {
            kept(&report, &format!("requests {what}, each time"));
        }
        // Each asks about once in that time.
        let alive = measured(&report, "figures", "while nothing happens, looked at once");
        let all: f64 = candidates.parse().unwrap();
        assert!(alive >= all - 2.0 && alive <= all + 2.0, "{candidates}: {alive}");
    }
}

#[tokio::test]
async fn an_expiry_ends_with_all_registered_again() {
    let report = at("expiry", COUNT).await;
    let gone = measured(&report, "figures", "until the last node is gone, as a watcher is told it");
    let back = measured(&report, "figures", "until all are in another process' list again");
    assert!(gone < back, "{gone} {back}");
    for what in [
        "instances that are not on the server again, all rounds together",
        "registrations not known to be registered again, all rounds together",
        "instances that are not in another process' list again, all rounds together",
    ] {
        assert_eq!(kept(&report, what).to_bits(), 0, "{what}");
    }
}

#[tokio::test]
async fn one_added_costs_one_request_and_one_deleted_none() {
    let report = at("change", COUNT).await;
    let added = kept(&report, "requests for one added, and pings");
    assert!((1.0..1.1).contains(&added), "{added}");
    // A deletion is told, and nobody asks.
    let deleted = kept(&report, "requests for one deleted, and pings");
    assert!((0.0..0.1).contains(&deleted), "{deleted}");
    // What a watch says of a node, and its value: each is at least the path.
    let bytes = kept(&report, "bytes received for a change, the mean of one added and one deleted");
    assert!((80.0..200.0).contains(&bytes), "{bytes}");
}

#[tokio::test]
async fn a_first_list_is_read_by_hundreds_and_shown_whole_or_not_at_all() {
    let report = at("cold-start", "1000").await;
    let requests = kept(&report, "requests of `follow`");
    assert!((11.0..=20.0).contains(&requests), "{requests}");
    assert_eq!(kept(&report, "cut off half-way: lists that were shown in part, all rounds together"), 0.0);
    let healed = kept(&report, "cut off half-way: whole after the reconnect, ms, in the worst round");
    assert!(healed > 0.0, "{healed}");
}

#[tokio::test]
async fn a_session_that_is_kept_costs_no_change_no_node_and_no_leadership() {
    let report = at("restart", COUNT).await;
    for fault in ["restart", "connections cut for 200ms"] {
        for what in ["changes of the list", "nodes that were made again", "leaderships lost"] {
            let counted = measured(&report, "figures", &format!("{fault}: {what}"));
            assert_eq!(counted.to_bits(), 0, "{fault}: {what}: {counted}");
        }
        for what in ["changes of the list", "nodes made again", "leaderships lost", "instances lost"] {
            kept(&report, &format!("{fault}: {what}, all rounds together"));
        }
    }
}

#[tokio::test]
async fn whoever_has_no_server_for_longer_than_its_session_lasts_is_registered_again_exactly_once() {
    let report = at("outage", COUNT).await;
    for what in [
        "cut off past the timeout: instances lost",
        "cut off past the timeout: nodes made more often than once",
        "cut off past the timeout: instances missing in either list",
        "cut off past the timeout: registrations not known to be registered and lists not known to be the truth after 60 s",
        "server down past the timeout: instances lost",
        "server down past the timeout: instances missing in either list",
        "server down past the timeout: registrations not known to be registered and lists not known to be the truth after 60 s",
    ] {
        let counted = measured(&report, "figures", what);
        assert_eq!(counted.to_bits(), 0, "{what}: {counted}");
        kept(&report, &format!("{what}, all rounds together"));
    }
    // Sessions of three seconds end no sooner, and the server was away for twice as long.
    assert!(measured(&report, "figures", "until the server has ended all sessions") > 1_500.0);
    assert!(measured(&report, "figures", "from the kill until a server serves again") >= 6_000.0);
    for since in [
        "until all are in a list that was never cut off",
        "and a list of theirs is whole",
        "and both lists are known to be whole",
    ] {
        assert!(measured(&report, "figures", since) > 0.0, "{since}");
    }
}

#[tokio::test]
async fn an_ensemble_acknowledges_nothing_before_the_disk_has_it() {
    let report = at("ensemble", COUNT).await;
    let figure = |what: &str| measured(&report, "figures", what);
    let disk = figure("forced to the same disk by itself");
    let one_by_one = figure("bare client, one by one, each awaited");
    // A create waits for a disk once at least; that one answers at other times than at others.
    assert!(1e6 / one_by_one > disk / 3.0, "{one_by_one} /s, and {disk} us");
    for what in ["`announce` one by one, each awaited", "`announce` pipelined", "`announce_all`, in bulk"] {
        assert!(figure(what) > 0.0, "{what}");
    }
    let figures = report["figures"].as_array().unwrap();
    for what in ["one added, from the writer's call", "one deleted, from the writer's call"] {
        let ours = figures.iter().find(|figure| figure["what"] == what).unwrap();
        assert!(ours["median"].as_f64().unwrap() > 0.0 && ours["beside"].is_string(), "{ours}");
    }
}

#[tokio::test]
async fn the_memory_of_a_follower_is_told() {
    let report = at("memory", "10000").await;
    let each = "for each instance after its first list, above one that follows nothing";
    for who in ["`follow`", "bare client"] {
        let figure = |what: &str| measured(&report, "figures", &format!("{who}: {what}"));
        // An instance is its name, its value and where they are: 750 bytes. Of fewer than these, the pages by which two processes differ anyhow
        // are 100 bytes and more for each.
        let each = figure(each);
        assert!((100.0..2_000.0).contains(&each), "{who}: {each}");
        let (first, churned) = ("resident after its first list", "resident after all were replaced");
        assert!(figure("the most up to its first list") >= figure(first), "{who}");
        let most = figure("the most up to the end");
        assert!(most >= figure(churned) && most >= figure("the most up to its first list"), "{who}");
        assert!(figure(churned) < 2.0 * figure(first), "{who}: what was replaced stays");
    }
    for judged in ["resident after the first list, MiB", "resident after all were replaced, MiB"] {
        assert!(ratio(&report, judged)["limit"].is_string(), "{report}");
    }
}
