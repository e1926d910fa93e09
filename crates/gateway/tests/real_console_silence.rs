//! What the console does when its gateway is silent, and when it fails itself.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod browser;
mod common;

use std::time::Duration;

use browser::{Page, Served, browse, row};
use common::{Gateway, body, data, register};
use gateway::Guard;
use serde_json::json;
use tokio::time::sleep;
use zk_local::{Direction, Proxy};
use zk_session::fake::FakeZk;

const A: &str = "/v1/services/time/instances/a";

/// The page's clocks go on when we say: that of the day, and the one that only ever goes on. What it does each second is counted.
const CLOCKS: &str =
    "const [day, running, every] = [Date.now, performance.now.bind(performance), window.setInterval];
    window.later = { day: 0, running: 0 };
    window.beats = 0;
    window.setInterval = (run, time) => every(() => { run(); beats += 1; }, time);
    Date.now = () => day() + later.day;
    performance.now = () => running() + later.running;";

const STATUS: &str = "document.getElementById('instance-status')";

/// How often it was asked who holds the instance, and that was answered.
const ASKED: &str =
    "performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('/instances/a')).length";

async fn held_until(page: &Page) -> String {
    page.says("#instance-body", "this gateway, for a program that renews it").await;
    let told = "[...document.querySelectorAll('#instance-body dd')].map((place) => place.textContent).find((text) => text.includes('the next time by'))";
    page.value(told).await.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_gateway_that_says_nothing_is_noticed_and_told_where_one_looks() {
    let zk = FakeZk::default();
    let gateway = Gateway::start(&zk);
    gateway.call("PUT", A, body(1, 600)).await.is(201).await;
    let served = Served::start(&gateway.app, Guard::default()).await;
    let proxy = Proxy::start(served.address).await.unwrap();
    browse(proxy.address(), "#/service/time", async |page| {
        page.again_with(CLOCKS).await;
        page.until(&row("a")).await;
        // Something was known for a while.
        page.run("later.day += 120000").await;
        page.run(&format!("{}.click()", row("a"))).await;
        held_until(&page).await;
        assert_eq!(page.value(&format!("{STATUS}.textContent")).await, "");

        // Something comes, and the connection is there, and nothing comes through it any more.
        gateway.call("PATCH", A, "{\"weight\":2}").await.is(200).await;
        page.says("#instance-news", "a has weight 2, after 1").await;
        proxy.stall(Direction::ToClient);
        // Far from the 40 s that it may be silent: the clock of the machine goes on as well.
        page.run("later.day += 10000; later.running += 10000; beats = 0").await;
        gateway.call("PATCH", A, "{\"weight\":7}").await.is(200).await;
        page.until("beats > 3").await;
        assert_eq!(page.value(&format!("{STATUS}.textContent")).await, "", "it may be quiet");
        page.run("later.day += 35000; later.running += 35000").await;
        page.says("#stream-banner-text", "nothing was heard from the gateway").await;
        // All of the page but the open dialog is out of reach, and on a phone out of sight.
        page.says("#instance-status", "No updates since").await;
        page.says("#instance-status", "nothing was heard from the gateway").await;
        let heard = format!("{STATUS}.closest('dialog[open]') !== null && {STATUS}.matches('[role=status]') && {STATUS}.checkVisibility()");
        assert_eq!(page.value(&heard).await, true);
        let line = "document.querySelector('#chart-instances .line').getAttribute('d')";
        let label = "document.querySelector('#chart-instances svg').getAttribute('aria-label')";
        page.run("later.day += 60000").await;
        page.until(&format!("{label}.includes('last known 1')")).await;
        assert_eq!(page.value("document.querySelector('#chart-instances .end').getAttribute('visibility')").await, "hidden");

        let asked = page.value(ASKED).await.as_u64().unwrap();
        proxy.flow();
        page.until(&format!("{STATUS}.textContent === ''")).await;
        page.says("#instance-news", "a has weight 7, after 2").await;
        // Who holds it may be another one by now.
        page.until(&format!("{ASKED} > {asked}")).await;
        page.until(&format!("{label}.includes('now 1')")).await;
        // The line is broken where nothing was known.
        page.until(&format!("{line}.match(/M/g).length === 2")).await;

        zk.stop();
        page.says("#instance-status", "ZooKeeper is away").await;
        zk.start();
        page.until(&format!("{STATUS}.textContent === ''")).await;
    })
    .await;
    served.stop().await;
}

#[tokio::test]
async fn until_when_a_program_has_to_renew_is_told_as_it_is() {
    let zk = FakeZk::default();
    let gateway = Gateway::start(&zk);
    // Renewed far more often than need be, and told anew when the first is over.
    gateway.call("PUT", A, body(1, 10)).await.is(201).await;
    let served = Served::start(&gateway.app, Guard::default()).await;
    let program = async {
        loop {
            gateway.call("POST", &format!("{A}/renew"), "").await.is(200).await;
            sleep(Duration::from_millis(200)).await;
        }
    };
    let visit = browse(served.address, "#/service/time", async |page| {
        page.until(&row("a")).await;
        page.run(&format!("{}.click()", row("a"))).await;
        let first = held_until(&page).await;
        page.until(&format!(
            "!document.getElementById('instance-body').textContent.includes({})",
            json!(first)
        ))
        .await;
        assert_ne!(held_until(&page).await, first);
    });
    tokio::select! {
        () = program => {}
        () = visit => {}
    }
    served.stop().await;
}

#[tokio::test]
async fn a_page_that_fails_says_so_leaves_no_stream_open_and_shows_what_it_failed_with_later() {
    let zk = FakeZk::default();
    register(&zk, "time", "first", &data(1));
    let gateway = Gateway::start(&zk);
    let served = Served::start(&gateway.app, Guard::default()).await;
    browse(served.address, "#/service/time", async |page| {
        page.until(&row("first")).await;
        // More often than a browser has connections for one gateway.
        for turn in 1..=7 {
            page.run("window.groups ??= Map.groupBy; Map.groupBy = () => { throw new Error('on purpose') }")
                .await;
            let id = format!("i{turn}");
            register(&zk, "time", &id, &data(turn));
            page.says("#stream-banner-text", "this page could not show what came (on purpose)").await;
            page.run("Map.groupBy = groups").await;
            // By a script: the page may have tried by itself meanwhile, and hidden it.
            page.run("document.getElementById('stream-retry').click()").await;
            page.until(&row(&id)).await;
            page.until("document.getElementById('stream-banner').hidden").await;
        }
    })
    .await;
    served.stop().await;
}
