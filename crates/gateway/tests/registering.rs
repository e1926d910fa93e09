//! Instances that programs register over HTTP.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod common;

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use common::{Gateway, LIMIT, TIME, data, ids, register};
use serde_json::{Value, json};
use tokio::time::{Instant, advance, sleep, timeout};
use zk_session::fake::FakeZk;

const A: &str = "/v1/services/time/instances/a";

fn body(port: u16, ttl: u64) -> Value {
    json!({"server_ip": "10.0.0.1", "server_port": port, "ttl": ttl, "metadata": {"zone": "b"}})
}

fn stored(zk: &FakeZk, name: &str) -> proto::NodeData {
    proto::decode(&zk.get(&format!("{TIME}/{name}")).expect("it is registered").data).unwrap()
}

/// Waits until exactly these are registered.
async fn registered(zk: &FakeZk, names: &[&str]) {
    timeout(LIMIT * 20, zk.until(|zk| zk.children(TIME) == names)).await.unwrap_or_else(|_| {
        panic!("waited for {names:?}, there are {:?}", zk.children(TIME));
    });
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_registered_found_and_withdrawn() {
    let zk = FakeZk::default();
    let gateway = Gateway::start(&zk);
    gateway.get("/v1/services/time").await.problem(404, "unknown-service").await;

    let answer = gateway.call("PUT", A, body(1, 15)).await;
    assert_eq!(answer.header("location"), A);
    let lease = answer.is(201).await;
    assert_eq!(
        (&lease["state"], &lease["ttl"], &lease["took_over"], &lease["id"]),
        (&json!("registered"), &json!(15), &json!(false), &json!("a"))
    );
    let there = stored(&zk, "a");
    assert_eq!((there.address.unwrap().to_string(), &there.metadata["zone"]), ("10.0.0.1:1".to_owned(), "b"));
    assert!(there.registered_at > 0);

    // At once, though a moment ago there was no such service.
    let service = gateway.get("/v1/services/time").await.is(200).await;
    assert_eq!(ids(&service), ["a"]);
    let one = gateway.get(A).await.is(200).await;
    assert_eq!(
        (&one["instance"]["server_port"], &one["ours"], &one["source"]),
        (&json!(1), &json!(true), &json!("live"))
    );

    assert!(gateway.call("DELETE", A, "").await.bytes().await.is_empty());
    // Gone before it was answered, and found by nobody who asks next.
    assert!(zk.children(TIME).is_empty());
    assert!(ids(&gateway.get("/v1/services/time").await.is(200).await).is_empty());
    gateway.get(A).await.problem(404, "unknown-instance").await;
    gateway.call("DELETE", A, "").await.problem(404, "unknown-instance").await;
    // There is only what is followed already, and is registered at once all the same.
    gateway.call("PUT", A, body(1, 15)).await.is(201).await;
    assert_eq!(ids(&gateway.get("/v1/services/time").await.is(200).await), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_renewed_in_time_is_gone_and_has_to_be_registered_again() {
    let zk = FakeZk::default();
    let gateway = Gateway::start(&zk);
    let begin = Instant::now();
    let lease = gateway.call("PUT", A, body(1, 10)).await.is(201).await;
    for _ in 0..10 {
        sleep(Duration::from_secs(9)).await;
        let renewed = gateway.call("POST", &format!("{A}/renew"), "").await.is(200).await;
        assert_eq!((&renewed["lease"], &renewed["state"]), (&lease["lease"], &json!("registered")));
    }
    assert_eq!(zk.children(TIME), ["a"]);
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
async fn a_newer_process_that_takes_the_id_in_zookeeper_keeps_it() {
    let zk = FakeZk::default();
    let (gateway, other) = (Gateway::start(&zk), Gateway::start(&zk));
    gateway.call("PUT", A, body(1, 30)).await.is(201).await;
    other.call("PUT", A, body(2, 30)).await.is(201).await;
    let renew = async || gateway.call("POST", &format!("{A}/renew"), "").await;
    let told = async {
        while renew().await.status == 200 {
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
    gateway.call("POST", &format!("{A}/renew"), "").await.is(200).await;
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
async fn weights_are_changed_and_drained_and_come_back() {
    let zk = FakeZk::default();
    let gateway = Gateway::start(&zk);
    gateway.call("PUT", A, body(1, 600)).await.is(201).await;
    for (change, weight) in [
        (json!({"weight": 7}), 7),
        (json!({"drain": true}), 0),
        (json!({"drain": true}), 0),
        (json!({"drain": false}), 7),
        (json!({"weight": 0}), 0),
        (json!({"drain": false}), 1),
    ] {
        gateway.call("PATCH", A, &change).await.is(200).await;
        let service = gateway.get("/v1/services/time").await.is(200).await;
        assert_eq!(service["instances"][0]["weight"], weight, "{change}");
        assert_eq!(stored(&zk, "a").weight, weight, "{change}");
    }
    for (change, detail) in [
        ("{}", "accepted: one of weight and drain"),
        ("{\"weight\":1,\"drain\":true}", "accepted: one of weight and drain"),
        ("{\"wieght\":1}", "accepted: {\"weight\": N}"),
        ("{\"weight\":-1}", "accepted: {\"weight\": N}"),
        ("[", "accepted: {\"weight\": N}"),
    ] {
        let told = gateway.call("PATCH", A, change).await.problem(400, "bad-request").await;
        assert!(told.contains(detail), "{change}: {told}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_others_registered_is_not_touched() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    let gateway = Gateway::start(&zk);
    for (method, body) in [("DELETE", ""), ("PATCH", "{\"drain\":true}")] {
        let detail = gateway.call(method, A, body).await.problem(409, "not-ours").await;
        assert!(detail.contains("only what it registered"), "{detail}");
        gateway
            .call(method, "/v1/services/time/instances/b", body)
            .await
            .problem(404, "unknown-instance")
            .await;
        gateway.call(method, "/v1/services/x/instances/b", body).await.problem(404, "unknown-service").await;
    }
    gateway.call("POST", &format!("{A}/renew"), "").await.problem(404, "unknown-instance").await;
    assert_eq!(gateway.get(A).await.is(200).await["ours"], false);
    assert_eq!(stored(&zk, "a").weight, 1);
}

#[tokio::test(start_paused = true)]
async fn without_zookeeper_it_is_accepted_and_done_later() {
    let zk = FakeZk::default();
    let gateway = Gateway::start(&zk);
    gateway.call("PUT", A, body(1, 600)).await.is(201).await;
    gateway.get(A).await.is(200).await;
    zk.stop();
    let begin = Instant::now();
    let b = "/v1/services/time/instances/b";
    let answer = gateway.call("PUT", b, body(2, 600)).await;
    assert_eq!((answer.header("location"), begin.elapsed()), (b, Duration::from_secs(2)));
    assert_eq!(answer.is(202).await["state"], "registering");
    assert_eq!(gateway.get(b).await.is(200).await["ours"], true);
    assert_eq!(gateway.call("POST", &format!("{b}/renew"), "").await.is(200).await["state"], "registering");
    gateway.call("PATCH", b, "{\"weight\":5}").await.is(202).await;
    // It may have been registered by somebody meanwhile: nobody can tell.
    let c = "/v1/services/time/instances/c";
    for method in ["GET", "DELETE", "PATCH"] {
        let detail = gateway.call(method, c, "{\"weight\":5}").await.problem(503, "not-known-yet").await;
        assert!(detail.contains("whether there is such an instance"), "{detail}");
    }
    assert_eq!(gateway.call("DELETE", A, "").await.status, 202);

    zk.start();
    registered(&zk, &["b"]).await;
    assert_eq!(stored(&zk, "b").weight, 5);
    let service = gateway.becomes("/v1/services/time", |service| ids(service) == ["b"]).await;
    assert_eq!(service["instances"][0]["weight"], 5);
}

#[tokio::test(start_paused = true)]
async fn each_body_that_cannot_be_is_refused_and_changes_nothing() {
    let zk = FakeZk::default();
    let gateway = Gateway::start(&zk);
    gateway.call("PUT", A, body(1, 600)).await.is(201).await;
    for (body, detail) in [
        ("", "EOF"),
        ("{", "EOF"),
        ("[1]", "node data"),
        ("{\"server_port\":1}", "server_ip"),
        ("{\"server_ip\":\"h\",\"server_port\":70000}", "server_port"),
        ("{\"server_ip\":\"h\",\"server_port\":1,\"weight\":\"x\"}", "weight"),
        (
            "{\"server_ip\":\"h\",\"server_port\":1,\"ttl\":0}",
            "ttl: accepted: a whole number of seconds, 1 to 600",
        ),
        ("{\"server_ip\":\"h\",\"server_port\":1,\"ttl\":601}", "ttl: accepted"),
        ("{\"server_ip\":\"h\",\"server_port\":1,\"ttl\":\"30s\"}", "ttl: accepted"),
        (
            "{\"server_ip\":\"h\",\"server_port\":1,\"ttl\":600,\"ttl\":600}",
            "ttl comes twice; accepted: once",
        ),
        (
            "{\"server_ip\":\"h\",\"server_ip\":\"i\",\"server_port\":1}",
            "server_ip comes twice; accepted: once",
        ),
        (
            "{\"server_ip\":\"h\",\"server_port\":1,\"wieght\":3}",
            "\"wieght\" is no field of a registration; accepted: server_ip, server_port, server_unique_code, weight, registered_at, \
             metadata, ttl; whatever else is worth knowing goes into metadata",
        ),
        ("{\"server_ip\":\"h\",\"server_port\":1,\"id\":\"a\"}", "\"id\" is no field of a registration"),
        ("{\"server_ip\":\"h\",\"server_port\":1} {}", "trailing"),
        (
            "{\"server_ip\":\"h\",\"server_port\":1,\"metadata\":{\"zone\":\"a\",\"zone\":\"b\"}}",
            "metadata: \"zone\" comes twice; accepted: once",
        ),
        ("{\"server_ip\":\"h\",\"server_port\":1,\"metadata\":[]}", "metadata, an object of texts"),
        ("{\"server_ip\":\"h\",\"server_port\":1,\"metadata\":{\"zone\":1}}", "metadata"),
    ] {
        let told = gateway.call("PUT", A, body).await.problem(400, "bad-request").await;
        assert!(told.contains(detail), "{body}: {told}");
        assert_eq!(stored(&zk, "a").address.unwrap().to_string(), "10.0.0.1:1", "{body}");
    }
    // What is missing, or null, has its default.
    for body in
        ["{\"server_ip\":\"h\",\"server_port\":1,\"ttl\":null}", "{\"server_ip\":\"h\",\"server_port\":1}"]
    {
        assert_eq!(gateway.call("PUT", A, body).await.is(200).await["ttl"], 30, "{body}");
    }
    let large = format!(
        "{{\"server_ip\":\"h\",\"server_port\":1,\"metadata\":{{\"x\":\"{}\"}}}}",
        "x".repeat(200 * 1024)
    );
    gateway.call("PUT", A, &large).await.problem(413, "too-large").await;
    let text = Request::put(A)
        .header("host", "localhost")
        .header("content-type", "text/plain")
        .body(Body::from("{}"));
    gateway.send(text.unwrap()).await.problem(415, "not-json").await;
    for name in ["..", "a%2Fb", "zookeeper", "%00"] {
        let path = format!("/v1/services/time/instances/{name}");
        gateway.call("PUT", &path, body(1, 600)).await.problem(400, "bad-request").await;
    }
    let mut slow = Request::put(A).header("host", "localhost").header("content-type", "application/json");
    slow = slow.header("content-length", "10");
    let never =
        Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::convert::Infallible>>());
    gateway.send(slow.body(never).unwrap()).await.problem(408, "too-slow").await;
}

#[tokio::test(start_paused = true)]
async fn an_end_takes_everything_away_and_accepts_nothing_more() {
    let zk = FakeZk::default();
    let gateway = Gateway::start(&zk);
    for name in ["a", "b", "c"] {
        gateway.call("PUT", &format!("/v1/services/time/instances/{name}"), body(1, 600)).await.is(201).await;
    }
    assert_eq!(gateway.app.leases().len(), 3);
    assert_eq!(gateway.app.leases().close(LIMIT).await, 0);
    assert!(zk.children(TIME).is_empty());
    gateway.call("PUT", A, body(1, 600)).await.problem(503, "closing").await;
    gateway.call("POST", &format!("{A}/renew"), "").await.problem(404, "unknown-instance").await;
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
