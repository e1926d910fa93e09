//! Who may ask for what.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod common;

use axum::body::Body;
use axum::http::Request;
use common::{Answer, Gateway, TIME, data, register};
use gateway::Guard;
use gateway::fleet::Options;
use gateway::guard::{Sites, Tokens};
use serde_json::json;
use zk_session::fake::FakeZk;

const READ: &str = "Bearer read-read-read-read";
const WRITE: &str = "bearer write-write-write-write";
const A: &str = "/v1/services/time/instances/a";
const BODY: &str = "{\"server_ip\":\"h\",\"server_port\":1}";

fn guarded(zk: &FakeZk) -> Gateway {
    Gateway::guarded(zk, guard())
}

fn guard() -> Guard {
    let tokens = "read read-read-read-read\nwrite write-write-write-write";
    let sites = Sites::new(["gateway.example".to_owned()], ["https://console.example".parse().unwrap()]);
    Guard { tokens: Some(Tokens::parse(tokens).unwrap()), sites }
}

async fn ask(gateway: &Gateway, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "localhost");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    gateway.send(request.body(Body::from(BODY)).unwrap()).await
}

#[tokio::test(start_paused = true)]
async fn a_refused_stranger_keeps_no_connection_and_asking_for_methods_is_reading() {
    let zk = FakeZk::default();
    let gateway = guarded(&zk);
    for (headers, status, connection) in [
        (vec![], 401, "close"),
        (vec![("authorization", READ), ("origin", "https://evil.example")], 403, "close"),
        (vec![("authorization", READ)], 200, ""),
    ] {
        let answer = ask(&gateway, "GET", "/v1/services", &headers).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("connection")),
            (status, connection),
            "{headers:?}"
        );
    }
    // Where pages of other origins may ask, that is how they do.
    let alone = Gateway::guarded(&zk, Guard { sites: Sites::default(), ..guard() });
    let answer = ask(&alone, "OPTIONS", A, &[("authorization", READ)]).await;
    assert_eq!(answer.header("allow"), "GET,HEAD,PUT,PATCH,DELETE");
    answer.problem(405, "method-not-allowed").await;
}

#[tokio::test(start_paused = true)]
async fn with_tokens_nobody_is_served_without_one_but_probes() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    let gateway = guarded(&zk);
    for path in [
        "/v1/services",
        "/v1/services/time",
        "/v1/services/time/watch",
        "/v1/openapi.json",
        "/metrics",
        "/nothing",
    ] {
        for (headers, kind) in [
            (vec![], "no-token"),
            (vec![("authorization", "Basic cmVhZA==")], "no-token"),
            (vec![("authorization", "Bearer")], "no-token"),
            (vec![("authorization", READ), ("authorization", READ)], "no-token"),
            (vec![("authorization", "Bearer ")], "wrong-token"),
            (vec![("authorization", "Bearer read-read-read-rea")], "wrong-token"),
        ] {
            let answer = ask(&gateway, "GET", path, &headers).await;
            assert!(answer.header("www-authenticate").starts_with("Bearer"), "{path} {headers:?}");
            answer.problem(401, kind).await;
        }
    }
    for token in [READ, WRITE] {
        ask(&gateway, "GET", "/v1/services/time", &[("authorization", token)]).await.is(200).await;
        ask(&gateway, "GET", "/nothing", &[("authorization", token)])
            .await
            .problem(404, "unknown-path")
            .await;
    }
    // Those who probe come by any name.
    for path in ["/healthz", "/readyz"] {
        ask(&gateway, "GET", path, &[("host", "anything")]).await.is(200).await;
    }
}

#[tokio::test(start_paused = true)]
async fn writing_takes_a_token_for_writing() {
    let zk = FakeZk::default();
    let gateway = guarded(&zk);
    for (method, path) in [("PUT", A), ("DELETE", A), ("PATCH", A), ("POST", &*format!("{A}/renew"))] {
        ask(&gateway, method, path, &[]).await.problem(401, "no-token").await;
        let answer = ask(&gateway, method, path, &[("authorization", READ)]).await;
        assert_eq!(answer.header("www-authenticate"), "Bearer error=\"insufficient_scope\"");
        answer.problem(403, "read-only").await;
    }
    assert!(zk.children(TIME).is_empty());
    ask(&gateway, "PUT", A, &[("authorization", WRITE)]).await.is(201).await;
}

#[tokio::test(start_paused = true)]
async fn pages_of_other_sites_and_other_names_are_refused_with_and_without_tokens() {
    let zk = FakeZk::default();
    for gateway in [Gateway::start(&zk), guarded(&zk)] {
        for method in ["GET", "PUT"] {
            let rebound = [("authorization", WRITE), ("host", "evil.example")];
            ask(&gateway, method, A, &rebound).await.problem(403, "foreign-host").await;
        }
        for origin in ["http://evil.example", "null"] {
            let headers = [("authorization", WRITE), ("origin", origin)];
            for method in ["PUT", "DELETE", "PATCH"] {
                ask(&gateway, method, A, &headers).await.problem(403, "foreign-origin").await;
            }
        }
        assert!(zk.children(TIME).is_empty());
    }
    let gateway = guarded(&zk);
    for origin in ["http://gateway.example", "https://console.example"] {
        let headers = [("authorization", WRITE), ("host", "gateway.example"), ("origin", origin)];
        let status = ask(&gateway, "PUT", A, &headers).await.status;
        assert!(status.is_success(), "{origin}: {status}");
    }
    let headers = [("authorization", WRITE), ("host", "localhost"), ("host", "localhost")];
    ask(&gateway, "PUT", A, &headers).await.problem(400, "bad-request").await;
}

#[tokio::test(start_paused = true)]
async fn a_page_of_another_site_reads_nothing_and_has_nothing_followed() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    for gateway in [Gateway::start(&zk), guarded(&zk)] {
        for path in
            ["/v1/services", "/v1/services/time", "/v1/services/time/watch", "/v1/openapi.json", "/metrics"]
        {
            for header in [
                ("origin", "http://evil.example"),
                ("origin", "null"),
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-site", "same-site"),
            ] {
                let headers = [("authorization", READ), header];
                ask(&gateway, "GET", path, &headers).await.problem(403, "foreign-origin").await;
            }
        }
        assert!(gateway.fleet.all_followed().is_empty());
        // Our own page, an address that somebody typed, and what is no browser.
        for headers in [vec![("sec-fetch-site", "same-origin")], vec![("sec-fetch-site", "none")], vec![]] {
            let headers = [&headers[..], &[("authorization", READ)]].concat();
            ask(&gateway, "GET", "/v1/services", &headers).await.is(200).await;
        }
        // A link leads to the console, which is nobody's secret.
        let link = [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        assert_eq!(ask(&gateway, "GET", "/", &link).await.status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn who_probes_is_told_the_names_of_services_only_if_it_may_ask_for_them() {
    let zk = FakeZk::default();
    zk.set_reachable(false);
    let open = Gateway::with(&zk, &["secret"], Options::default());
    let closed = Gateway::with(&zk, &["secret"], Options::default()).behind(guard());
    let rebound = &[("host", "evil.example")][..];
    let page = &[("origin", "http://evil.example")][..];
    let (nobody, reader) = (&[][..], &[("authorization", READ)][..]);
    let wrong = &[("authorization", "Bearer nobodys-nobodys-nobodys")][..];
    let strangers =
        [(&open, rebound), (&open, page), (&closed, nobody), (&closed, wrong), (&closed, rebound)];
    for (gateway, headers) in strangers {
        let detail = ask(gateway, "GET", "/readyz", headers).await.problem(503, "not-ready").await;
        assert_eq!(detail, "a list is missing", "{headers:?}");
    }
    for (gateway, headers) in [(&open, nobody), (&closed, reader)] {
        let detail = ask(gateway, "GET", "/readyz", headers).await.problem(503, "not-ready").await;
        assert_eq!(detail, "there is no list yet of: secret");
    }

    zk.set_reachable(true);
    for gateway in [&open, &closed] {
        gateway.becomes("/readyz", |answer| answer["status"] == "ready").await;
    }
    for (gateway, headers) in strangers {
        let told = ask(gateway, "GET", "/readyz", headers).await.is(200).await;
        assert_eq!(told, json!({"status": "ready"}), "{headers:?}");
    }
    for (gateway, headers) in [(&open, nobody), (&closed, reader)] {
        let told = ask(gateway, "GET", "/readyz", headers).await.is(200).await;
        assert_eq!(told, json!({"status": "ready", "services": [{"name": "secret", "source": "live"}]}));
    }
}

const PAGE: (&str, &str) = ("origin", "https://console.example");

/// A browser asks first, without a token, what it may send.
#[tokio::test(start_paused = true)]
async fn a_browser_is_told_that_a_page_of_a_named_origin_may_write() {
    let zk = FakeZk::default();
    let gateway = guarded(&zk);
    let asks = [
        PAGE,
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "authorization,content-type"),
    ];
    let answer = ask(&gateway, "OPTIONS", A, &asks).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), "https://console.example");
    let allowed = |name| {
        let mut all: Vec<_> = answer.header(name).split(',').map(str::to_ascii_lowercase).collect();
        all.sort();
        all.join(" ")
    };
    assert_eq!(allowed("access-control-allow-methods"), "delete get head patch post put");
    assert_eq!(
        allowed("access-control-allow-headers"),
        "authorization content-type if-none-match last-event-id"
    );
    assert!(allowed("vary").contains("origin"));
    assert!(answer.headers.get("access-control-allow-credentials").is_none());
    // That it may ask is no token.
    ask(&gateway, "PUT", A, &[PAGE]).await.problem(401, "no-token").await;
    ask(&gateway, "PUT", A, &[PAGE, ("authorization", WRITE)]).await.is(201).await;
}

#[tokio::test(start_paused = true)]
async fn a_page_of_a_named_origin_reads_what_is_answered_also_that_it_was_refused() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    let gateway = guarded(&zk);
    let read = ("authorization", READ);
    for (path, headers, status) in [
        ("/v1/services/time", &[PAGE, read][..], 200),
        ("/v1/services/time/watch", &[PAGE, read], 200),
        ("/v1/services/time", &[PAGE], 401),
        ("/nothing", &[PAGE, read], 404),
    ] {
        let answer = ask(&gateway, "GET", path, headers).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "https://console.example", "{path}");
        let exposed = answer.header("access-control-expose-headers");
        assert!(["etag", "location", "retry-after"].iter().all(|it| exposed.contains(it)), "{exposed}");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_else_is_told_that_he_may_ask() {
    let zk = FakeZk::default();
    let named = guarded(&zk);
    let none = Gateway::start(&zk);
    for gateway in [&named, &none] {
        for origin in
            ["https://evil.example", "http://console.example", "null", "https://console.example.evil"]
        {
            let headers =
                [("origin", origin), ("access-control-request-method", "PUT"), ("authorization", READ)];
            for method in ["OPTIONS", "GET"] {
                let answer = ask(gateway, method, A, &headers).await;
                assert!(answer.headers.get("access-control-allow-origin").is_none(), "{method} {origin}");
            }
        }
    }
    let asks = [PAGE, ("access-control-request-method", "PUT")];
    ask(&none, "OPTIONS", A, &asks).await.problem(403, "foreign-origin").await;
}

/// Only a browser that asks for a page of a named origin what it may is answered before the guard.
#[tokio::test(start_paused = true)]
async fn who_asks_for_methods_without_a_page_of_a_named_origin_is_judged_as_everybody() {
    let gateway = guarded(&FakeZk::default());
    let read = ("authorization", READ);
    let asks = ("access-control-request-method", "PUT");
    let evil = ("origin", "https://evil.example");
    for (headers, status, kind) in [
        (&[][..], 401, "no-token"),
        (&[asks], 401, "no-token"),
        (&[evil, asks, read], 403, "foreign-origin"),
        (&[evil, PAGE, asks, read], 403, "foreign-origin"),
        (&[PAGE, evil, asks, read], 403, "foreign-origin"),
        (&[("host", "evil.example"), read], 403, "foreign-host"),
        (&[read], 405, "method-not-allowed"),
        // A page that asks for nothing that it would send is answered by the handler.
        (&[PAGE], 401, "no-token"),
        (&[PAGE, read], 405, "method-not-allowed"),
    ] {
        let answer = ask(&gateway, "OPTIONS", A, headers).await;
        assert!(answer.headers.get("access-control-allow-methods").is_none(), "{headers:?}");
        if status == 405 {
            assert_eq!(answer.header("allow"), "GET,HEAD,PUT,PATCH,DELETE", "{headers:?}");
        }
        answer.problem(status, kind).await;
    }
    // What is refused counts, as all that is asked.
    let answer = ask(&gateway, "GET", "/metrics", &[read]).await;
    let text = String::from_utf8(answer.bytes().await).unwrap();
    assert!(
        text.contains("{method=\"other\",path=\"/v1/services/{service}/instances/{id}\",status=\"405\"} 2"),
        "{text}"
    );
}
