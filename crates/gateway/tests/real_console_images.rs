//! Images of the console for the documentation, drawn when `CONSOLE_IMAGES` names a folder for them; in any case, that it looks right in both
//! colour schemes: what is written can be read.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod browser;
mod common;

use std::path::PathBuf;

use browser::{Page, Served, browse};
use common::{Gateway, register};
use gateway::Guard;
use gateway::guard::{Sites, Tokens};
use proto::{Address, NodeData};
use serde_json::json;
use thirtyfour::Key;
use zk_session::fake::FakeZk;

/// The page's clock goes on when we say, so that ten minutes can be seen in a few seconds.
const CLOCK: &str = "const real = Date.now; window.later = 0; Date.now = () => real() + window.later;";

const SCHEMES: [&str; 2] = ["light", "dark"];

/// The least that the contrast of text may be, as the guidelines for accessibility (WCAG 2.2, AA) have it.
const CONTRAST: f64 = 4.5;

/// The least contrast of all text that is shown, and which text that is. What is half seen through counts as it is seen.
const LEAST_CONTRAST: &str = r"
    const parts = (color) => color.match(/[\d.]+/g).map(Number);
    const light = (color) => {
      const [red, green, blue] = color.map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
      return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const above = (place) => {
      const all = [];
      for (let at = place; at !== null; at = at.parentElement) all.push(getComputedStyle(at));
      return all;
    };
    const ground = (place) => {
      const colors = above(place).map((style) => style.backgroundColor);
      return parts(colors.find((color) => !color.startsWith('rgba(0, 0, 0, 0')) ?? 'rgb(255, 255, 255)').slice(0, 3);
    };
    const contrast = (place, style, color) => {
      const [red, green, blue, alpha = 1] = parts(color);
      const seen = above(place).reduce((product, { opacity }) => product * opacity, alpha * (style === null ? 1 : style.opacity));
      const behind = ground(place);
      const [a, b] = [light([red, green, blue].map((part, at) => part * seen + behind[at] * (1 - seen))), light(behind)];
      return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    };
    let least = [21, ''];
    const look = (text, place, style, color) => {
      const is = contrast(place, style, color);
      if (is < least[0]) least = [is, `${text} (${place.className.baseVal ?? place.className} ${place.id} ${place.tagName})`];
    };
    for (const place of document.querySelectorAll('body *')) {
      if (place.closest('script') || place.getClientRects().length === 0) continue;
      const text = [...place.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data.trim()).join('');
      const style = getComputedStyle(place);
      if (text !== '') look(text, place, null, place.closest('svg') === null ? style.color : style.fill);
      if (place.placeholder && place.value === '') {
        const hint = getComputedStyle(place, '::placeholder');
        look(place.placeholder, place, hint, hint.color);
      }
    }
    return least;";

fn instance(number: u16, weight: u32) -> NodeData {
    let host = format!("10.20.{}.{}", number % 3, 10 + number);
    let zone = ["north-1", "north-2", "south-1"][usize::from(number % 3)];
    let mut data = NodeData::at(Address::new(&host, 8_897).unwrap()).with_weight(weight);
    // Hours and days ago.
    data.registered_at = now() - u64::from(number) * u64::from(number) * 1_700_000;
    data.with_metadata("zone", zone)
        .with_metadata("version", if number.is_multiple_of(5) { "2.4.1" } else { "2.4.0" })
        .with_metadata("rack", format!("r{}", number % 7))
}

/// What the page counts ages from, too.
#[expect(clippy::disallowed_methods, reason = "people read it")]
fn now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis()
        .try_into()
        .unwrap()
}

fn name(number: u16) -> String {
    format!("10.20.{}.{}:8897", number % 3, 10 + number)
}

fn weight(number: u16) -> u32 {
    [4, 2, 2, 1, 3][usize::from(number % 5)]
}

fn lead(zk: &FakeZk, number: u16, turn: u32) -> String {
    let path = format!("/headkeeper/time/election/{}-{turn:010}", name(number));
    zk.put_ephemeral(&path, proto::encode(&instance(number, weight(number))).unwrap(), zk.stranger());
    path
}

/// Ten minutes of a service, each change seen before the next one.
async fn ten_minutes(page: &Page, zk: &FakeZk) {
    let mut led = lead(zk, 3, 5);
    page.says("#fact-master", &name(3)).await;
    for step in 0..28_u16 {
        page.run("window.later += 20000").await;
        let before = page.value("document.getElementById('timeline').textContent").await;
        match step {
            0..8 => register(zk, "time", &name(20 + step), &instance(20 + step, weight(step))),
            12 => zk.put(
                &format!("/headkeeper/time/instances/{}", name(7)),
                proto::encode(&instance(7, 0)).unwrap(),
            ),
            15..18 => assert!(zk.remove(&format!("/headkeeper/time/instances/{}", name(step)))),
            20 => {
                lead(zk, 5, 6);
                assert!(zk.remove(&led));
                led.clear();
            }
            22..25 => register(zk, "time", &name(step - 7), &instance(step - 7, weight(step))),
            _ => continue,
        }
        page.until(&format!("document.getElementById('timeline').textContent !== {before}")).await;
    }
    page.run("window.later += 15000").await;
}

#[tokio::test]
async fn it_can_be_read_in_both_colour_schemes() {
    let images = std::env::var_os("CONSOLE_IMAGES").map(PathBuf::from);
    let zk = FakeZk::default();
    for number in (1..=19).filter(|number| *number != 2) {
        register(&zk, "time", &name(number), &instance(number, weight(number)));
    }
    for (service, instances) in [("auth", 6), ("billing", 3), ("mail", 2), ("search", 12), ("video", 9)] {
        for number in 1..=instances {
            register(&zk, service, &name(number), &instance(number, 1));
        }
    }
    zk.put("/headkeeper/archive/instances", "");
    let gateway = Gateway::start(&zk);
    // One of them is the gateway's own: it can be drained here.
    let body = json!({"server_ip": "10.20.2.12", "server_port": 8897, "weight": 2, "ttl": 600, "metadata": {"zone": "south-1", "version": "2.4.0", "rack": "r2"}});
    gateway.call("PUT", &format!("/v1/services/time/instances/{}", name(2)), body).await.is(201).await;
    let served = Served::start(&gateway.app, Guard::default()).await;
    browse(served.address, "", async |page| {
        page.devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": CLOCK})).await;
        page.driver.goto(format!("http://{}/#/service/time", served.address)).await.unwrap();
        page.driver.refresh().await.unwrap();
        page.screen(1440, 900, 1).await;
        page.says("#matches", "19 instances").await;
        page.says("#services-list", "video9").await;
        ten_minutes(&page, &zk).await;
        page.says("#services-list", "time27").await;
        for scheme in SCHEMES {
            choose(&page, scheme).await;
            page.screen(1440, 900, 1).await;
            page.until("innerWidth === 1440").await;
            page.run("window.later += 5000").await;
            page.until("document.querySelector('tr.fresh') === null").await;
            look(&page, images.as_ref(), &format!("console-{scheme}")).await;
            search(&page, &name(2)).await;
            page.run("document.querySelector('tbody tr[data-at]').click()").await;
            page.until("document.getElementById('instance').open").await;
            page.says("#instance-body", "this gateway").await;
            page.run("document.querySelector('#instance-actions button').click()").await;
            page.says("#confirm-yes", "Drain").await;
            look(&page, images.as_ref(), &format!("console-drain-{scheme}")).await;
            page.run(
                "document.getElementById('confirm').close(); document.getElementById('instance').close()",
            )
            .await;
            search(&page, "").await;
            page.screen(360, 740, 2).await;
            page.until("innerWidth === 360").await;
            page.fits(scheme).await;
            look(&page, images.as_ref(), &format!("console-phone-{scheme}")).await;
        }
    })
    .await;
    served.stop().await;
}

#[tokio::test]
async fn what_is_lost_old_or_not_there_can_be_read_as_well() {
    let zk = FakeZk::default();
    zk.put("/headkeeper/time/instances", "");
    let gateway = Gateway::start(&zk);
    let tokens = Some(Tokens::parse("write write-write-write-write").unwrap());
    let served = Served::start(&gateway.app, Guard { tokens, sites: Sites::default() }).await;
    browse(served.address, "#/service/time", async |page| {
        page.until("document.getElementById('token').open").await;
        page.keys("nobodys-token-at-all").await;
        page.keys(Key::Enter).await;
        page.says("#token-problem", "the token is not accepted").await;
        look_in_both(&page, "a token").await;
        page.keys("write-write-write-write").await;
        page.keys(Key::Enter).await;
        page.says("#table", "Nobody is registered.").await;
        look_in_both(&page, "nobody").await;
        for number in [1, 2, 5] {
            register(&zk, "time", &name(number), &instance(number, u32::from(number - 1)));
        }
        lead(&zk, 5, 5);
        zk.put("/headkeeper/time/instances/broken", "nonsense");
        page.says("#fact-master", &name(5)).await;
        page.says("#table", "drained").await;
        page.run("document.getElementById('bad').open = true; document.getElementById('keys').showModal()")
            .await;
        look_in_both(&page, "the keys").await;
        page.run(
            "document.getElementById('keys').close(); document.querySelector('tbody tr[data-at]').click()",
        )
        .await;
        page.says("#instance-actions", "Registered by somebody else").await;
        zk.stop();
        page.says("#instance-status", "ZooKeeper is away").await;
        look_in_both(&page, "an old list").await;
        served.stop().await;
        page.says("#instance-status", "No updates since").await;
        page.until("document.querySelector('.outdated .badge:not([hidden])') !== null").await;
        look_in_both(&page, "a lost list").await;
    })
    .await;
}

async fn look_in_both(page: &Page, called: &str) {
    for scheme in SCHEMES {
        choose(page, scheme).await;
        look(page, None, &format!("{called}, {scheme}")).await;
    }
}

async fn choose(page: &Page, scheme: &str) {
    let feature = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}]});
    page.devtools("Emulation.setEmulatedMedia", feature).await;
    page.until(&format!("matchMedia('(prefers-color-scheme: {scheme})').matches")).await;
}

async fn search(page: &Page, text: &str) {
    let text = json!(text);
    page.run(&format!("const field = document.getElementById('search'); field.value = {text}; field.dispatchEvent(new Event('input'))")).await;
    page.until(&format!(
        "{text} === '' || document.querySelector('tbody tr[data-at] .text').textContent === {text}"
    ))
    .await;
}

/// Sees whether all can be read, and keeps an image if one is wanted.
async fn look(page: &Page, images: Option<&PathBuf>, called: &str) {
    let least = page.run(LEAST_CONTRAST).await;
    assert!(least[0].as_f64().unwrap() >= CONTRAST, "{called}: {least}");
    if let Some(images) = images {
        page.driver.screenshot(&images.join(format!("{called}.png"))).await.unwrap();
    }
}
