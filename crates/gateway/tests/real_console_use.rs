//! How the console is used: by the keyboard, with a token, on a phone.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod browser;
mod common;

use browser::{Served, browse, row, stand};
use common::{Gateway, TIME, body, data, register};
use gateway::Guard;
use gateway::guard::{Sites, Tokens};
use serde_json::json;
use thirtyfour::Key;
use zk_session::fake::FakeZk;

#[tokio::test]
async fn ten_thousand_are_found_sorted_and_opened_by_the_keyboard_alone() {
    let zk = FakeZk::default();
    // Somebody has all of them: as many sessions would keep the fake busy.
    let owner = zk.stranger();
    for number in 1..=10_000_u16 {
        let name = format!("10.0.{}.{}:80", number / 256, number % 256);
        let stored = proto::encode(&data(number).with_weight(u32::from(number))).unwrap();
        zk.put_ephemeral(&format!("{TIME}/{name}"), stored, owner);
    }
    let gateway = Gateway::start(&zk);
    let served = Served::start(&gateway.app, Guard::default()).await;
    browse(served.address, "#/service/time", async |page| {
        page.says("#matches", "10,000 instances").await;
        page.until("document.querySelector('table').getAttribute('aria-rowcount') === '10001'").await;
        let first = "document.querySelector('tbody tr[data-at] .id .text')?.textContent";
        page.until(&format!("{first} === '10.0.0.1:80'")).await;
        let drawn = page.value("document.querySelectorAll('tbody tr[data-at]').length").await;
        assert!((5..100).contains(&drawn.as_u64().unwrap()), "{drawn}");

        let active = "document.getElementById(document.querySelector('table').getAttribute('aria-activedescendant'))?.querySelector('.id .text').textContent";
        page.keys("/").await;
        page.focuses("search").await;
        page.keys(Key::Down).await;
        page.focuses("TABLE").await;
        page.until(&format!("{active} === '10.0.0.1:80'")).await;
        page.keys(Key::Down).await;
        // Numbers are sorted as numbers.
        page.until(&format!("{active} === '10.0.0.2:80'")).await;
        page.keys(Key::End).await;
        page.until(&format!("{active} === '10.0.39.16:80'")).await;
        let seen = format!("(() => {{ const row = {}.getBoundingClientRect(); const place = document.getElementById('table').getBoundingClientRect(); return row.bottom <= place.bottom + 1 && row.top >= place.top; }})()", row("10.0.39.16:80"));
        page.until(&seen).await;

        page.keys("/").await;
        page.keys("10.0.3 :80 .7:").await;
        page.says("#matches", "11 of 10,000").await;
        page.keys(Key::Escape).await;
        page.says("#matches", "10,000 instances").await;
        page.click("th.weight button").await;
        page.click("th.weight button").await;
        page.until("document.querySelector('th.weight').getAttribute('aria-sort') === 'descending'").await;
        page.run("document.getElementById('table').scrollTop = 0").await;
        page.until(&format!("{first} === '10.0.39.16:80'")).await;

        page.keys("/").await;
        page.keys("10.0.2.7:").await;
        page.says("#matches", "1 of 10,000").await;
        page.keys(Key::Down).await;
        page.until(&format!("{active} === '10.0.2.7:80'")).await;
        page.keys(Key::Enter).await;
        page.says("#instance-title", "10.0.2.7:80").await;
        page.until("document.getElementById('instance').open").await;
        page.keys(Key::Escape).await;
        page.until("!document.getElementById('instance').open").await;
        // The focus is where it was.
        page.focuses("TABLE").await;
        page.keys("?").await;
        page.until("document.getElementById('keys').open").await;

        // Keys that need no other one can be switched off, for good.
        page.click("#keys-on").await;
        for _ in 0..2 {
            page.keys(Key::Escape).await;
            page.until("document.querySelector('dialog[open]') === null").await;
            page.run("document.querySelector('table').focus()").await;
            page.focuses("TABLE").await;
            page.keys("/?").await;
            assert_eq!(page.focus().await, "TABLE");
            assert_eq!(page.value("document.getElementById('keys').open").await, false);
            let told = "document.getElementById('search').getAttribute('aria-keyshortcuts')";
            assert_eq!(page.value(told).await, json!(null));
            page.driver.refresh().await.unwrap();
            page.says("#matches", "10,000 instances").await;
        }
        page.click("#keys-open").await;
        page.click("#keys-on").await;
        page.keys(Key::Escape).await;
        page.until("document.querySelector('dialog[open]') === null").await;
        page.keys("/").await;
        page.focuses("search").await;
        page.keys("10.0.2.7:").await;
        page.says("#matches", "1 of 10,000").await;

        // And they are followed as few are.
        assert!(zk.remove(&format!("{TIME}/10.0.2.7:80")));
        page.says("#matches", "0 of 9,999").await;
    })
    .await;
    served.stop().await;
}

#[tokio::test]
async fn a_token_is_asked_for_kept_for_the_tab_and_never_in_the_address() {
    let zk = FakeZk::default();
    let gateway = Gateway::start(&zk);
    gateway.call("PUT", "/v1/services/time/instances/a", body(1, 600)).await.is(201).await;
    let tokens = "read read-read-read-read\nwrite write-write-write-write";
    let guard = Guard { tokens: Some(Tokens::parse(tokens).unwrap()), sites: Sites::default() };
    let served = Served::start(&gateway.app, guard).await;
    browse(served.address, "#/service/time", async |page| {
        let open = "document.getElementById('token').open";
        page.until(open).await;
        page.focuses("token-field").await;
        // Without one there is nothing to see, and that is said.
        page.keys(Key::Escape).await;
        page.until(&format!("!{open}")).await;
        page.says("#stream-banner", "a token is needed").await;
        page.says("#services-note", "a token is needed").await;
        page.click("#token-forget").await;
        page.until(open).await;
        page.keys("nobodys-token-at-all").await;
        page.keys(Key::Enter).await;
        page.says("#token-problem", "the token is not accepted").await;
        page.keys("read-read-read-read").await;
        page.keys(Key::Enter).await;
        page.until(&row("a")).await;
        page.says("#services-source", "live").await;
        assert_eq!(page.value("Object.values(sessionStorage)").await, json!(["read-read-read-read"]));
        assert_eq!(page.value("localStorage.length + document.cookie.length").await, 0);
        let asked = page
            .value("[location.href, ...performance.getEntriesByType('resource').map((one) => one.name)]")
            .await;
        assert!(!asked.to_string().contains("read-read"), "{asked}");

        page.run(&format!("{}.click()", row("a"))).await;
        page.says("#instance-body", "this gateway").await;
        page.click("#instance-actions button:nth-child(1)").await;
        page.click("#confirm-yes").await;
        page.says("#confirm-problem", "the token is for reading alone").await;
        page.keys(Key::Escape).await;
        page.until("!document.getElementById('confirm').open").await;
        page.keys(Key::Escape).await;
        page.until("!document.getElementById('instance').open").await;
        page.click("#token-forget").await;
        // The page is a new one, which knows nothing.
        page.until(open).await;
        assert_eq!(page.value("sessionStorage.length").await, 0);
        assert_eq!(page.value("document.querySelectorAll('tbody tr').length").await, 0);
    })
    .await;
    served.stop().await;
}

/// A browser that keeps nothing for a page; whatever time a request has, it is over when we say so; a clock that goes on when we say so; and
/// all that is told of what went wrong.
const STRICT: &str = r"
    for (const kind of ['sessionStorage', 'localStorage']) {
      Object.defineProperty(window, kind, { get() { throw new DOMException('denied', 'SecurityError'); } });
    }
    window.timers = [];
    AbortSignal.timeout = () => {
      timers.push(new AbortController());
      return timers.at(-1).signal;
    };
    const [running, every] = [performance.now.bind(performance), window.setInterval];
    [window.later, window.beats] = [0, 0];
    performance.now = () => running() + later;
    window.setInterval = (run, time) => every(() => { run(); beats += 1; }, time);
    window.told = [];
    document.addEventListener('DOMContentLoaded', () => {
      const tell = () => told.push(document.getElementById('services-note').textContent, document.getElementById('stream-banner-text').textContent);
      new MutationObserver(tell).observe(document.body, { childList: true, subtree: true });
    });";

#[tokio::test]
async fn who_takes_long_to_find_a_token_has_all_the_time_even_where_the_browser_keeps_nothing() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    let gateway = Gateway::start(&zk);
    let tokens = Some(Tokens::parse("read read-read-read-read").unwrap());
    let guard = Guard { tokens, sites: Sites::default() };
    let served = Served::start(&gateway.app, guard).await;
    browse(served.address, "#/service/time", async |page| {
        page.again_with(STRICT).await;
        page.until("document.getElementById('token').open").await;
        page.says("#token-kept", "Kept until this page is left: this browser stores nothing for it.").await;
        page.run("for (const timer of timers) timer.abort(new DOMException('late', 'TimeoutError')); later += 60000; beats = 0").await;
        page.until("beats > 5").await;
        page.keys("read-read-read-read").await;
        page.keys(Key::Enter).await;
        page.until(&row("a")).await;
        page.says("#services-source", "live").await;
        let told = page.value("[...new Set(told)]").await;
        for wrong in ["in time", "reached", "heard"] {
            assert!(!told.to_string().contains(wrong), "{told}");
        }
        page.says("#timeline", "Nothing has happened yet").await;
    })
    .await;
    served.stop().await;
}

#[tokio::test]
async fn a_phone_has_all_of_it_and_nothing_is_wider_than_its_screen() {
    let zk = FakeZk::default();
    let long = "an-instance-with-a-very-long-name.and-a-host.somewhere.example.org:8897";
    register(
        &zk,
        "time",
        long,
        &data(1).with_code("c".repeat(90)).with_metadata("k".repeat(60), "v".repeat(200)),
    );
    stand(&zk, long, 7, &data(1));
    register(&zk, &"a-service-with-a-long-name-".repeat(4), "b", &data(1));
    zk.put(&format!("{TIME}/{}", "broken".repeat(20)), "nonsense");
    let gateway = Gateway::start(&zk);
    let ours = json!({"server_ip": "10.0.0.1", "server_port": 1, "ttl": 600});
    gateway.call("PUT", "/v1/services/time/instances/ours", ours).await.is(201).await;
    let served = Served::start(&gateway.app, Guard::default()).await;
    browse(served.address, "", async |page| {
        page.screen(360, 740, 1).await;
        page.until("innerWidth === 360 && document.querySelectorAll('#services-list li').length === 2").await;
        page.until("document.querySelector('main').offsetParent === null").await;
        page.fits("the list of services").await;
        // There is nothing to skip to.
        assert_eq!(page.value("document.querySelector('.skip').checkVisibility()").await, false);
        page.click("#services-list a[title=time]").await;
        page.until(&row(long)).await;
        // Where it was nobody sees it.
        page.focuses("service-name").await;
        page.says("#bad-summary", "1 node").await;
        page.fits("a service").await;
        page.run("document.getElementById('bad').open = true").await;
        page.fits("what cannot be read").await;
        page.run(&format!("{}.click()", row(long))).await;
        page.until("document.getElementById('instance').open").await;
        page.says("#instance-actions", "Registered by somebody else").await;
        page.fits("an instance").await;
        page.keys(Key::Escape).await;
        page.until("!document.getElementById('instance').open").await;
        page.run(&format!("{}.click()", row("ours"))).await;
        page.says("#instance-body", "this gateway, for a program").await;
        page.click("#instance-actions button:nth-child(2)").await;
        page.until("document.getElementById('confirm').open").await;
        page.fits("a question").await;
        page.keys(Key::Escape).await;
        page.until("!document.getElementById('confirm').open").await;
        page.keys(Key::Escape).await;
        page.until("!document.getElementById('instance').open").await;
        register(&zk, "time", "another", &data(2));
        page.says("#timeline", "another came").await;
        page.fits("the timeline").await;
        page.click(".back").await;
        page.until("document.body.dataset.view === 'services'").await;
        // Back where one came from.
        page.until("document.activeElement.title === 'time'").await;
        page.until("document.title === 'Headkeeper'").await;
        // What is small to see is large to touch.
        let lows = page
            .value("[...document.querySelectorAll('#services-list a')].map((one) => one.offsetHeight)")
            .await;
        assert!(lows.as_array().unwrap().iter().all(|high| high.as_u64().unwrap() >= 36), "{lows}");
    })
    .await;
    served.stop().await;
}
