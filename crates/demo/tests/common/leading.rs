//! Agents that lead, and the ledger that they act on.

use rustix::process::Signal;
use serde_json::json;

use super::{Running, demo};

/// A ledger and where it is.
pub(crate) async fn ledger() -> (Running, String) {
    let mut ledger = Running::start(demo(["ledger", "--listen", "127.0.0.1:0", "--json"]));
    let at = ledger.event(|line| line["kind"] == "listening").await["at"].as_str().unwrap().to_owned();
    (ledger, at)
}

/// How a ledger ends that is asked to: how many acts it accepted, and how many not.
pub(crate) async fn summary(ledger: Running) -> (u64, u64) {
    ledger.signal(Signal::TERM);
    let ended = ledger.end().await;
    assert!(ended.status.success());
    let last = ended.last();
    assert_eq!(last["kind"], "summary");
    (last["accepted"].as_u64().unwrap(), last["refused"].as_u64().unwrap())
}

/// Its token, once it leads.
pub(crate) async fn acquired(agent: &mut Running) -> i64 {
    agent.ev("leader-acquired").await["token"].as_i64().unwrap()
}

pub(crate) async fn lost(agent: &mut Running, token: i64, reason: &str) {
    let lost = agent.ev("leader-lost").await;
    assert_eq!((&lost["token"], &lost["reason"]), (&json!(token), &json!(reason)));
}

/// Waits until acts of this token are accepted.
pub(crate) async fn acts(ledger: &mut Running, who: &str, token: i64) {
    ledger
        .event(|line| line["kind"] == "holder" && line["who"] == who && line["token"].as_i64() == Some(token))
        .await;
}
