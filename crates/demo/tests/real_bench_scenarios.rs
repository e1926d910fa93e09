//! The benches of faults run to their end on small services, and what they count is what is promised. No time is judged.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use serde_json::Value;

use self::common::bench::at;

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
        assert!(requests <= 1.0, "{ids}: {requests}");
    }
}

#[tokio::test]
async fn a_resignation_costs_three_requests_at_any_number_of_candidates() {
    for candidates in ["3", "20"] {
        let report = at("hand-over", candidates).await;
        let requests = measured(&report, "figures", "requests for a resignation");
        // The least, less what was taken off for what goes on all the time; and what a ping more may add.
        assert!((2.0..3.5).contains(&requests), "{candidates}: {requests}");
        assert!(measured(&report, "figures", "requests when a session is closed") < 5.0);
    }
}

#[tokio::test]
async fn an_expiry_ends_with_all_registered_again() {
    let report = at("expiry", COUNT).await;
    let gone = measured(&report, "figures", "until the last node is gone, as a watcher is told it");
    let back = measured(&report, "figures", "until all are in another process' list again");
    assert!(gone < back, "{gone} {back}");
}

#[tokio::test]
async fn a_session_that_is_kept_costs_no_change_no_node_and_no_leadership() {
    let report = at("restart", COUNT).await;
    for fault in ["restart", "connections cut for 200ms"] {
        for what in ["changes of the list", "nodes that were made again", "leaderships lost"] {
            let counted = measured(&report, "figures", &format!("{fault}: {what}"));
            assert_eq!(counted.to_bits(), 0, "{fault}: {what}: {counted}");
        }
    }
    for ratio in report["ratios"].as_array().unwrap() {
        if ratio["what"].as_str().unwrap().ends_with("instances lost") {
            assert_eq!(ratio["met"], true, "{ratio}");
        }
    }
}

#[tokio::test]
async fn whoever_is_cut_off_until_all_sessions_are_over_is_registered_again_exactly_once() {
    let report = at("outage", COUNT).await;
    for what in ["instances lost", "nodes made more often than once", "instances missing in either list"] {
        let counted = measured(&report, "figures", &format!("cut off past the timeout: {what}"));
        assert_eq!(counted.to_bits(), 0, "{what}: {counted}");
        let all = measured(&report, "ratios", &format!("{what}, all rounds together"));
        assert_eq!(all.to_bits(), 0, "{what}: {all}");
    }
    // Sessions of three seconds end no sooner.
    assert!(measured(&report, "figures", "until the server has ended all sessions") > 1_500.0);
    for since in ["until all are in a list that was never cut off", "and a list of theirs is whole"] {
        assert!(measured(&report, "figures", since) > 0.0, "{since}");
    }
}

#[tokio::test]
async fn the_memory_of_a_follower_is_told() {
    let report = at("memory", COUNT).await;
    for when in ["`follow`: resident after its first list", "`follow`: resident after all were replaced"] {
        assert!(measured(&report, "figures", when) > 1.0, "{when}");
    }
}
