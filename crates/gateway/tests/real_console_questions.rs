//! What the console asks before it changes something: about whom, and what becomes of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod browser;
mod common;

use browser::{PATIENCE, Page, Served, browse, row};
use common::{Gateway, data, register, stored};
use gateway::Guard;
use gateway::fleet::Options;
use serde_json::json;
use thirtyfour::Key;
use tokio::time::timeout;
use zk_session::fake::FakeZk;

const DRAIN: &str = "#instance-actions button:nth-child(1)";
const WEIGH: &str = "#instance-actions button:nth-child(2)";
const ASKS: &str = "document.getElementById('confirm').open";
const SHOWS: &str = "document.getElementById('instance').open";

/// How often the instance was asked for or changed, and that was answered.
const ANSWERED: &str =
    "performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('/instances/a')).length";

/// A gateway that has registered `a`, beside somebody else's `b`.
async fn start(zk: &FakeZk) -> (Gateway, Served) {
    register(zk, "time", "b", &data(2));
    register(zk, "video", "a", &data(3));
    // It waits long for a ZooKeeper that is away: what is sent then is under way for as long.
    let options = Options { patience: PATIENCE, ..Options::default() };
    let gateway = Gateway::with(zk, &[], options);
    let body = json!({"server_ip": "10.0.0.1", "server_port": 1, "weight": 4, "ttl": 600});
    gateway.call("PUT", "/v1/services/time/instances/a", body).await.is(201).await;
    let served = Served::start(&gateway.app, Guard::default()).await;
    (gateway, served)
}

async fn open(page: &Page) {
    page.until(&row("a")).await;
    page.run(&format!("{}.click()", row("a"))).await;
    page.says("#instance-body", "this gateway, for a program").await;
}

async fn weight_is(zk: &FakeZk, weight: u32) {
    timeout(PATIENCE, zk.until(|zk| stored(zk, "a").weight == weight)).await.unwrap();
}

#[tokio::test]
async fn a_question_is_about_what_it_was_asked_about_and_goes_with_it() {
    let zk = FakeZk::default();
    let (_gateway, served) = start(&zk).await;
    browse(served.address, "#/service/video", async |page| {
        page.until(&row("a")).await;
        page.run("location.hash = '#/service/time'").await;
        page.until(&row("b")).await;
        open(&page).await;
        page.click(DRAIN).await;
        page.until(ASKS).await;
        page.run("history.back()").await;
        page.says("#service-name", "video").await;
        page.until(&format!("!{ASKS} && !{SHOWS}")).await;
        assert_eq!(stored(&zk, "a").weight, 4);

        // Answered already, it is done to the one that was asked about, whatever is shown by then.
        page.run("history.forward()").await;
        page.until(&row("b")).await;
        open(&page).await;
        page.click(DRAIN).await;
        zk.stop();
        page.click("#confirm-yes").await;
        page.until("document.getElementById('confirm-no').disabled").await;
        page.run("history.back()").await;
        page.says("#service-name", "video").await;
        assert_eq!(page.value(ASKS).await, true, "it is not known yet how that went");
        zk.start();
        page.until(&format!("!{ASKS}")).await;
        weight_is(&zk, 0).await;
        let asked = page.value("performance.getEntriesByType('resource').map(({ name }) => name)").await;
        assert!(!asked.to_string().contains("null"), "{asked}");
    })
    .await;
    served.stop().await;
}

#[tokio::test]
async fn nobody_can_say_no_to_what_is_being_done_and_a_late_answer_closes_no_other_question() {
    let zk = FakeZk::default();
    let (_gateway, served) = start(&zk).await;
    browse(served.address, "#/service/time", async |page| {
        open(&page).await;
        page.click(DRAIN).await;
        zk.stop();
        page.click("#confirm-yes").await;
        page.until("document.getElementById('confirm-no').disabled").await;
        page.keys(Key::Escape).await;
        assert_eq!(page.value(ASKS).await, true);
        // Yet a browser can be made to close it.
        let before = page.value(ANSWERED).await.as_u64().unwrap();
        page.run("document.getElementById('confirm').close()").await;
        page.until(&format!("!{ASKS}")).await;
        page.click(WEIGH).await;
        page.until(ASKS).await;
        zk.start();
        weight_is(&zk, 0).await;
        page.until(&format!("{ANSWERED} > {before}")).await;
        page.says("#instance-body", "0: drained").await;
        assert_eq!(page.value(ASKS).await, true, "that is another question");
        assert_eq!(page.value("document.getElementById('confirm-no').disabled").await, false);
        page.says("#confirm-title", "Change the weight of a?").await;
    })
    .await;
    served.stop().await;
}

#[tokio::test]
async fn what_is_opened_right_after_another_was_closed_is_shown_and_asked_about() {
    let zk = FakeZk::default();
    let (_gateway, served) = start(&zk).await;
    browse(served.address, "#/service/time", async |page| {
        open(&page).await;
        // The browser tells that the first one was closed when the second one is open.
        page.run(&format!("document.getElementById('instance').close(); {}.click()", row("b"))).await;
        page.says("#instance-title", "b").await;
        page.says("#instance-body", "somebody else, in ZooKeeper").await;
        page.run("document.getElementById('instance').close()").await;
        open(&page).await;
        page.click(DRAIN).await;
        page.run(&format!(
            "document.getElementById('confirm-no').click(); document.querySelector({}).click()",
            json!(WEIGH)
        ))
        .await;
        page.says("#confirm-title", "Change the weight of a?").await;
        page.until(ASKS).await;
        page.click("#confirm-no").await;
        page.until(&format!("!{ASKS}")).await;
    })
    .await;
    served.stop().await;
}

#[tokio::test]
async fn what_is_accepted_and_not_done_is_told_as_that_until_it_is_done() {
    let zk = FakeZk::default();
    register(&zk, "time", "b", &data(2));
    let gateway = Gateway::start(&zk);
    let path = "/v1/services/time/instances/a";
    let program = json!({"server_ip": "10.0.0.1", "server_port": 1, "weight": 4, "ttl": 600});
    gateway.call("PUT", path, &program).await.is(201).await;
    let served = Served::start(&gateway.app, Guard::default()).await;
    browse(served.address, "#/service/time", async |page| {
        open(&page).await;
        zk.stop();
        page.click(DRAIN).await;
        page.click("#confirm-yes").await;
        page.says("#confirm-outcome", "Accepted, and not done yet").await;
        assert_eq!(page.value(ASKS).await, true);
        assert_eq!(page.value("document.getElementById('confirm-yes').checkVisibility()").await, false);
        page.focuses("confirm-no").await;
        page.says("#confirm-no", "Close").await;
        page.keys(Key::Enter).await;
        page.until(&format!("!{ASKS}")).await;
        // The weight is the old one, and it is said why.
        page.says("#instance-body", "Weight4").await;
        page.says("#instance-status", "Accepted, and not done yet").await;
        page.keys(Key::Escape).await;
        page.until(&format!("!{SHOWS}")).await;
        open(&page).await;
        page.says("#instance-status", "Accepted, and not done yet").await;
        zk.start();
        page.says("#instance-body", "0: drained").await;
        page.until("document.getElementById('instance-status').textContent === ''").await;
        weight_is(&zk, 0).await;

        // By the keyboard alone: the focus comes back to where it was.
        page.run(&format!("document.querySelector({}).focus()", json!(DRAIN))).await;
        page.focuses("instance-drain").await;
        page.keys(Key::Enter).await;
        page.until(ASKS).await;
        page.says("#confirm-no", "Cancel").await;
        page.focuses("confirm-no").await;
        assert_eq!(page.value("document.getElementById('confirm-outcome').textContent").await, "");
        page.keys(Key::Tab).await;
        page.focuses("confirm-yes").await;
        page.keys(Key::Enter).await;
        page.until(&format!("!{ASKS}")).await;
        page.says(DRAIN, "Drain …").await;
        page.until(&format!("document.activeElement.matches({})", json!(DRAIN))).await;

        // What would be is heard with the question, and with each number that is typed.
        page.click(DRAIN).await;
        page.until(ASKS).await;
        let told = page.heard("dialog", "Drain a?").await;
        assert!(
            told.contains("Its share of 80.0 % by weight goes to the only other one; round-robin"),
            "{told}"
        );
        assert!(told.contains("until you undo that, the program registers it again"), "{told}");
        page.click("#confirm-yes").await;
        weight_is(&zk, 0).await;
        page.until(&format!("!{ASKS}")).await;
        page.click(WEIGH).await;
        assert_eq!(page.value("document.getElementById('confirm-effect').ariaLive").await, "polite");
        page.click("#confirm-no").await;
        // And so it is.
        gateway.call("PUT", path, &program).await.is(200).await;
        page.says("#instance-body", "Weight4").await;

        // Somebody else has the same id later: who holds it is asked again.
        assert_eq!(gateway.call("DELETE", path, "").await.status, 204);
        page.says("#instance-body", "It is not registered any more").await;
        register(&zk, "time", "a", &data(3));
        page.says("#instance-body", "somebody else, in ZooKeeper").await;
        page.until(&format!("document.querySelector({}).disabled", json!(DRAIN))).await;
    })
    .await;
    served.stop().await;
}
