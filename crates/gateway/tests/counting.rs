//! All services with how many instances each has.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod common;

use std::time::Duration;

use common::{Gateway, body, data, register};
use futures::future::join_all;
use gateway::fleet::Options;
use serde_json::json;
use tokio::time::{Instant, advance};
use zk_session::fake::FakeZk;

#[tokio::test(start_paused = true)]
async fn services_are_listed_with_their_counts_and_many_ask_once() {
    let zk = FakeZk::default();
    for (service, name) in [("time", "a"), ("time", "b"), ("space", "a")] {
        register(&zk, service, name, &data(1));
    }
    let gateway = Gateway::with(&zk, &["configured"], Options::default());
    let services = gateway.get("/v1/services").await.is(200).await;
    assert_eq!(
        services["services"],
        json!([{"name": "configured", "instances": 0}, {"name": "space", "instances": 1}, {"name": "time", "instances": 2}])
    );
    advance(Duration::from_secs(1)).await;
    zk.reset_requests();
    let answers = join_all((0..50).map(|_| gateway.get("/v1/services"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    // One for the names, with a sync before it, and those that count what is not followed: the first one alone.
    assert_eq!((zk.requests().lists, zk.requests().syncs), (1, 1), "{:?}", zk.requests());
    assert!(zk.requests().reads() <= 3, "{:?}", zk.requests());
    for _ in 0..50 {
        gateway.get("/v1/services").await.is(200).await;
    }
    assert!(zk.requests().total() <= 4, "{:?}", zk.requests());
}

#[tokio::test(start_paused = true)]
async fn registering_has_all_services_asked_for_again_where_one_is_new_alone() {
    let zk = FakeZk::default();
    register(&zk, "space", "a", &data(1));
    let gateway = Gateway::start(&zk);
    let names = async || {
        let answer = gateway.get("/v1/services").await.is(200).await;
        let services = answer["services"].as_array().unwrap();
        services.iter().map(|service| service["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["space"]);
    gateway.call("PUT", "/v1/services/time/instances/a", body(1, 600)).await.is(201).await;
    assert_eq!(names().await, ["space", "time"]);
    zk.reset_requests();
    let within = Instant::now();
    for id in 0..20 {
        gateway.call("PUT", &format!("/v1/services/time/instances/{id}"), body(1, 600)).await.is(201).await;
        assert_eq!(names().await, ["space", "time"]);
    }
    let seconds = u32::try_from(within.elapsed().as_secs()).unwrap();
    assert!(zk.requests().syncs <= u64::from(seconds + 1), "{:?} in {seconds} s", zk.requests());
}

#[tokio::test(start_paused = true)]
async fn a_thousand_services_are_counted_in_a_few_requests() {
    let zk = FakeZk::default();
    let owner = zk.stranger();
    for number in 0..1_000 {
        for id in 0..number % 3 {
            let path = format!("/headkeeper/service-{number:03}/instances/{id}");
            zk.put_ephemeral(&path, proto::encode(&data(1)).unwrap(), owner);
        }
        zk.put(&format!("/headkeeper/service-{number:03}/instances"), "");
    }
    // What is refused holds up nobody else.
    zk.refuse_reads("/headkeeper/service-002/instances", true);
    let gateway = Gateway::start(&zk);
    gateway.get("/v1/services/service-001").await.is(200).await;
    zk.reset_requests();
    advance(Duration::from_secs(1)).await;
    let services = gateway.get("/v1/services").await.is(200).await;
    let counts = services["services"].as_array().unwrap();
    assert_eq!(counts.len(), 1_000);
    for (number, count) in counts.iter().enumerate() {
        let instances = (number != 2).then_some(number % 3);
        assert_eq!(*count, json!({"name": format!("service-{number:03}"), "instances": instances}));
    }
    assert!(zk.requests().total() <= 15, "{:?}", zk.requests());
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_old_is_not_counted_as_the_truth() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    let gateway = Gateway::start(&zk);
    gateway.get("/v1/services/time").await.is(200).await;
    zk.refuse_reads("/headkeeper/time/instances", true);
    zk.disconnect_all();
    gateway.becomes("/v1/services/time", |service| service["source"] == "stale").await;
    let services =
        gateway.becomes("/v1/services", |services| services["services"][0]["instances"].is_null()).await;
    assert_eq!(services["source"], "live", "{services:#}");
}
