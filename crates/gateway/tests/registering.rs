//! Instances that programs register over HTTP.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod common;

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use common::{Gateway, LIMIT, TIME, body, data, ids, register, registered, stored};
use serde_json::json;
use tokio::time::Instant;
use zk_session::fake::FakeZk;

const A: &str = "/v1/services/time/instances/a";

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
async fn nothing_is_written_under_a_condition_that_nobody_checks() {
    let zk = FakeZk::default();
    let gateway = Gateway::start(&zk);
    gateway.call("PUT", A, body(1, 600)).await.is(201).await;
    for (method, path, content) in [
        ("PUT", A.to_owned(), body(2, 600).to_string()),
        ("PATCH", A.to_owned(), json!({"weight": 7}).to_string()),
        ("POST", format!("{A}/renew"), String::new()),
        ("DELETE", A.to_owned(), String::new()),
    ] {
        for (name, value) in [("if-match", "\"nonsense\""), ("if-none-match", "*")] {
            let request = Request::builder().method(method).uri(&path).header("host", "localhost");
            let request = request.header("content-type", "application/json").header(name, value);
            let answer = gateway.send(request.body(Body::from(content.clone())).unwrap()).await;
            let problem = answer.problem(400, "bad-request").await;
            assert!(problem.starts_with(&format!("{name}: ")), "{problem}");
        }
    }
    let there = stored(&zk, "a");
    assert_eq!((there.address.unwrap().port(), there.weight), (1, 1));
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
        ("{\"weight\":\"5\"}", "weight: invalid type: string \"5\", expected u32"),
        ("{\"weight\":4294967296}", "weight: invalid value: integer `4294967296`, expected u32"),
        ("{\"drain\":1}", "drain: invalid type: integer `1`, expected a boolean"),
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
    assert_eq!(gateway.call("POST", &format!("{b}/renew"), "").await.is(202).await["state"], "registering");
    // What it will be is said at once, and listed once ZooKeeper has it.
    let patched = gateway.call("PATCH", b, "{\"weight\":5}").await.is(202).await;
    assert_eq!((&patched["weight"], &patched["state"]), (&json!(5), &json!("registering")));
    let patched = gateway.call("PATCH", A, "{\"weight\":6}").await.is(202).await;
    assert_eq!(
        (&patched["weight"], &gateway.get(A).await.is(200).await["instance"]["weight"]),
        (&json!(6), &json!(1))
    );
    // It may have been registered by somebody meanwhile: nobody can tell.
    let c = "/v1/services/time/instances/c";
    for method in ["GET", "DELETE", "PATCH"] {
        let detail = gateway.call(method, c, "{\"weight\":5}").await.problem(503, "not-known-yet").await;
        assert!(detail.contains("whether there is such an instance"), "{detail}");
    }
    assert_eq!(gateway.call("DELETE", A, "").await.status, 202);

    zk.start();
    registered(&zk, &["b"]).await;
    let renewed = async {
        while gateway.call("POST", &format!("{b}/renew"), "").await.status != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, renewed).await.unwrap();
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
async fn what_is_said_with_a_renewal_is_refused_and_renews_nothing() {
    let zk = FakeZk::default();
    let gateway = Gateway::start(&zk);
    let first = gateway.call("PUT", A, body(1, 600)).await.is(201).await;
    assert_eq!(first["weight"], 1);
    tokio::time::advance(Duration::from_secs(500)).await;
    let renew = format!("{A}/renew");
    let never =
        || Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::convert::Infallible>>());
    let request = |kind: Option<&str>, body: Body| {
        let request = Request::post(&renew).header("host", "localhost");
        let request = kind.into_iter().fold(request, |request, kind| request.header("content-type", kind));
        request.body(body).unwrap()
    };
    for (kind, body) in [
        (Some("application/json"), "{\"ttl\":600}"),
        (Some("application/json"), "{}"),
        (Some("text/plain"), "ttl=600"),
        (None, " "),
    ] {
        let detail = gateway.send(request(kind, Body::from(body))).await.problem(400, "bad-request").await;
        assert_eq!(
            detail,
            "a renewal has no body; accepted: an empty one. What is to change is registered again, by PUT",
            "{body}"
        );
    }
    gateway.send(request(None, never())).await.problem(408, "too-slow").await;
    // It is told by the time that is left, and the clock of people goes on no faster than it does.
    let first = first["ends"].as_u64().unwrap();
    let ends = async || gateway.get(A).await.is(200).await["ends"].as_u64().unwrap();
    assert!(ends().await < first - 400_000, "nothing was renewed");
    // Of none there may be a kind, and of an unknown length it may be.
    let none =
        Body::from_stream(futures::stream::iter([Ok::<_, std::convert::Infallible>(bytes::Bytes::new())]));
    for empty in [request(Some("application/json"), Body::empty()), request(None, none)] {
        let renewed = gateway.send(empty).await.is(200).await;
        assert_eq!((&renewed["ttl"], &renewed["weight"]), (&json!(600), &json!(1)));
    }
    assert!(ends().await > first - 5_000);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_there_when_the_gateway_ends_is_waited_for_a_second_more() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    let gateway = Gateway::start(&zk);
    // Of two parts, the second one after so long.
    let slowly = |after: Duration| {
        let parts = futures::stream::unfold(0, move |part| async move {
            if part == 1 {
                tokio::time::sleep(after).await;
            }
            let parts = ["{\"server_ip\":\"h\",", "\"server_port\":1,\"ttl\":600}"];
            parts.get(part).map(|text| (Ok::<_, std::convert::Infallible>(*text), part + 1))
        });
        Body::from_stream(parts)
    };
    let request = |method: &str, path: &str, body: Body| {
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        request.header("content-type", "application/json").body(body).unwrap()
    };
    let never =
        || Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::convert::Infallible>>());
    let renew = format!("{A}/renew");
    let closes_at = Instant::now() + Duration::from_secs(3);
    let ends = async |request| {
        let answer = gateway.send(request).await;
        (answer, Instant::now() - closes_at)
    };
    let (put, patch, post, in_time, ()) = tokio::join!(
        ends(request("PUT", A, slowly(Duration::from_secs(5)))),
        ends(request("PATCH", A, slowly(Duration::from_secs(5)))),
        ends(request("POST", &renew, never())),
        // What comes in that second is read, and answered as anything is then.
        ends(request("PATCH", A, slowly(Duration::from_millis(3_900)))),
        async {
            tokio::time::sleep_until(closes_at).await;
            gateway.app.close();
        },
    );
    for (answer, after) in [put, patch, post] {
        assert_eq!(after.as_millis(), 1_000);
        answer.problem(503, "closing").await;
    }
    let (answer, after) = in_time;
    assert_eq!(after.as_millis(), 900);
    answer.problem(400, "bad-request").await;
}
