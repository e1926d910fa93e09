//! What goes through the proxy, and how it looks on the other side.

mod proxying;

use bytes::Bytes;
use gateway::proxy::Outcome;
use http_body_util::Full;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;

use self::proxying::{Gateway, get, head, mirror, raw_service, service, soon, text};

#[tokio::test]
async fn a_request_arrives_with_what_is_meant_for_the_instance_and_who_sent_it() {
    let gateway = Gateway::before(&[mirror().await], "").await;
    let request = Request::post("/a/b?c=d%20e&&f")
        .header("host", "shop.example")
        .header("connection", "keep-alive, x-for-you")
        .header("keep-alive", "timeout=5")
        .header("x-for-you", "secret")
        .header("te", "trailers, gzip")
        .header("upgrade", "h2c")
        .header("proxy-authorization", "Basic x")
        .header("x-forwarded-for", "6.6.6.6")
        .header("forwarded", "for=6.6.6.6")
        .header("via", "1.0 fred")
        .header("x-kept", "yes")
        .body(Full::<Bytes>::from("hello"))
        .unwrap();
    let response = gateway.ask(request).await;
    assert_eq!(response.headers()["via"], "1.1 headkeeper");
    assert_eq!(
        text(response).await,
        "POST /a/b?c=d%20e&&f\n\
         connection: te\n\
         content-length: 5\n\
         forwarded: for=127.0.0.1;host=\"shop.example\";proto=http\n\
         host: shop.example\n\
         te: trailers\n\
         via: 1.0 fred, 1.1 headkeeper\n\
         x-forwarded-for: 127.0.0.1\n\
         x-forwarded-host: shop.example\n\
         x-forwarded-proto: http\n\
         x-kept: yes\n\
         \n\
         hello"
    );
    assert_eq!(gateway.ended(Outcome::Good), 1);
}

#[tokio::test]
async fn what_an_instance_has_to_know_is_not_taken_away_by_naming_it() {
    let gateway = Gateway::before(&[mirror().await], "").await;
    let request = "POST / HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 2\r\nx-mine: 1\r\n\
                   connection: close, host, content-length, x-forwarded-for, x-mine\r\n\r\nok";
    let seen = gateway.raw(request).await;
    for line in ["host: shop.example", "content-length: 2", "x-forwarded-for: 127.0.0.1"] {
        assert!(seen.contains(&format!("\n{line}\n")), "{seen}");
    }
    assert!(!seen.contains("x-mine") && seen.ends_with("\n\nok"), "{seen}");
}

#[tokio::test]
async fn an_answer_comes_without_what_was_meant_for_the_proxy() {
    let odd = service(|_| async {
        Response::builder()
            .status(418)
            .header("connection", "x-hop")
            .header("x-hop", "1")
            .header("keep-alive", "timeout=5")
            .header("upgrade", "h2c")
            .header("x-kept", "yes")
            .body(Full::<Bytes>::from("short and stout"))
            .unwrap()
    });
    let gateway = Gateway::before(&[odd.await], "").await;
    let response = gateway.ask(get("/")).await;
    assert_eq!(response.status(), 418);
    let headers = response.headers().clone();
    assert!(
        !headers.contains_key("x-hop")
            && !headers.contains_key("keep-alive")
            && !headers.contains_key("upgrade")
    );
    assert_eq!(headers["x-kept"], "yes");
    assert_eq!(headers["content-length"], "15");
    assert_eq!(text(response).await, "short and stout");
    assert_eq!(gateway.ended(Outcome::ClientError), 1);
}

#[tokio::test]
async fn a_path_is_sent_as_it_was_matched() {
    let rules = r#"
        [[rule]]
        path = "/shop/ü"
        service = "s"
        strip_prefix = true

        [[rule]]
        path = "/"
        service = "s"
    "#;
    let gateway = Gateway::with(&[mirror().await], rules).await;
    for (asked, sent) in [
        ("/shop/%c3%bc/a%2bb?x=%2e", "/a%2Bb?x=%2e"),
        ("/shop/%c3%bc", "/"),
        ("/shop/%c3%bc?", "/?"),
        ("/%73hop/x", "/shop/x"),
        ("/a?b=//../c", "/a?b=//../c"),
    ] {
        let (status, seen) = gateway.get(asked).await;
        assert_eq!(status, 200);
        assert_eq!(seen.lines().next().unwrap(), format!("GET {sent}"), "{asked}");
    }
}

#[tokio::test]
async fn connections_to_instances_are_kept() {
    let opened = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = opened.clone();
    let counts = raw_service(move |mut stream| {
        counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        async move {
            loop {
                head(&mut stream).await;
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            }
        }
    });
    let gateway = Gateway::before(&[counts.await], "").await;
    for _ in 0..5 {
        assert_eq!(gateway.get("/").await, (200, "ok".to_owned()));
    }
    assert_eq!(opened.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert_eq!(gateway.proxy.served()[0].idle_connections, 1);
}

#[tokio::test]
async fn http2_without_encryption_comes_in_and_goes_on_as_http1() {
    let gateway = Gateway::before(&[mirror().await], "").await;
    let io = TokioIo::new(gateway.connect().await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request = |path: &str| {
        // HTTP/2 may send cookies one by one.
        let put = Request::put(format!("http://shop.example{path}")).header("cookie", "a=1");
        put.header("cookie", "b=2").body(Full::from("hello")).unwrap()
    };
    let (one, other) = (sender.send_request(request("/a?b")), sender.clone().send_request(request("/c")));
    let (one, other) = soon(async { tokio::join!(one, other) }).await;
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one.headers()["via"], "1.1 headkeeper");
    let seen = text(one).await;
    assert!(seen.starts_with("PUT /a?b\n") && seen.ends_with("\n\nhello"), "{seen}");
    assert!(seen.contains("\nhost: shop.example\n") && seen.contains("\nvia: 2 headkeeper\n"), "{seen}");
    assert!(seen.contains("\ncookie: a=1; b=2\n"), "{seen}");
    assert!(text(other).await.starts_with("PUT /c\n"));
}

#[tokio::test]
async fn http_1_0_is_understood_on_both_sides() {
    let old = raw_service(|mut stream| async move {
        let head = head(&mut stream).await;
        assert!(head.contains("\r\nhost: 127.0.0.1:"), "{head}");
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nto the end").await.unwrap();
    });
    let gateway = Gateway::before(&[old.await], "").await;
    let answer = gateway.raw("GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("\r\n\r\nto the end"), "{answer}");
}

#[tokio::test]
async fn a_client_that_names_no_host_asks_each_instance_by_its_own() {
    let (asked, mut heads) = tokio::sync::mpsc::unbounded_channel();
    let breaks_off = raw_service(move |mut stream| {
        let asked = asked.clone();
        async move { asked.send(head(&mut stream).await).unwrap() }
    });
    let (breaks_off, there) = (breaks_off.await, mirror().await);
    let gateway = Gateway::before(&[breaks_off, there], "").await;
    // Of two requests one at least goes to the first instance before.
    for _ in 0..2 {
        let seen = gateway.raw("GET / HTTP/1.0\r\n\r\n").await;
        assert!(seen.contains(&format!("\nhost: {there}\n")), "{seen}");
        assert_eq!(seen.matches("\nhost: ").count(), 1, "{seen}");
    }
    let first = soon(heads.recv()).await.unwrap();
    assert!(first.contains(&format!("\r\nhost: {breaks_off}\r\n")), "{first}");
}

#[tokio::test]
async fn who_may_still_pass_on_what_asks_for_options_is_counted_down() {
    let gateway = Gateway::before(&[mirror().await], "").await;
    for (method, said, passed) in
        [("OPTIONS", "2", "1"), ("OPTIONS", "1", "0"), ("OPTIONS", "many", "many"), ("GET", "0", "0")]
    {
        let request = Request::builder().method(method).uri("/").header("host", "t");
        let request = request.header("max-forwards", said).body(Full::<Bytes>::default()).unwrap();
        let seen = text(gateway.ask(request).await).await;
        assert!(seen.contains(&format!("\nmax-forwards: {passed}\n")), "{method} {said}: {seen}");
    }
}

#[tokio::test]
async fn the_head_of_an_answer_has_the_length_that_its_body_would_have() {
    let gateway = Gateway::before(&[mirror().await], "").await;
    let request = Request::head("/").header("host", "t").body(Full::<Bytes>::default()).unwrap();
    let response = gateway.ask(request).await;
    assert_ne!(response.headers()["content-length"], "0");
    assert_eq!(text(response).await, "");
}

#[tokio::test]
async fn a_get_may_have_a_body_of_unknown_length() {
    let gateway = Gateway::before(&[mirror().await], "").await;
    let answer = gateway
        .raw("GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")
        .await;
    assert!(answer.contains("\n\nabc"), "{answer}");
}
