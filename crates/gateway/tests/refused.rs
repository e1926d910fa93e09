//! What is refused, on raw sockets: what the server refuses by itself, and what the proxy does.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod proxying;

use gateway::proxy::Outcome;

use self::proxying::{Gateway, mirror};

/// The status of the last answer, and how many there were.
async fn asked(gateway: &Gateway, request: &str) -> (u16, usize) {
    let answer = gateway.raw(request).await;
    let statuses: Vec<u16> =
        answer.split("HTTP/1.").skip(1).map(|answer| answer[2..5].parse().unwrap()).collect();
    (statuses.last().copied().unwrap_or(0), statuses.len())
}

#[tokio::test]
async fn what_two_could_understand_in_two_ways_is_refused() {
    let gateway = Gateway::before(&[mirror().await], "").await;
    let cases = [
        (
            "two lengths",
            400,
            "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        ),
        (
            "the same length twice",
            400,
            "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello",
        ),
        ("a list of lengths", 400, "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 5, 5\r\n\r\nhello"),
        ("a signed length", 400, "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: +5\r\n\r\nhello"),
        ("no length at all", 400, "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: \r\n\r\nhello"),
        ("a length that is none", 400, "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 0x5\r\n\r\nhello"),
        (
            "a length and an encoding",
            400,
            "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "an encoding and a length",
            400,
            "POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        ),
        (
            "an encoding that does not end",
            400,
            "POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: gzip\r\n\r\n",
        ),
        (
            "an encoding that would be lost",
            501,
            "POST / HTTP/1.1\r\nhost: t\r\nconnection: close\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "an encoding twice",
            501,
            "POST / HTTP/1.1\r\nhost: t\r\nconnection: close\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "an encoding that nobody can read",
            501,
            "POST / HTTP/1.1\r\nhost: t\r\nconnection: close\r\ntransfer-encoding: \u{fc}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        ("an encoding in 1.0", 400, "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        (
            "a space before a colon",
            400,
            "POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        ),
        ("a header over two lines", 400, "GET / HTTP/1.1\r\nhost: t\r\nx: a\r\n b\r\n\r\n"),
        ("a zero in a header", 400, "GET / HTTP/1.1\r\nhost: t\r\nx: a\0b\r\n\r\n"),
        ("a lone return in a header", 400, "GET / HTTP/1.1\r\nhost: t\r\nx: a\rb\r\n\r\n"),
        ("no host", 400, "GET / HTTP/1.1\r\nconnection: close\r\n\r\n"),
        ("two hosts", 400, "GET / HTTP/1.1\r\nhost: t\r\nhost: u\r\nconnection: close\r\n\r\n"),
        ("an empty host", 400, "GET / HTTP/1.1\r\nhost:\r\nconnection: close\r\n\r\n"),
        ("a path as host", 400, "GET / HTTP/1.1\r\nhost: t/u\r\nconnection: close\r\n\r\n"),
        ("somebody at a host", 400, "GET / HTTP/1.1\r\nhost: me@t\r\nconnection: close\r\n\r\n"),
        ("a quote in a host", 400, "GET / HTTP/1.1\r\nhost: t\";x=\"\r\nconnection: close\r\n\r\n"),
        ("another host in the target", 400, "GET http://u/ HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n"),
        ("no version", 400, "GET /\r\n\r\n"),
        ("a version of its own", 400, "GET / HTTP/3.7\r\nhost: t\r\n\r\n"),
        ("connect", 405, "CONNECT t:80 HTTP/1.1\r\nhost: t:80\r\nconnection: close\r\n\r\n"),
        ("trace", 405, "TRACE / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n"),
        (
            "what may go no further",
            405,
            "OPTIONS / HTTP/1.1\r\nhost: t\r\nmax-forwards: 0\r\nconnection: close\r\n\r\n",
        ),
        ("no path", 400, "OPTIONS * HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n"),
        (
            "what goes in a circle",
            508,
            "GET / HTTP/1.1\r\nhost: t\r\nvia: 1.1 headkeeper, 1.1 headkeeper, 1.1 headkeeper, 1.1 headkeeper\r\nvia: 1.1 headkeeper, 1.1 headkeeper, 1.1 headkeeper, 1.1 headkeeper\r\nconnection: close\r\n\r\n",
        ),
    ];
    for (what, status, request) in cases {
        assert_eq!(asked(&gateway, request).await, (status, 1), "{what}");
    }
    assert_eq!(gateway.ended(Outcome::Good), 0);
}

#[tokio::test]
async fn what_means_one_thing_is_not_refused() {
    let gateway = Gateway::before(&[mirror().await], "").await;
    for (what, request) in [
        ("a whole target", "GET http://t/ HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n"),
        (
            "capitals",
            "POST / HTTP/1.1\r\nHOST: T\r\nCONNECTION: CLOSE\r\nTRANSFER-ENCODING: CHUNKED\r\n\r\n0\r\n\r\n",
        ),
        ("a port", "GET / HTTP/1.1\r\nhost: [::1]:8080\r\nconnection: close\r\n\r\n"),
    ] {
        assert_eq!(asked(&gateway, request).await, (200, 1), "{what}");
    }
}

#[tokio::test]
async fn no_path_leads_around_a_rule() {
    let rules = "[[rule]]\npath = \"/open\"\nservice = \"s\"";
    let gateway = Gateway::with(&[mirror().await], rules).await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n");
    for path in [
        "/open/../secret",
        "/open/%2e%2e/secret",
        "/open/.%2E/secret",
        "/open/..;/secret",
        "/open/..%2fsecret",
        "/open%2f..%2fsecret",
        "/open/..%5csecret",
        "/open\\..\\secret",
        "//open",
        "/open//x",
        "/;x/open",
        "/open/%3b/x",
        "/%2e/open",
        "/open/%00",
        "/open/%",
        "/open/\u{fc}",
        "/./open",
    ] {
        assert_eq!(asked(&gateway, &get(path)).await, (400, 1), "{path}");
    }
    for path in ["/secret", "/opensecret", "/open%20secret", "/%2523"] {
        assert_eq!(asked(&gateway, &get(path)).await, (404, 1), "{path}");
    }
    for path in ["/%6fpen/x", "/open;x/y", "/open/%FF"] {
        assert_eq!(asked(&gateway, &get(path)).await, (200, 1), "{path}");
    }
    assert_eq!(gateway.ended(Outcome::Good), 3);
}

#[tokio::test]
async fn why_something_is_refused_is_told_as_a_problem() {
    let gateway = Gateway::before(&[mirror().await], "").await;
    let answer = gateway.raw("GET /a/../b HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("\r\ncontent-type: application/problem+json\r\n"), "{head}");
    let problem: serde_json::Value = serde_json::from_str(body).unwrap();
    let expected = serde_json::json!({
        "type": "urn:headkeeper:problem:proxy-refused", "title": "Bad Request", "status": 400, "detail": "the path has a segment \".\" or \"..\"",
    });
    assert_eq!(problem, expected);
}

#[tokio::test]
async fn who_asks_for_what_is_not_done_is_told_what_is() {
    let gateway = Gateway::before(&[mirror().await], "").await;
    for request in [
        "CONNECT t:80 HTTP/1.1\r\nhost: t:80\r\nconnection: close\r\n\r\n",
        "TRACE / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n",
    ] {
        let answer = gateway.raw(request).await;
        let allow = "\r\nallow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n";
        assert!(answer.contains(allow), "{answer}");
    }
}
