//! The benches of scale, on a small one: what they count, and never how long it took.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use serde_json::Value;

use self::common::bench::at;

/// The figure of its only round.
fn figure(report: &Value, what: &str) -> f64 {
    let figures = report["figures"].as_array().unwrap();
    let found = figures.iter().find(|figure| figure["what"] == what);
    let found = found.unwrap_or_else(|| panic!("no {what:?} in {figures:#?}"));
    found["rounds"][0].as_f64().unwrap()
}

#[tokio::test]
async fn all_in_one_service_are_found_and_survive_cuts_untouched() {
    let report = at("large", "600").await;
    assert_eq!(figure(&report, "nodes made or deleted by both cuts"), 0.0);
    assert_eq!(figure(&report, "sessions lost by both cuts"), 0.0);
    assert!(figure(&report, "requests of the follower for one added, pings included") < 2.0);
    assert!(figure(&report, "requests of the follower for one deleted, pings included") < 1.0);
    assert!(figure(&report, "memory of a process that follows, after the first list") > 0.0);
}

#[tokio::test]
async fn many_services_are_followed_over_one_session_that_lives_through_a_cut() {
    let report = at("services", "1000").await;
    // For each of ten services: a watch, its size, its children, and one read of all; and some to connect.
    let requests = figure(&report, "requests for that");
    assert!((40.0..70.0).contains(&requests), "{requests}");
    assert_eq!(figure(&report, "sessions lost by the cut"), 0.0);
}

#[tokio::test]
async fn each_watcher_asks_once_for_an_addition_and_not_for_a_deletion_and_survives_a_restart() {
    let report = at("watchers", "100").await;
    let added = figure(&report, "requests of all followers for one added, pings included");
    assert!((100.0..110.0).contains(&added), "{added}");
    let deleted = figure(&report, "requests of all followers for one deleted, pings included");
    assert!(deleted < 10.0, "{deleted}");
    assert_eq!(figure(&report, "sessions lost by that"), 0.0);
}

#[tokio::test]
async fn a_burst_is_followed_to_its_end_with_fewer_requests_than_changes() {
    let report = at("burst", "2000").await;
    for way in ["a request for each", "transactions of 100"] {
        let requests =
            figure(&report, &format!("{way}: requests of the follower for 1,000 changes, pings included"));
        assert!(requests < 500.0, "{way}: {requests}");
        assert!(figure(&report, &format!("{way}: lists that its user looked at")) >= 1.0);
    }
}

#[tokio::test]
async fn whoever_does_not_keep_up_loses_nothing() {
    let report = at("slow", "500").await;
    for slow in ["nobody looks", "a thread is blocked", "answers take 0.5 s more"] {
        assert_eq!(figure(&report, &format!("{slow}: connections or sessions lost")), 0.0, "{slow}");
    }
}
