//! Names of services that are not there, and of those that have just come.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod common;

use std::time::Duration;

use common::{Gateway, data, ids, register};
use futures::future::join_all;
use tokio::time::{Instant, advance};
use zk_session::fake::FakeZk;

#[tokio::test(start_paused = true)]
async fn a_service_is_found_by_who_asks_after_its_first_instance_came() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    let gateway = Gateway::start(&zk);
    for path in ["", "/watch", "/pick", "/master"] {
        let name = format!("new{}", path.replace('/', "-"));
        // What there is was asked for a moment ago, and this was not.
        gateway.get("/v1/services").await.is(200).await;
        gateway.get(&format!("/v1/services/{name}")).await.problem(404, "unknown-service").await;
        register(&zk, &name, "a", &data(1));
        assert_eq!(gateway.get(&format!("/v1/services/{name}{path}")).await.status, 200, "{path}");
        assert_eq!(ids(&gateway.get(&format!("/v1/services/{name}")).await.is(200).await), ["a"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_crowd_that_asks_for_what_is_not_there_asks_zookeeper_ten_times_a_second() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    let gateway = Gateway::start(&zk);
    gateway.get("/v1/services/time").await.is(200).await;
    zk.reset_requests();
    let begin = Instant::now();
    for asked in 0..30 {
        let paths: Vec<_> = (0..20).map(|number| format!("/v1/services/invented-{asked}-{number}")).collect();
        let mut all = Box::pin(join_all(paths.iter().map(|path| gateway.get(path))));
        let answers = loop {
            tokio::select! {
                biased;
                answers = &mut all => break answers,
                () = advance(Duration::from_millis(5)) => {}
            }
        };
        assert!(answers.iter().all(|answer| answer.status == 404));
        advance(Duration::from_millis(5)).await;
    }
    let (time, requests) = (begin.elapsed(), zk.requests());
    assert!(u128::from(requests.lists) <= time.as_millis() / 100 + 1, "{requests:?} in {time:?}");
    assert_eq!((requests.watches, gateway.fleet.all_followed().len()), (0, 1));
}
