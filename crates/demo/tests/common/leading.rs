//! Agents that lead, and the ledger that they act on.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Running, demo};

/// Within what somebody leads again when the leader just died: the timeout, two ticks of 200 ms, and 500 ms.
pub(crate) const TAKEN_OVER: Duration = Duration::from_millis(2_000 + 2 * 200 + 500);

/// Within what somebody leads again when the leader was asked to end.
pub(crate) const HANDED_OVER: Duration = Duration::from_millis(500);

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

pub(crate) async fn acquired(agent: &mut Running) -> i64 {
    acquired_at(agent).await.0
}

/// Its token, and when it got that.
pub(crate) async fn acquired_at(agent: &mut Running) -> (i64, Duration) {
    let acquired = agent.ev("leader-acquired").await;
    (acquired["token"].as_i64().unwrap(), told_at(&acquired))
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

/// The clock of the events.
pub(crate) fn monotonic() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec.try_into().unwrap(), now.tv_nsec.try_into().unwrap())
}

/// When an event happened, by that clock.
pub(crate) fn told_at(event: &Value) -> Duration {
    Duration::from_nanos(event["t"].as_u64().unwrap())
}
