//! Services as they change, as server-sent events.

mod common;

use std::time::Duration;

use common::{Gateway, data, ids, register};
use tokio::time::Instant;
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
    assert_eq!(id, format!("{}-{}", first["gateway"].as_str().unwrap(), first["revision"]));
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
async fn a_service_can_be_watched_before_it_is_there() {
    let zk = FakeZk::default();
    let gateway = Gateway::start(&zk);
    let mut stream = gateway.get(WATCH).await;
    assert_eq!(stream.header("etag"), "", "there is no state yet");
    assert!(ids(&stream.event().await.1).is_empty());
    register(&zk, "time", "a", &data(1));
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
