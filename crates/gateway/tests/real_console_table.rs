//! The list of instances in the console: who is opened, and how it is told to those who do not see it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod browser;
mod common;

use browser::{Page, Served, browse, row};
use common::{Gateway, data, register};
use gateway::Guard;
use serde_json::json;
use thirtyfour::By;
use zk_session::fake::FakeZk;

/// The browser paints when we say so, and no timer has anything drawn.
const HOLD_FRAMES: &str =
    "const last = setInterval(() => {}, 9999); for (let id = 1; id <= last; id += 1) clearInterval(id);
    window.paint = window.requestAnimationFrame.bind(window); window.held = [];
    window.requestAnimationFrame = (frame) => held.push(frame);";

const GO_ON: &str =
    "window.requestAnimationFrame = paint; for (const frame of held.splice(0)) frame(performance.now())";

async fn opened(page: &Page, id: &str) {
    page.until("document.getElementById('instance').open").await;
    assert_eq!(page.value("document.getElementById('instance-title').textContent").await, id);
    page.run("document.getElementById('instance').close()").await;
}

#[tokio::test]
async fn a_click_opens_who_is_seen_there_whoever_comes_meanwhile() {
    let zk = FakeZk::default();
    register(&zk, "time", "d", &data(4));
    register(&zk, "time", "h", &data(8));
    let gateway = Gateway::start(&zk);
    let served = Served::start(&gateway.app, Guard::default()).await;
    browse(served.address, "#/service/time", async |page| {
        page.until(&row("h")).await;
        // The list is another one already, and what is seen is not yet.
        page.run(HOLD_FRAMES).await;
        register(&zk, "time", "b", &data(2));
        page.until("held.length > 0").await;
        page.run("held.shift()(performance.now())").await;
        page.until("held.length > 0 && document.getElementById('fact-instances').textContent === '3'").await;
        assert_eq!(page.value(&format!("Boolean({})", row("b"))).await, false);
        page.run(&format!("{}.click()", row("d"))).await;
        opened(&page, "d").await;
        page.run(GO_ON).await;
        page.until(&row("b")).await;

        // Somebody else comes to where the mouse's button is down: the one that it went down on is meant.
        let second = "document.querySelector('tbody tr[data-at=\"1\"]')";
        page.until(&format!("{second}.textContent.startsWith('masterd')")).await;
        let place = page.driver.find(By::Css("tbody tr[data-at='1']")).await.unwrap();
        page.driver.action_chain().move_to_element_center(&place).click_and_hold().perform().await.unwrap();
        register(&zk, "time", "c", &data(3));
        page.until(&format!("{second}.textContent.startsWith('masterc')")).await;
        page.driver.action_chain().release().perform().await.unwrap();
        opened(&page, "d").await;
        // And who goes leaves the others where they are.
        page.driver.action_chain().move_to_element_center(&place).click_and_hold().perform().await.unwrap();
        assert!(zk.remove("/headkeeper/time/instances/h"));
        page.until(&format!("!{}", row("h"))).await;
        page.driver.action_chain().release().perform().await.unwrap();
        opened(&page, "c").await;
    })
    .await;
    served.stop().await;
}

#[tokio::test]
async fn columns_and_what_scrolls_are_told_to_those_who_do_not_see_them() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1).with_metadata("rack", "7"));
    zk.put("/headkeeper/time/instances/broken", "nonsense");
    let gateway = Gateway::start(&zk);
    let served = Served::start(&gateway.app, Guard::default()).await;
    browse(served.address, "#/service/time", async |page| {
        page.until(&row("a")).await;
        // Nobody has a code or a zone: those columns are not there, and the others have the numbers that they have among all.
        let columns = "((place) => [...place.children].filter((cell) => cell.checkVisibility()).map((cell) => cell.ariaColIndex))";
        for place in ["document.querySelector('thead tr')", &row("a")] {
            let seen = page.value(&format!("{columns}({place})")).await;
            assert_eq!(seen, json!(["1", "2", "4", "5", "7", "8"]), "{place}");
        }
        assert_eq!(page.value("document.querySelector('table').ariaColCount").await, "8");

        page.run("document.getElementById('bad').open = true").await;
        assert_eq!(page.heard("list", "Nodes that cannot be read").await, "");
        assert_eq!(page.heard("list", "Since this page was opened").await, "");
        for place in ["bad-list", "timeline"] {
            // Browsers let the keyboard into what scrolls by themselves, and not all of them do.
            let stop = page.value(&format!("document.getElementById('{place}').tabIndex")).await;
            assert_eq!(stop, 0, "{place}");
        }
        // Numbers that change all the time are not read out.
        page.says("#chart-instances-now", "1").await;
        let read_out = "[...document.querySelectorAll('.charts *')].filter((place) => place.matches('output, [role=status], [role=alert], [aria-live]')).length";
        assert_eq!(page.value(read_out).await, 0);
    })
    .await;
    served.stop().await;
}
