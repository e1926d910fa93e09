//! For how long instances are registered that programs register over HTTP, and whose they are.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod common;

use std::time::Duration;

use common::{Gateway, LIMIT, TIME, body, registered, stored};
use serde_json::{Value, json};
use tokio::time::{Instant, advance, sleep, timeout};
use zk_session::fake::FakeZk;

const A: &str = "/v1/services/time/instances/a";

#[tokio::test(start_paused = true)]
async fn what_is_not_renewed_in_time_is_gone_and_has_to_be_registered_again() {
    let zk = FakeZk::default();
    let gateway = Gateway::start(&zk);
    let begin = Instant::now();
    let lease = gateway.call("PUT", A, body(1, 10)).await.is(201).await;
    zk.reset_requests();
    for _ in 0..10 {
        sleep(Duration::from_secs(9)).await;
        let renewed = gateway.call("POST", &format!("{A}/renew"), "").await.is(200).await;
        assert_eq!((&renewed["lease"], &renewed["state"]), (&lease["lease"], &json!("registered")));
    }
    assert_eq!((zk.children(TIME), zk.requests().writes()), (vec!["a".to_owned()], 0));
    registered(&zk, &[]).await;
    let lasted = begin.elapsed();
    assert!(lasted >= Duration::from_secs(100) && lasted < Duration::from_secs(102), "{lasted:?}");
    let detail = gateway.call("POST", &format!("{A}/renew"), "").await.problem(404, "unknown-instance").await;
    assert!(detail.ends_with("register it again"), "{detail}");
    gateway.call("PUT", A, body(1, 10)).await.is(201).await;
    registered(&zk, &["a"]).await;
}

#[tokio::test(start_paused = true)]
async fn who_registers_an_id_last_has_it_and_both_are_told() {
    let zk = FakeZk::default();
    let gateway = Gateway::start(&zk);
    let first = gateway.call("PUT", A, body(1, 30)).await.is(201).await;
    let node = zk.get(&format!("{TIME}/a")).unwrap().stat.czxid;
    let second = gateway.call("PUT", A, body(2, 30)).await.is(200).await;
    assert_eq!(second["took_over"], true);
    assert_ne!(first["lease"], second["lease"]);
    assert_eq!(stored(&zk, "a").address.unwrap().port(), 2, "written before it was answered");
    assert_eq!(zk.get(&format!("{TIME}/a")).unwrap().stat.czxid, node, "it was there all the time");

    let with = |lease: &Value| format!("lease={}", lease["lease"].as_str().unwrap());
    for (method, path, body) in [("POST", "/renew", ""), ("DELETE", "", ""), ("PATCH", "", "{\"weight\":7}")]
    {
        let path = format!("{A}{path}?{}", with(&first));
        gateway.call(method, &path, body).await.problem(409, "another-lease").await;
    }
    gateway.call("POST", &format!("{A}/renew?{}", with(&second)), "").await.is(200).await;
    assert_eq!(gateway.call("DELETE", &format!("{A}?{}", with(&second)), "").await.status, 204);
}

#[tokio::test(start_paused = true)]
async fn who_registers_with_its_lease_takes_it_from_nobody() {
    let zk = FakeZk::default();
    let (gateway, other) = (Gateway::start(&zk), Gateway::start(&zk));
    let at = |time: u64, port: u16| {
        let mut body = body(port, 30);
        body["registered_at"] = json!(time);
        body
    };
    let with = |lease: &Value| format!("{A}?lease={}", lease["lease"].as_str().unwrap());
    let is_stored = |port, time| {
        let there = stored(&zk, "a");
        assert_eq!((there.address.unwrap().port(), there.registered_at), (port, time));
    };
    let first = gateway.call("PUT", A, at(10, 1)).await.is(201).await;
    // Its own is changed, and has another lease then, as after each.
    let changed = gateway.call("PUT", &with(&first), at(0, 2)).await.is(200).await;
    assert_eq!(changed["took_over"], false);
    is_stored(2, 10);
    gateway.call("PUT", &with(&first), at(10, 3)).await.problem(409, "another-lease").await;
    is_stored(2, 10);

    // A newer one has the id from when that one says.
    let newer = gateway.call("PUT", A, at(20, 4)).await.is(200).await;
    assert_eq!(newer["took_over"], true);
    is_stored(4, 20);
    for lease in [&first, &changed] {
        gateway.call("PUT", &with(lease), at(10, 5)).await.problem(409, "another-lease").await;
    }
    is_stored(4, 20);
    // What a gateway knows nothing of is registered, unless that of somebody newer is listed.
    other.call("PUT", &with(&changed), at(10, 6)).await.problem(409, "replaced").await;
    other.call("PUT", &with(&newer), at(20, 7)).await.is(201).await;
    is_stored(7, 20);
    let told = async {
        while gateway.call("POST", &format!("{A}/renew"), "").await.status.is_success() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(LIMIT, told).await.unwrap();
    gateway.call("PUT", &with(&newer), at(20, 8)).await.problem(409, "replaced").await;
    is_stored(7, 20);
    gateway.call("PUT", &format!("{A}?lease=1&lease=2"), at(20, 8)).await.problem(400, "bad-request").await;

    // Where nobody has it, it is registered.
    assert_eq!(other.call("DELETE", A, "").await.status, 204);
    gateway.call("PUT", &with(&newer), at(20, 9)).await.problem(409, "replaced").await;
    other.call("PUT", &with(&newer), at(20, 9)).await.is(201).await;
    is_stored(9, 20);
}

#[tokio::test(start_paused = true)]
async fn who_has_an_id_from_somebody_was_first_registered_now() {
    let zk = FakeZk::default();
    let gateway = Gateway::start(&zk);
    let mut old = body(1, 30);
    old["registered_at"] = json!(10);
    gateway.call("PUT", A, old).await.is(201).await;
    gateway.call("PUT", A, body(1, 30)).await.is(200).await;
    assert!(stored(&zk, "a").registered_at > 10);
}

#[tokio::test(start_paused = true)]
async fn a_newer_process_that_takes_the_id_in_zookeeper_keeps_it() {
    let zk = FakeZk::default();
    let (gateway, other) = (Gateway::start(&zk), Gateway::start(&zk));
    gateway.call("PUT", A, body(1, 30)).await.is(201).await;
    other.call("PUT", A, body(2, 30)).await.is(201).await;
    let renew = async || gateway.call("POST", &format!("{A}/renew"), "").await;
    let told = async {
        while renew().await.status.is_success() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(LIMIT, told).await.unwrap();
    renew().await.problem(409, "replaced").await;
    gateway.call("PATCH", A, "{\"weight\":7}").await.problem(409, "replaced").await;
    assert_eq!(gateway.get(A).await.is(200).await["ours"], false);
    gateway.call("DELETE", A, "").await.problem(409, "replaced").await;
    sleep(Duration::from_secs(20)).await;
    assert_eq!(stored(&zk, "a").address.unwrap().port(), 2);
    // Who means it can have it.
    let back = gateway.call("PUT", A, body(3, 30)).await.is(201).await;
    assert_eq!((&back["took_over"], stored(&zk, "a").address.unwrap().port()), (&json!(false), 3));
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_took_is_not_kept_by_renewing_it() {
    let zk = FakeZk::default();
    let (gateway, other) = (Gateway::start(&zk), Gateway::start(&zk));
    gateway.call("PUT", A, body(1, 30)).await.is(201).await;
    other.call("PUT", A, body(2, 600)).await.is(201).await;
    let over = async {
        while !gateway.app.leases().is_empty() {
            gateway.call("POST", &format!("{A}/renew"), "").await;
            sleep(Duration::from_secs(1)).await;
        }
    };
    timeout(Duration::from_secs(35), over).await.unwrap();
    gateway.call("DELETE", A, "").await.problem(409, "not-ours").await;
    assert_eq!(stored(&zk, "a").address.unwrap().port(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_takes_over_is_told_whether_it_was_written() {
    let zk = FakeZk::default();
    let gateway = Gateway::start(&zk);
    gateway.call("PUT", A, body(1, 600)).await.is(201).await;
    // The server hangs, so nobody can tell whether it is overwritten; or refuses it.
    for (port, hangs) in [(2, true), (3, false)] {
        let begin = Instant::now();
        let fault = |on| if hangs { zk.set_mute(on) } else { zk.refuse(&format!("{TIME}/a"), on) };
        fault(true);
        let second = gateway.call("PUT", A, body(port, 600)).await.is(202).await;
        assert_eq!((&second["took_over"], &second["state"]), (&json!(true), &json!("registering")));
        assert!(begin.elapsed() >= Duration::from_secs(2));
        assert_eq!(stored(&zk, "a").address.unwrap().port(), port - 1);
        fault(false);
        let written = zk.until(|_| stored(&zk, "a").address.unwrap().port() == port);
        timeout(LIMIT, written).await.unwrap();
    }
    let third = gateway.call("PUT", A, body(4, 600)).await.is(200).await;
    assert_eq!((&third["took_over"], &third["state"]), (&json!(true), &json!("registered")));
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_lease_begins_when_it_is_answered() {
    let zk = FakeZk::default();
    let gateway = Gateway::start(&zk);
    zk.set_reachable(false);
    let begin = Instant::now();
    // To find out that ZooKeeper is away takes longer than the lease lasts.
    gateway.call("PUT", A, body(1, 1)).await.is(202).await;
    assert_eq!(begin.elapsed(), Duration::from_secs(2));
    advance(Duration::from_millis(900)).await;
    gateway.call("POST", &format!("{A}/renew"), "").await.is(202).await;
    sleep(Duration::from_millis(1_100)).await;
    gateway.call("POST", &format!("{A}/renew"), "").await.problem(404, "unknown-instance").await;

    // It begins as well when nobody waits for the answer any more.
    assert!(timeout(Duration::from_millis(500), gateway.call("PUT", A, body(1, 1))).await.is_err());
    assert_eq!(gateway.app.leases().len(), 1);
    sleep(Duration::from_millis(1_100)).await;
    assert_eq!(gateway.app.leases().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_withdrawn_while_it_is_registered_is_told_so() {
    let zk = FakeZk::default();
    let gateway = Gateway::start(&zk);
    zk.set_reachable(false);
    let (put, delete) = tokio::join!(gateway.call("PUT", A, body(1, 30)), async {
        sleep(Duration::from_secs(1)).await;
        gateway.call("DELETE", A, "").await
    });
    assert!(delete.status.is_success(), "{}", delete.status);
    let detail = put.problem(409, "withdrawn").await;
    assert_eq!(detail, "it was withdrawn while it was being registered");
    let (first, second) = tokio::join!(gateway.call("PUT", A, body(1, 30)), async {
        sleep(Duration::from_secs(1)).await;
        gateway.call("PUT", A, body(2, 30)).await
    });
    first.problem(409, "another-lease").await;
    assert_eq!(second.is(202).await["took_over"], true);
}

#[tokio::test(start_paused = true)]
async fn what_ends_while_zookeeper_is_away_does_not_come_back() {
    let zk = FakeZk::default();
    let gateway = Gateway::start(&zk);
    let path = |id: &str| format!("/v1/services/time/instances/{id}");
    // For a moment, and until its session is over.
    for outage in [Duration::from_secs(3), Duration::from_secs(60)] {
        for (id, ttl) in [("withdrawn", 600), ("over", 1), ("kept", 600)] {
            let status = gateway.call("PUT", &path(id), body(1, ttl)).await.status;
            assert!(status.is_success(), "{id}: {status}");
        }
        registered(&zk, &["kept", "over", "withdrawn"]).await;
        zk.set_reachable(false);
        assert_eq!(gateway.call("DELETE", &path("withdrawn"), "").await.status, 202);
        sleep(outage).await;
        gateway
            .call("POST", &format!("{}/renew", path("over")), "")
            .await
            .problem(404, "unknown-instance")
            .await;
        zk.set_reachable(true);
        registered(&zk, &["kept"]).await;
        sleep(Duration::from_secs(60)).await;
        assert_eq!(zk.children(TIME), ["kept"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_takes_everything_away_and_accepts_nothing_more() {
    let zk = FakeZk::default();
    let gateway = Gateway::start(&zk);
    for name in ["a", "b", "c"] {
        gateway.call("PUT", &format!("/v1/services/time/instances/{name}"), body(1, 600)).await.is(201).await;
    }
    assert_eq!(gateway.app.leases().len(), 3);
    gateway.app.close();
    assert_eq!(gateway.app.leases().close(LIMIT).await, 0);
    assert!(zk.children(TIME).is_empty());
    // Another gateway can do it.
    let renew = format!("{A}/renew");
    for (method, path, body) in [
        ("PUT", A, body(1, 600).to_string()),
        ("POST", &*renew, String::new()),
        ("PATCH", A, json!({"weight": 2}).to_string()),
        ("DELETE", A, String::new()),
    ] {
        gateway.call(method, path, body).await.problem(503, "closing").await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_without_zookeeper_does_not_wait_for_it() {
    let zk = FakeZk::default();
    let gateway = Gateway::start(&zk);
    gateway.call("PUT", A, body(1, 600)).await.is(201).await;
    zk.stop();
    let begin = Instant::now();
    assert_eq!(gateway.app.leases().close(Duration::from_secs(1)).await, 1);
    assert_eq!(begin.elapsed(), Duration::from_secs(1));
    advance(Duration::from_secs(1)).await;
}
