//! What the console shows while nobody vouches for it: it calls no list live that it has not been told of since it connected, and counts nothing
//! before it knows anything.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod browser;
mod common;

use browser::{Served, browse, row};
use common::{Gateway, data, register};
use gateway::Guard;
use gateway::fleet::Options;
use serde_json::json;
use zk_local::{Direction, Proxy};
use zk_session::fake::FakeZk;

const SOURCE: &str = "document.getElementById('service-source').textContent";

const CHART: &str = "document.querySelector('#chart-instances svg').getAttribute('aria-label')";

#[tokio::test]
async fn a_gateway_that_comes_back_without_zookeeper_makes_no_old_list_live() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    let gateway = Gateway::with(&zk, &["time"], Options::default());
    let served = Served::start(&gateway.app, Guard::default()).await;
    // At one place, whoever is there: nobody else takes its port while nobody is.
    let place = Proxy::start(served.address).await.unwrap();
    browse(place.address(), "#/service/time", async |page| {
        page.until(&row("a")).await;
        page.says("#service-source", "live").await;
        place.refuse(true);
        served.stop().await;
        page.says("#service-source", "not updated").await;
        let since = "document.getElementById('stream-banner-text').textContent.split(': ')[0]";
        let first = page.value(since).await;

        // Another process at the same place, to which ZooKeeper has told nothing.
        zk.stop();
        let next = Gateway::with(&zk, &["time"], Options::default());
        let served = Served::start(&next.app, Guard::default()).await;
        place.set_upstream(served.address);
        place.refuse(false);
        // By a script: the page may have tried by itself meanwhile, and hidden it.
        page.run("document.getElementById('stream-retry').click()").await;
        page.until("document.getElementById('stream-banner').hidden").await;
        page.says("#service-source", "as it was last known: ZooKeeper has not told yet").await;
        page.until(&format!("{CHART}.includes('last known 1')")).await;
        page.until("document.getElementById('service').classList.contains('outdated')").await;
        assert_eq!(page.value("document.querySelector('#timeline li.back')").await, json!(null));
        page.run(&format!("{}.click()", row("a"))).await;
        page.says("#instance-status", "ZooKeeper has not told yet").await;

        // The gateway goes once more: what was known is as old as before.
        place.refuse(true);
        served.stop().await;
        page.until(&format!("{since} === {first}")).await;
        assert_eq!(page.value("document.querySelectorAll('#timeline li.lost').length").await, 1);
        let next = Gateway::with(&zk, &["time"], Options::default());
        let served = Served::start(&next.app, Guard::default()).await;
        place.set_upstream(served.address);
        place.refuse(false);
        page.run("document.getElementById('stream-retry').click()").await;
        page.says("#service-source", "as it was last known").await;

        zk.start();
        page.until(&format!("{SOURCE} === 'live'")).await;
        page.until("document.getElementById('instance-status').textContent === ''").await;
        page.until("document.querySelectorAll('#timeline li.back').length === 1").await;
        page.until(&format!("{CHART}.includes('now 1')")).await;
        page.until("!document.getElementById('service').classList.contains('outdated')").await;
        served.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_service_that_is_looked_at_again_is_live_once_that_is_told() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    register(&zk, "video", "v", &data(2));
    let gateway = Gateway::start(&zk);
    let served = Served::start(&gateway.app, Guard::default()).await;
    let proxy = Proxy::start(served.address).await.unwrap();
    browse(proxy.address(), "#/service/time", async |page| {
        page.until(&row("a")).await;
        page.run("location.hash = '#/service/video'").await;
        page.until(&row("v")).await;
        page.until(&format!("{SOURCE} === 'live'")).await;

        proxy.stall(Direction::ToClient);
        page.run("location.hash = '#/service/time'").await;
        page.until(&row("a")).await;
        page.says("#service-source", "connecting").await;
        proxy.flow();
        page.until(&format!("{SOURCE} === 'live'")).await;

        // Nothing has changed meanwhile, and nothing is sent: the gateway says that it is still so.
        proxy.cut();
        page.says("#timeline li.back", "updates come again").await;
        page.until(&format!("{SOURCE} === 'live'")).await;
        page.until(&format!("{CHART}.includes('now 1')")).await;

        // Looked at again an hour later, and the gateway is gone: what is shown is as old as the last look.
        page.run("window.day = Date.now; window.later = 0; Date.now = () => day() + later").await;
        page.run("location.hash = '#/service/video'").await;
        page.until(&row("v")).await;
        // 60 minutes are from half a minute before an hour to half a minute after.
        page.run("later = 3572000").await;
        proxy.refuse(true);
        proxy.cut();
        page.run("location.hash = '#/service/time'").await;
        page.says("#stream-banner-next", "That is 60 min").await;
    })
    .await;
    served.stop().await;
}

#[tokio::test]
async fn before_anything_is_known_nobody_is_counted() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    zk.stop();
    let gateway = Gateway::with(&zk, &["time"], Options::default());
    let served = Served::start(&gateway.app, Guard::default()).await;
    browse(served.address, "#/service/time", async |page| {
        page.says("#service-source", "ZooKeeper has not told yet").await;
        let empty = "document.querySelector('#table .empty').textContent";
        page.until(&format!("{empty} === 'Not known yet.'")).await;
        page.click("#search").await;
        page.keys("a").await;
        page.until("document.getElementById('search').value === 'a'").await;
        assert_eq!(page.value(empty).await, "Not known yet.");
        assert_eq!(page.value("document.getElementById('matches').textContent").await, "");
        page.says("#fact-instances", "–").await;
        zk.start();
        page.until(&row("a")).await;
        page.says("#matches", "1 instance").await;
    })
    .await;
    served.stop().await;
}
