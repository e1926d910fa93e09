//! The console in a real browser.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod browser;
mod common;

use browser::{Page, Served, browse, row, stand};
use common::{Gateway, TIME, data, register};
use gateway::Guard;
use serde_json::json;
use thirtyfour::Key;
use tokio::time::timeout;
use zk_local::Proxy;
use zk_session::fake::FakeZk;

const A: &str = "/v1/services/time/instances/a";

const WEIGH: &str = "#instance-actions button:nth-child(2)";

fn cell(id: &str, column: &str) -> String {
    format!("{}?.querySelector('.{column}').textContent", row(id))
}

fn stored_in(data: &[u8]) -> proto::NodeData {
    proto::decode(data).unwrap()
}

fn stored(zk: &FakeZk, name: &str) -> proto::NodeData {
    stored_in(&zk.get(&format!("{TIME}/{name}")).unwrap().data)
}

async fn weight_is(zk: &FakeZk, name: &str, weight: u32) {
    let path = format!("{TIME}/{name}");
    let is = |zk: &FakeZk| {
        let node = zk.get(&path)?;
        Some(stored_in(&node.data).weight)
    };
    let reached = zk.until(|zk| is(zk) == Some(weight));
    timeout(browser::PATIENCE, reached).await.unwrap_or_else(|_| panic!("the weight is {:?}", is(zk)));
}

#[tokio::test]
async fn the_fleet_is_seen_as_it_is_and_as_it_changes_without_a_reload() {
    let zk = FakeZk::default();
    register(
        &zk,
        "time",
        "a",
        &data(1).with_weight(3).with_code("code-a").with_metadata("zone", "north").with_metadata("rack", "7"),
    );
    register(&zk, "time", "b", &data(2));
    register(&zk, "video", "v", &data(9));
    stand(&zk, "b", 7, &data(2));
    zk.put(&format!("{TIME}/broken"), "nonsense");
    let gateway = Gateway::start(&zk);
    let served = Served::start(&gateway.app, Guard::default()).await;
    browse(served.address, "", async |page| {
        // What is counted by the minute is of this one, however long the machine takes.
        page.again_with("const begin = Date.now(), real = Date.now; Date.now = () => begin + (real() - begin) / 1000;").await;
        page.says("#services-source", "live").await;
        page.until("document.querySelectorAll('#services-list li').length === 2").await;
        page.says("#services-list li:nth-child(2)", "video1").await;
        page.run("window.notReloaded = true").await;
        page.click("#services-list a[title=time]").await;

        page.says("#service-source", "live").await;
        for (id, column, text) in [
            ("a", "address", "127.0.0.1:1"),
            ("a", "code", "code-a"),
            ("a", "weight", "3"),
            ("a", "share", "75.0 %"),
            ("a", "zone", "north"),
            ("a", "metadata", "rack=7"),
            ("b", "share", "25.0 %"),
        ] {
            page.until(&format!("{} === {}", cell(id, column), json!(text))).await;
        }
        page.says("#fact-master", "b").await;
        page.until(&format!("{}.querySelector('.badge').hidden === false", row("b"))).await;
        page.until(&format!("{}.querySelector('.badge').hidden === true", row("a"))).await;
        assert_ne!(page.value("document.getElementById('fact-term').textContent").await, "–");
        page.says("#bad-summary", "1 node cannot be read").await;
        page.says("#timeline", "Nothing has happened yet").await;

        register(&zk, "time", "c", &data(3));
        page.until(&row("c")).await;
        page.says("#timeline li:first-child", "c came, with weight 1").await;
        page.says("#news", "c came").await;
        page.says("#fact-instances", "3").await;
        zk.put(&format!("{TIME}/a"), proto::encode(&data(1).with_weight(0)).unwrap());
        page.until(&format!("{} === 'drained'", cell("a", "share"))).await;
        page.says("#timeline li:first-child", "a is drained; its weight was 3").await;
        assert!(zk.remove(&format!("{TIME}/c")));
        page.until(&format!("!{}", row("c"))).await;
        page.says("#timeline li:first-child", "c went").await;
        stand(&zk, "a", 8, &data(1));
        assert!(zk.remove("/headkeeper/time/election/b-0000000007"));
        page.says("#fact-master", "a").await;
        page.says("#timeline li.master", "a leads, with term").await;
        page.says("#chart-changes-now", "4").await;
        page.until("document.querySelector('#chart-instances svg').getAttribute('aria-label').includes('least 2, most 3')").await;
        page.until("document.querySelector('#chart-instances .line').getAttribute('d').includes('V')").await;
        assert_eq!(page.value("window.notReloaded").await, true);

        zk.stop();
        page.says("#service-source", "stale since").await;
        page.says("#timeline li.source", "ZooKeeper is away").await;
        page.says("#services-source", "stale since").await;
        zk.start();
        page.says("#timeline li:first-child", "the list is live again").await;
    })
    .await;
    served.stop().await;
}

#[tokio::test]
async fn what_an_instance_says_of_itself_is_shown_as_text_and_runs_nothing() {
    const EVIL: &str = "<img src=x onerror=\"window.ran=1\"><script>window.ran=2</script>";
    let zk = FakeZk::default();
    register(
        &zk,
        "time",
        "a",
        &data(1).with_code(EVIL).with_metadata("zone", EVIL).with_metadata(EVIL, EVIL),
    );
    register(&zk, "time", "<i>b", &data(2));
    zk.put(&format!("{TIME}/<b>bad"), "<u>nonsense");
    let gateway = Gateway::start(&zk);
    let served = Served::start(&gateway.app, Guard::default()).await;
    browse(served.address, "#/service/time", async |page| {
        page.until(&row("a")).await;
        for column in ["code", "zone", "metadata"] {
            let text = page.value(&cell("a", column)).await;
            assert!(text.as_str().unwrap().contains(EVIL), "{column}: {text}");
        }
        page.click("#bad-summary").await;
        page.says("#bad-list", "<b>bad").await;
        page.run(&format!("{}.click()", row("a"))).await;
        page.says("#instance-body", EVIL).await;
        register(&zk, "time", "<i>c", &data(3));
        page.says("#timeline", "<i>c came").await;
        let made = "document.querySelectorAll('main img, main script, main b, main i, main u, dialog img, dialog script').length";
        assert_eq!(page.value(made).await, 0);
        assert_eq!(page.value("typeof window.ran").await, "undefined");
        // And if we forgot it once, the browser would not.
        let forgotten = "try { document.getElementById('news').innerHTML = '<img src=x>'; return 'taken'; } catch (refused) { return refused.name; }";
        assert_eq!(page.run(forgotten).await, "TypeError");
        // That one complaint was asked for.
        let complaints = page.driver.browser_log().await.unwrap();
        assert!(complaints.len() <= 1, "{complaints:#?}");
    })
    .await;
    served.stop().await;
}

#[tokio::test]
async fn drain_and_weights_are_confirmed_first_and_refusals_are_told() {
    let zk = FakeZk::default();
    register(&zk, "time", "other", &data(5));
    let gateway = Gateway::start(&zk);
    let body = json!({"server_ip": "10.0.0.1", "server_port": 1, "weight": 4, "ttl": 600});
    gateway.call("PUT", A, body).await.is(201).await;
    let served = Served::start(&gateway.app, Guard::default()).await;
    let open = async |page: &Page, id: &str| {
        page.until(&row(id)).await;
        page.run(&format!("{}.click()", row(id))).await;
        page.until("document.getElementById('instance').open").await;
        page.until(&format!("document.getElementById('instance-title').textContent === {}", json!(id))).await;
        page.until("document.getElementById('instance-body').textContent.includes('asking') === false").await;
    };
    browse(served.address, "#/service/time", async |page| {
        open(&page, "a").await;
        page.says("#instance-body", "this gateway").await;
        page.says("#instance-body", "80.0 % by weight; round-robin takes all alike").await;
        let about = page.value("document.querySelector('th.share button').title").await;
        assert_eq!(
            about,
            "By weight, as weight-round-robin and weight-random pick; round-robin takes all alike"
        );
        page.click("#instance-actions button:nth-child(1)").await;
        page.says(
            "#confirm-effect",
            "Its share of 80.0 % by weight goes to the only other one; round-robin takes all alike.",
        )
        .await;
        // What does nothing has the focus.
        page.focuses("confirm-no").await;
        page.keys(Key::Enter).await;
        page.until("!document.getElementById('confirm').open").await;
        assert_eq!(stored(&zk, "a").weight, 4);

        page.click("#instance-actions button:nth-child(1)").await;
        page.click("#confirm-yes").await;
        page.until("!document.getElementById('confirm').open").await;
        weight_is(&zk, "a", 0).await;
        page.says("#instance-body", "0: drained").await;
        page.says("#instance-actions", "Undo drain").await;
        page.click("#instance-actions button:nth-child(1)").await;
        page.click("#confirm-yes").await;
        weight_is(&zk, "a", 4).await;
        page.until("!document.getElementById('confirm').open").await;
        // The buttons are others once the page has heard of it.
        page.says("#instance-actions", "Drain …").await;

        page.click("#instance-actions button:nth-child(2)").await;
        // The number is marked: what is typed takes its place.
        page.keys("9").await;
        page.says(
            "#confirm-effect",
            "Its share by weight goes from 80.0 % to 90.0 %, and the rest to the only other one; round-robin takes all alike.",
        )
        .await;
        page.keys(Key::Enter).await;
        weight_is(&zk, "a", 9).await;
        page.until("!document.getElementById('confirm').open").await;
        page.keys(Key::Escape).await;
        page.until("!document.getElementById('instance').open").await;
        page.says("#timeline", "a has weight 9, after 4").await;

        open(&page, "other").await;
        // What would be refused is not offered.
        page.says("#instance-body", "somebody else").await;
        page.says("#instance-actions", "this gateway changes only what programs have registered with it")
            .await;
        let offered =
            page.value("document.querySelectorAll('#instance-actions button:enabled').length").await;
        assert_eq!(offered, 0);
        page.keys(Key::Escape).await;
        page.until("!document.getElementById('instance').open").await;

        // It goes while the question is open.
        open(&page, "a").await;
        page.click(WEIGH).await;
        assert_eq!(gateway.call("DELETE", A, "").await.status, 204);
        page.says("#timeline", "a went").await;
        page.click("#confirm-yes").await;
        page.says("#confirm-problem", "Not done: there is no such instance").await;
        assert_eq!(page.value("document.getElementById('confirm').open").await, true);
    })
    .await;
    served.stop().await;
}

#[tokio::test]
async fn it_is_said_when_updates_stop_and_they_come_again() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    let gateway = Gateway::start(&zk);
    let served = Served::start(&gateway.app, Guard::default()).await;
    // At one place, whoever is there: nobody else takes its port while nobody is.
    let place = Proxy::start(served.address).await.unwrap();
    browse(place.address(), "#/service/time", async |page| {
        page.until(&row("a")).await;
        page.until("document.getElementById('stream-banner').hidden").await;
        place.refuse(true);
        served.stop().await;
        page.until("!document.getElementById('stream-banner').hidden").await;
        page.says("#stream-banner", "No updates since").await;
        page.says("#stream-banner", "What is shown is what was known then").await;
        page.says("#service-source", "not updated").await;
        page.says("#services-source", "not updated since").await;
        page.says("#timeline li.lost", "no updates any more").await;
        assert_eq!(page.value(&format!("{} !== undefined", row("a"))).await, true, "it is still shown");

        // Another process at the same place, and something has changed meanwhile.
        register(&zk, "time", "b", &data(2));
        let next = Gateway::start(&zk);
        let served = Served::start(&next.app, Guard::default()).await;
        place.set_upstream(served.address);
        place.refuse(false);
        // By a script: the page may have tried by itself meanwhile, and hidden it.
        page.run("document.getElementById('stream-retry').click()").await;
        page.until(&row("b")).await;
        page.until("document.getElementById('stream-banner').hidden").await;
        page.says("#service-source", "live").await;
        page.says("#timeline li.back", "updates come again").await;
        page.says("#timeline li.came", "b came").await;
        page.says("#services-source", "live").await;
        served.stop().await;
    })
    .await;
}
