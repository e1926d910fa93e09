//! What goes through the proxy, and how it looks on the other side.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod proxying;

use bytes::Bytes;
use futures::SinkExt;
use futures::channel::mpsc;
use gateway::proxy::{Outcome, Rules};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use self::proxying::{
    Fixed, Gateway, get, head, instance, mirror, named, post, raw_service, service, soon, text,
};

type Piece = Result<Frame<Bytes>, std::io::Error>;
type Frames = mpsc::Sender<Piece>;

/// A body that a test sends piece by piece.
fn body() -> (Frames, StreamBody<mpsc::Receiver<Piece>>) {
    let (sender, receiver) = mpsc::channel(0);
    (sender, StreamBody::new(receiver))
}

async fn send(frames: &mut Frames, data: &'static str) {
    soon(frames.send(Ok(Frame::data(data.into())))).await.unwrap();
}

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
async fn bodies_stream_both_ways_at_the_same_time() {
    // Echoes piece by piece.
    let echo = service(|request| async { Response::new(request.into_body()) });
    let gateway = Gateway::before(&[echo.await], "").await;
    let (mut frames, body) = body();
    let request = Request::post("/").header("host", "test").body(body).unwrap();
    let asked = tokio::spawn(async move { (gateway.ask(request).await, gateway) });
    send(&mut frames, "first").await;
    let (response, _gateway) = soon(asked).await.unwrap();
    let mut body = response.into_body();
    for piece in ["first", "second", "third"] {
        if piece != "first" {
            send(&mut frames, piece).await;
        }
        let frame = soon(body.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), piece);
    }
    drop(frames);
    assert!(soon(body.frame()).await.is_none());
}

#[tokio::test]
async fn an_instance_is_held_back_by_a_client_that_does_not_read() {
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = sent.clone();
    let endless = raw_service(move |mut stream| {
        let counter = counter.clone();
        async move {
            head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").await.unwrap();
            while let Ok(written) = stream.write(&[0; 65_536]).await {
                counter.fetch_add(written, std::sync::atomic::Ordering::Relaxed);
            }
        }
    });
    let gateway = Gateway::before(&[endless.await], "").await;
    let response = gateway.ask(get("/")).await;
    // All buffers on the way are full once nothing moves for a while.
    let mut before = 0;
    loop {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let now = sent.load(std::sync::atomic::Ordering::Relaxed);
        if now == before {
            break;
        }
        before = now;
    }
    assert!((1..100_000_000).contains(&before), "{before}");
    drop(response);
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let echo = service(|request| async move {
        let said = request.headers()["trailer"].clone();
        let collected = request.into_body().collect().await.unwrap();
        let trailers = collected.trailers().cloned().unwrap();
        let body = StreamBody::new(futures::stream::iter([
            Ok::<_, std::io::Error>(Frame::data(Bytes::from("ok"))),
            Ok(Frame::trailers(trailers)),
        ]));
        Response::builder().header("trailer", said).body(body).unwrap()
    });
    let gateway = Gateway::before(&[echo.await], "").await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "17".parse().unwrap());
    let body = StreamBody::new(futures::stream::iter([
        Ok::<_, std::io::Error>(Frame::data(Bytes::from("data"))),
        Ok(Frame::trailers(trailers)),
    ]));
    let request = Request::post("/")
        .header("host", "test")
        .header("te", "trailers")
        .header("trailer", "x-sum")
        .body(body);
    let response = gateway.ask(request.unwrap()).await;
    let collected = soon(response.into_body().collect()).await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-sum"], "17");
}

#[tokio::test]
async fn a_client_that_waits_to_be_told_sends_its_body_once_the_instance_wants_it() {
    let asks = raw_service(|mut stream| async move {
        let head = head(&mut stream).await;
        assert!(head.contains("expect: 100-continue\r\n"), "{head}");
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
        let mut body = [0; 5];
        soon(stream.read_exact(&mut body)).await.unwrap();
        assert_eq!(&body, b"hello");
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
    });
    let gateway = Gateway::before(&[asks.await], "").await;
    let mut client = gateway.connect().await;
    let begun = tokio::time::Instant::now();
    client
        .write_all(b"PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(head(&mut client).await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"hello").await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 200 OK\r\n"));
    // Told by the instance, and not because it said nothing for a second.
    assert!(begun.elapsed() < std::time::Duration::from_millis(900));
}

#[tokio::test]
async fn a_client_that_waits_to_be_told_is_told_when_the_instance_does_not_want_it() {
    let refuses = raw_service(|mut stream| async move {
        head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(rest.is_empty());
    });
    let gateway = Gateway::before(&[refuses.await], "").await;
    let mut client = gateway.connect().await;
    client
        .write_all(b"PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n")
        .await
        .unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 413 "));
}

#[tokio::test]
async fn an_instance_that_does_not_know_of_asking_gets_the_body_after_a_while() {
    let ignores = raw_service(|mut stream| async move {
        head(&mut stream).await;
        let mut body = [0; 5];
        soon(stream.read_exact(&mut body)).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
    });
    let gateway = Gateway::before(&[ignores.await], "").await;
    let mut client = gateway.connect().await;
    client
        .write_all(b"PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(head(&mut client).await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"hello").await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 200 OK\r\n"));
}

const UPGRADE: &[u8] =
    b"GET /chat HTTP/1.1\r\nhost: t\r\nconnection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\n\
                         sec-websocket-key: x\r\n\r\n";

#[tokio::test]
async fn a_websocket_goes_through_and_each_way_ends_in_its_own_time() {
    let socket = raw_service(|mut stream| async move {
        let head = head(&mut stream).await;
        assert!(
            head.contains("connection: upgrade\r\n") && head.contains("upgrade: websocket\r\n"),
            "{head}"
        );
        assert!(head.contains("sec-websocket-key: x\r\n"));
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                       sec-websocket-accept: y\r\n\r\nearly";
        stream.write_all(answer).await.unwrap();
        let mut heard = Vec::new();
        soon(stream.read_to_end(&mut heard)).await.unwrap();
        // The client has ended, and still hears.
        stream.write_all(&heard).await.unwrap();
    });
    let gateway = Gateway::before(&[socket.await], "").await;
    let mut client = gateway.connect().await;
    client.write_all(UPGRADE).await.unwrap();
    let head = head(&mut client).await.to_lowercase();
    assert!(head.starts_with("http/1.1 101 ") && head.contains("\r\nupgrade: websocket\r\n"), "{head}");
    assert!(head.contains("\r\nsec-websocket-accept: y\r\n"), "{head}");
    client.write_all(b"hello").await.unwrap();
    client.shutdown().await.unwrap();
    let mut heard = String::new();
    soon(client.read_to_string(&mut heard)).await.unwrap();
    assert_eq!(heard, "earlyhello");
    assert_eq!(gateway.ended(Outcome::Upgraded), 1);
}

#[tokio::test]
async fn tunnels_end_when_they_are_to() {
    let socket = raw_service(|mut stream| async move {
        head(&mut stream).await;
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        let _ = stream.read_u8().await;
    });
    let gateway = Gateway::before(&[socket.await], "").await;
    let mut client = gateway.connect().await;
    client.write_all(UPGRADE).await.unwrap();
    head(&mut client).await;
    gateway.proxy.end_tunnels();
    let mut rest = Vec::new();
    soon(client.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn an_instance_may_decline_to_upgrade() {
    let declines = service(|request| async move {
        assert!(request.headers().contains_key("upgrade"));
        Response::builder().status(StatusCode::FORBIDDEN).body(Full::<Bytes>::from("no")).unwrap()
    });
    let gateway = Gateway::before(&[declines.await], "").await;
    let mut client = gateway.connect().await;
    client.write_all(UPGRADE).await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 403 "));
}

#[tokio::test]
async fn nobody_upgrades_a_connection_that_was_not_asked_to() {
    let pushes = raw_service(|mut stream| async move {
        head(&mut stream).await;
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        let _ = stream.read_u8().await;
    });
    let gateway = Gateway::before(&[pushes.await], "").await;
    assert_eq!(gateway.get("/").await.0, 502);
}

#[tokio::test]
async fn http2_without_encryption_comes_in_and_goes_on_as_http1() {
    let gateway = Gateway::before(&[mirror().await], "").await;
    let io = TokioIo::new(gateway.connect().await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request =
        |path: &str| Request::put(format!("http://shop.example{path}")).body(Full::from("hello")).unwrap();
    let (one, other) = (sender.send_request(request("/a?b")), sender.clone().send_request(request("/c")));
    let (one, other) = soon(async { tokio::join!(one, other) }).await;
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one.headers()["via"], "1.1 headkeeper");
    let seen = text(one).await;
    assert!(seen.starts_with("PUT /a?b\n") && seen.ends_with("\n\nhello"), "{seen}");
    assert!(seen.contains("\nhost: shop.example\n") && seen.contains("\nvia: 2 headkeeper\n"), "{seen}");
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

#[tokio::test]
async fn the_same_key_goes_to_the_same_instance_whatever_it_is_made_of() {
    let (a, b, c, d) = (named("a").await, named("b").await, named("c").await, named("d").await);
    let rule = |hash: &str| format!("[[rule]]\npath = \"/\"\nservice = \"s\"\n{hash}\n");
    let gateway = Gateway::with(&[a, b, c, d], &rule("algorithm = \"url-hash\"")).await;
    let asked = |path: String, user: usize| {
        let request = Request::get(path).header("host", "t").header("x-user", format!("u{user}"));
        request.header("cookie", format!("a=b; session=s{user}")).body(Full::<Bytes>::default()).unwrap()
    };
    // By what they are hashed: how many places 24 different ones get, and whether one and the same stays.
    for (hash, by_path, by_user) in [
        ("algorithm = \"url-hash\"", true, false),
        ("algorithm = \"hash\"\nhash = \"path\"", true, false),
        ("algorithm = \"ip-hash\"", false, false),
        ("algorithm = \"hash\"\nhash = \"client\"", false, false),
        ("algorithm = \"hash\"\nhash = \"header:X-User\"", false, true),
        ("algorithm = \"hash\"\nhash = \"cookie:session\"", false, true),
    ] {
        gateway.proxy.reload(&rule(hash)).unwrap();
        let (mut paths, mut users) = (std::collections::HashSet::new(), std::collections::HashSet::new());
        for number in 0..24 {
            paths.insert(text(gateway.ask(asked(format!("/{number}"), 0)).await).await);
            users.insert(text(gateway.ask(asked("/same".to_owned(), number)).await).await);
        }
        assert_eq!((paths.len() > 1, users.len() > 1), (by_path, by_user), "{hash}");
    }
}

#[tokio::test]
async fn other_rules_take_over_and_wrong_ones_do_not() {
    let lists = Fixed::default();
    lists.list("one", [instance("a", named("one").await)]);
    lists.list("two", [instance("a", named("two").await)]);
    let gateway = Gateway::over(lists, "[[rule]]\npath = \"/\"\nservice = \"one\"").await;
    assert_eq!(gateway.get("/").await.1, "one");

    let wrong =
        gateway.proxy.reload("[[rule]]\npath = \"/\"\nservice = \"two\"\ntries = \"many\"").unwrap_err();
    assert!(wrong.to_string().starts_with("line 4, tries: "), "{wrong}");
    assert_eq!(gateway.get("/").await.1, "one");

    gateway
        .proxy
        .reload("[[rule]]\npath = \"/x\"\nservice = \"one\"\n[[rule]]\npath = \"/\"\nservice = \"two\"")
        .unwrap();
    assert_eq!(gateway.get("/").await.1, "two");
    assert_eq!(gateway.get("/x").await.1, "one");
    // What both have in common was kept.
    assert_eq!(gateway.ended(Outcome::Good), 3);

    gateway.proxy.replace(Rules::default());
    assert_eq!(gateway.get("/").await.0, 404);
    assert_eq!(gateway.proxy.unmatched().ended(Outcome::NoRule), 1);
}

#[tokio::test]
async fn turns_go_on_under_other_rules() {
    let addresses = [named("a").await, named("b").await, named("c").await, named("d").await];
    let gateway = Gateway::before(&addresses, "").await;
    let mut turns = String::new();
    for number in 1..=8 {
        turns += &gateway.get("/").await.1;
        gateway.proxy.reload(&format!("[[rule]]\npath = \"/\"\nservice = \"s\"\ntries = {number}")).unwrap();
    }
    assert!("abcdabcdabcd".contains(&turns), "{turns}");
}

#[tokio::test]
async fn the_master_gets_what_is_for_the_master() {
    let gateway =
        Gateway::with(&[named("a").await], "[[rule]]\npath = \"/\"\nservice = \"s\"\nto = \"master\"").await;
    let (status, problem) = gateway.get("/").await;
    assert_eq!(status, 503);
    assert!(problem.contains("nobody is known to be its master"), "{problem}");
    gateway.lists.master("s", Some(instance("m", named("m").await)));
    assert_eq!(gateway.get("/").await, (200, "m".to_owned()));
    gateway.lists.master("s", Some(instance("n", named("n").await)));
    assert_eq!(gateway.get("/").await, (200, "n".to_owned()));
    let post = gateway.ask(post("/", "x")).await;
    assert_eq!(text(post).await, "n");
}
