//! The benches of scale, on a small one: what they count, and never how long it took.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use serde_json::Value;

use self::common::bench::{at, kept, ratio};

/// The figure of its only round.
fn figure(report: &Value, what: &str) -> f64 {
    let figures = report["figures"].as_array().unwrap();
    let found = figures.iter().find(|figure| figure["what"] == what);
    let found = found.unwrap_or_else(|| panic!("no {what:?} in {figures:#?}"));
    found["rounds"][0].as_f64().unwrap()
}

#[tokio::test]
async fn all_in_one_service_are_found_and_survive_cuts_untouched() {
    // More than 500 on each session, which are then not watched one by one, and more than 4,096, which are not read at once.
    let report = at("large", "6000").await;
    assert_eq!(figure(&report, "nodes made or deleted by both cuts"), 0.0);
    assert_eq!(figure(&report, "sessions lost by both cuts"), 0.0);
    assert!(figure(&report, "requests of the follower for one added, pings included") < 2.0);
    assert!(figure(&report, "requests of the follower for one deleted, pings included") < 1.0);
    kept(&report, "nodes made or deleted by cuts, all rounds together");
    kept(&report, "sessions lost by cuts, all rounds together");
    // A hundred in each read, and some more.
    let first = kept(&report, "requests of the first list, pings of all sessions included");
    assert!(first >= 60.0, "{first}");
    assert!(figure(&report, "requests of the follower for its reconnect") >= 60.0);
    let memory = figure(&report, "memory of a process that follows, after the first list");
    let most = figure(&report, "the most that it ever held, changes and a reconnect included");
    assert!(memory > 5.0 && most >= memory && most < 60.0, "{memory} {most}");
}

#[tokio::test]
async fn many_services_are_followed_over_one_session_that_lives_through_a_cut() {
    let report = at("services", "1000").await;
    // For each of ten services: a watch, its size, its children, and one read of all; and some to connect.
    let requests = figure(&report, "requests of the first lists");
    assert!((40.0..70.0).contains(&requests), "{requests}");
    assert_eq!(figure(&report, "sessions lost by the cut"), 0.0);
    kept(&report, "sessions lost by the cut, all rounds together");
}

#[tokio::test]
async fn each_watcher_asks_once_for_an_addition_and_not_for_a_deletion_survives_a_restart_and_has_all_at_any_pace()
 {
    let report = at("watchers", "100").await;
    let added = figure(&report, "requests of all followers for one added, pings included");
    assert!((100.0..125.0).contains(&added), "{added}");
    let deleted = figure(&report, "requests of all followers for one deleted, pings included");
    assert!(deleted < 25.0, "{deleted}");
    assert_eq!(figure(&report, "sessions lost by the restart"), 0.0);
    for pace in [10, 20, 50, 100] {
        for when in ["from the call until the last has it", "the same of the last of them"] {
            for who in ["", "bare clients: "] {
                let what = format!("{who}{pace} added in a second: {when}");
                assert!(figure(&report, &what) > 0.0, "{what}");
            }
        }
    }
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
    // What each change that is kept takes is judged by the bench, with a hundred times as many: of so few it is less than two processes of
    // the same program differ by.
    let report = at("slow", "4000").await;
    for slow in [
        "nobody looks",
        "a thread is blocked",
        "answers take 0.5 s more",
        "answers take 0.5 s more, and the first list is read meanwhile",
        "nothing arrives until all is written",
    ] {
        let lost = figure(&report, &format!("{slow}: connections or sessions lost, the worse of both"));
        assert_eq!(lost, 0.0, "{slow}");
        kept(&report, &format!("connections or sessions lost: {slow}, all rounds together"));
        ratio(&report, &format!("bytes kept for a change: {slow}, in the worst round"));
    }
}
