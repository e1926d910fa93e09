//! What Prometheus is told to scrape where there are more services than may be followed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod common;

use common::{Gateway, data, register};
use gateway::fleet::Options;
use zk_session::fake::FakeZk;

const TARGETS: &str = "/v1/prometheus/targets";

async fn without_list(gateway: &Gateway) -> String {
    let text = String::from_utf8(gateway.get("/metrics").await.bytes().await).unwrap();
    let line = text.lines().find(|line| line.starts_with("headkeeper_services_without_list ")).unwrap();
    line.rsplit(' ').next().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_followed_keeps_nobody_else_from_prometheus() {
    let zk = FakeZk::default();
    for (service, port) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
        register(&zk, service, "x", &data(port));
    }
    let gateway = Gateway::with(&zk, &[], Options { most: 3, ..Options::default() });
    for _ in 0..2 {
        assert_eq!(gateway.get(TARGETS).await.is(200).await.as_array().unwrap().len(), 3);
        assert_eq!(without_list(&gateway).await, "1");
    }
    // Who asks for one by its name is told.
    gateway
        .get(&format!("{TARGETS}?service=a&service=b&service=c&service=d"))
        .await
        .problem(503, "too-many")
        .await;
    // It is over when there are fewer.
    zk.remove("/headkeeper/d/instances/x");
    assert!(zk.remove("/headkeeper/d"));
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    assert_eq!(gateway.get(TARGETS).await.is(200).await.as_array().unwrap().len(), 3);
    assert_eq!(without_list(&gateway).await, "0");

    let none = Gateway::with(&zk, &[], Options { most: 0, ..Options::default() });
    none.get(TARGETS).await.problem(503, "too-many").await;
    assert_eq!(without_list(&none).await, "3");
}
