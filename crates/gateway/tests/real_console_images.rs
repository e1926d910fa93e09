//! Images of the console for the documentation, drawn when `CONSOLE_IMAGES` names a folder for them; in any case, that it looks right in both
//! colour schemes: what is written can be read.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod browser;
mod common;

use std::path::PathBuf;

use browser::{Page, Served, browse};
use common::{Gateway, register};
use gateway::Guard;
use proto::{Address, NodeData};
use serde_json::json;
use zk_session::fake::FakeZk;

/// The page's clock goes on when we say, so that ten minutes can be seen in a few seconds.
const CLOCK: &str = "const real = Date.now; window.later = 0; Date.now = () => real() + window.later;";

/// The least that the contrast of text may be, as the guidelines for accessibility (WCAG 2.2, AA) have it.
const CONTRAST: f64 = 4.5;

/// The least contrast of all text that is shown, and which text that is.
const LEAST_CONTRAST: &str = r"
    const light = (color) => {
      const parts = color.match(/[\d.]+/g).slice(0, 3).map((part) => part / 255)
        .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
      return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
    };
    const ground = (place) => {
      for (let at = place; at !== null; at = at.parentElement) {
        const color = getComputedStyle(at).backgroundColor;
        if (!color.startsWith('rgba(0, 0, 0, 0')) return color;
      }
      return 'rgb(255, 255, 255)';
    };
    let least = [21, ''];
    for (const place of document.querySelectorAll('body *')) {
      const text = [...place.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data.trim()).join('');
      if (text === '' || place.closest('script, svg') || place.getClientRects().length === 0) continue;
      const [a, b] = [light(getComputedStyle(place).color), light(ground(place))];
      const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (contrast < least[0]) least = [contrast, `${text} (${place.className || place.tagName})`];
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
    let served = Served::start(&gateway.app, Guard::default(), 0).await;
    browse(served.address, "", async |page| {
        page.devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": CLOCK})).await;
        page.driver.goto(format!("http://{}/#/service/time", served.address)).await.unwrap();
        page.driver.refresh().await.unwrap();
        page.screen(1440, 900, 1).await;
        page.says("#matches", "19 instances").await;
        page.says("#services-list", "video9").await;
        ten_minutes(&page, &zk).await;
        for scheme in ["light", "dark"] {
            let feature = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}]});
            page.devtools("Emulation.setEmulatedMedia", feature).await;
            page.until(&format!("matchMedia('(prefers-color-scheme: {scheme})').matches")).await;
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
            page.run("document.getElementById('confirm').close(); document.getElementById('instance').close()").await;
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
