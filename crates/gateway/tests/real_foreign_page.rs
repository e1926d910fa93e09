//! A page of another site that somebody visits, in a real browser: what it says of itself, and that it gets nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod browser;
mod common;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use browser::{PATIENCE, Served, browse};
use common::{Gateway, data, register};
use gateway::Guard;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use zk_session::fake::FakeZk;

/// How many requests to a path were answered with this status.
async fn answered(gateway: &Gateway, path: &str, status: u16) -> u64 {
    let text = String::from_utf8(gateway.get("/metrics").await.bytes().await).unwrap();
    let labels =
        format!("headkeeper_http_requests_total{{method=\"GET\",path=\"{path}\",status=\"{status}\"}} ");
    let count = text.lines().find_map(|line| line.strip_prefix(&labels));
    count.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn a_page_of_another_site_can_neither_read_nor_have_anything_followed() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    let gateway = Gateway::start(&zk);
    let served = Served::start(&gateway.app, Guard::default()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let foreign = listener.local_addr().unwrap();
    let page = Router::new().route("/", get(async || Html("<!doctype html><title>another site</title>")));
    let serving = tokio::spawn(async move { axum::serve(listener, page).await });

    // By its address, as another port of the same site; and by a name, as another site.
    for host in ["127.0.0.1", "localhost"] {
        let before = answered(&gateway, "/v1/services/{service}/watch", 403).await;
        browse(foreign, "", async |page| {
            let watch = format!("http://{host}:{}/v1/services/time/watch", served.address.port());
            page.run(&format!(
                "const to = {}; new Image().src = to; new EventSource(to); fetch(to, {{ mode: 'no-cors' }}).catch(() => null); fetch(to).catch(() => null);",
                json!(watch)
            ))
            .await;
            let refused = async {
                while answered(&gateway, "/v1/services/{service}/watch", 403).await < before + 4 {
                    sleep(std::time::Duration::from_millis(20)).await;
                }
            };
            timeout(PATIENCE, refused).await.expect("each of them is refused");
            // A link to the console works all the same: nobody else is told what is there.
            page.run(&format!("location.href = 'http://{host}:{}/'", served.address.port())).await;
            page.says("#services-source", "live").await;
        })
        .await;
        assert_eq!(answered(&gateway, "/v1/services/{service}/watch", 200).await, 0);
        assert!(gateway.fleet.all_followed().is_empty(), "{host}");
    }
    serving.abort();
    served.stop().await;
}
