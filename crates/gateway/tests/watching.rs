//! Services as they change, as server-sent events.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod common;

use std::time::Duration;

use common::{Gateway, data, ids, register};
use gateway::fleet::Options;
use tokio::time::{Instant, advance, timeout};
use zk_session::fake::FakeZk;

const WATCH: &str = "/v1/services/time/watch";

#[tokio::test(start_paused = true)]
async fn a_stream_tells_the_whole_list_whenever_it_changes() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    let gateway = Gateway::start(&zk);
    let mut stream = gateway.get(WATCH).await;
    assert_eq!((stream.status.as_u16(), stream.header("content-type")), (200, "text/event-stream"));
    assert_eq!(stream.next().await.unwrap(), "retry: 1000\n\n");
    let (id, first) = stream.event().await;
    assert_eq!((ids(&first), &first["source"]), (vec!["a"], &"live".into()));
    assert_eq!(id, first["revision"].as_str().unwrap());
    assert_eq!(first, gateway.get("/v1/services/time").await.json().await);

    register(&zk, "time", "b", &data(2));
    let (_, second) = stream.event().await;
    assert_eq!(ids(&second), ["a", "b"]);
    zk.stop();
    assert_eq!(stream.event().await.1["source"], "stale");
    gateway.app.close();
    assert_eq!(stream.next().await, None);
    gateway.get(WATCH).await.problem(503, "closing").await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_resumed_tells_only_what_is_new() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    let gateway = Gateway::start(&zk);
    let (seen, _) = gateway.get(WATCH).await.event().await;

    let mut same = gateway.get_with(WATCH, ("last-event-id", &seen)).await;
    assert_eq!(same.header("etag"), format!("\"{seen}\""), "whoever has seen this knows that it is still so");
    assert_eq!(same.next().await.unwrap(), "retry: 1000\n\n");
    let begin = Instant::now();
    assert_eq!(same.next().await.unwrap(), ": still here\n\n");
    assert_eq!(begin.elapsed(), Duration::from_secs(15));
    register(&zk, "time", "b", &data(2));
    assert_eq!(ids(&same.event().await.1), ["a", "b"]);

    // What is over, or what another gateway told, is told anew.
    for seen in [&*seen, "0123456789abcdef-1", "nonsense", ""] {
        let mut stream = gateway.get_with(WATCH, ("last-event-id", seen)).await;
        assert_ne!(stream.header("etag"), format!("\"{seen}\""));
        assert_eq!(ids(&stream.event().await.1), ["a", "b"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_was_configured_can_be_watched_before_it_is_there_and_after_it_went() {
    let zk = FakeZk::default();
    let gateway = Gateway::with(&zk, &["time"], Options::default());
    let mut stream = gateway.get(WATCH).await;
    assert_eq!(stream.header("etag"), "", "there is no state yet");
    assert!(ids(&stream.event().await.1).is_empty());
    register(&zk, "time", "a", &data(1));
    assert_eq!(ids(&stream.event().await.1), ["a"]);
    zk.remove("/headkeeper/time");
    assert!(ids(&stream.event().await.1).is_empty());
    register(&zk, "time", "b", &data(1));
    assert_eq!(ids(&stream.event().await.1), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_somebody_invents_is_refused_and_costs_nothing() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    let gateway = Gateway::with(&zk, &[], Options { most: 2, ..Options::default() });
    gateway.get("/v1/services").await.is(200).await;
    zk.reset_requests();
    for number in 0..10 {
        let path = format!("/v1/services/invented-{number}/watch");
        let detail = gateway.get(&path).await.problem(404, "unknown-service").await;
        assert_eq!(detail, format!("nobody has registered as \"invented-{number}\""));
    }
    assert_eq!((zk.requests().watches, gateway.fleet.all_followed().len()), (0, 0));
    gateway.get(WATCH).await.event().await;

    // One that comes is found as soon as by the other paths.
    register(&zk, "new", "a", &data(1));
    gateway.becomes("/v1/services/new", |service| service["status"] != 404).await;
    assert_eq!(ids(&gateway.get("/v1/services/new/watch").await.event().await.1), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn while_zookeeper_is_away_names_that_nobody_knows_take_no_room() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    register(&zk, "video", "a", &data(1));
    let gateway = Gateway::with(&zk, &[], Options { most: 2, ..Options::default() });
    gateway.get(WATCH).await.event().await;
    zk.stop();
    // What ZooKeeper said is good enough for a second.
    advance(Duration::from_secs(1)).await;
    let asked = (0..20).map(async |number| {
        let path = ["", "/watch", "/pick", "/master"][number % 4];
        let answer = gateway.get(&format!("/v1/services/invented-{number}{path}")).await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after").is_empty()), (503, false));
    });
    for asked in asked {
        asked.await;
    }
    // Also when those who ask do not wait for an answer.
    for number in 0..20 {
        let path = format!("/v1/services/invented-{number}");
        assert!(timeout(Duration::from_millis(10), gateway.get(&path)).await.is_err());
    }
    let followed: Vec<_> =
        gateway.fleet.all_followed().iter().map(|followed| followed.service().to_string()).collect();
    assert_eq!(followed, ["time"]);
    // Of what was there when it was last heard of there will be news.
    let mut stream = gateway.get("/v1/services/video/watch").await;
    assert_eq!(stream.next().await.unwrap(), "retry: 1000\n\n");
    zk.start();
    assert_eq!(ids(&stream.event().await.1), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_streams_cost_what_one_costs_and_send_the_same_bytes() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    let gateway = Gateway::start(&zk);
    let mut one = gateway.get(WATCH).await;
    one.event().await;
    let watches = zk.requests().watches;
    // On the instances, and on who leads.
    assert_eq!(watches, 2, "{:?}", zk.requests());

    let before = zk.requests().total();
    let mut streams = Vec::new();
    for _ in 0..1_000 {
        let mut stream = gateway.get(WATCH).await;
        stream.event().await;
        streams.push(stream);
    }
    assert_eq!(zk.requests().total(), before, "nothing was asked for them");

    register(&zk, "time", "b", &data(2));
    let (expected, reads) = (one.next().await.unwrap(), zk.requests().total() - before);
    for stream in &mut streams {
        let event = stream.next().await.unwrap();
        assert_eq!((event.as_ptr(), event.len()), (expected.as_ptr(), expected.len()), "written down once");
    }
    assert_eq!(zk.requests().total() - before, reads);
    assert!(reads <= 1, "one instance was read, once: {reads}");
}
