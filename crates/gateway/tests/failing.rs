//! Instances that fail: what is tried again, and what a client is told.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod proxying;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use gateway::proxy::Outcome;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response};
use rustix::net::sockopt;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use self::proxying::{
    Fixed, Frozen, Gateway, counted, get, hangs, head, instance, mirror, named, nobody, pass, post,
    raw_service, soon, text,
};

/// One that breaks off without an answer.
async fn breaks_off() -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    counted(|stream| async move { drop(stream) }).await
}

/// What the client is told, and whether it is told when to come again.
async fn problem(response: Response<hyper::body::Incoming>) -> (u16, Option<String>, Value) {
    let retry = response.headers().get("retry-after").map(|it| it.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    (status, retry, serde_json::from_str(&text(response).await).unwrap())
}

#[tokio::test]
async fn a_service_that_nobody_provides_is_told_to_be_asked_again() {
    let gateway = Gateway::start("[[rule]]\npath = \"/\"\nservice = \"s\"").await;
    let (status, retry, no_list) = problem(gateway.ask(get("/")).await).await;
    assert_eq!((status, retry.as_deref()), (503, Some("1")));
    assert_eq!(no_list["detail"], "s cannot answer: there is no list of its instances yet");

    gateway.lists.list("s", []);
    assert_eq!(gateway.until("\"s cannot answer: it has no instance\"").await, 503);

    let mut drained = instance("a", nobody().await);
    drained.data.weight = 0;
    let behind = loadbalance::NodeData::behind_broker("x");
    gateway.lists.list("s", [drained, loadbalance::Instance { id: "b".parse().unwrap(), data: behind }]);
    assert_eq!(gateway.until("\"s cannot answer: it has no instance that takes requests\"").await, 503);
    assert!(gateway.ended(Outcome::Nobody) >= 3);
}

#[tokio::test]
async fn what_was_not_sent_goes_to_another_instance_whatever_it_is() {
    let gateway = Gateway::before(&[nobody().await, nobody().await, mirror().await], "").await;
    for _ in 0..6 {
        let answer = text(gateway.ask(post("/", "hello")).await).await;
        assert!(answer.starts_with("POST / ") || answer.starts_with("POST /\n"), "{answer}");
        assert!(answer.ends_with("\n\nhello"), "{answer}");
    }
    assert!(gateway.proxy.served()[0].figures.retries() >= 2);
    assert_eq!(gateway.ended(Outcome::Good), 6);
}

#[tokio::test]
async fn nobody_who_can_be_reached_is_told_by_the_last_one_tried() {
    let gateway = Gateway::before(&[nobody().await, nobody().await], "").await;
    let (status, retry, problem) = problem(gateway.ask(get("/")).await).await;
    assert_eq!((status, retry), (502, None));
    assert_eq!(problem["detail"], "an instance of s cannot be reached");
    assert_eq!(gateway.ended(Outcome::Unreachable), 1);
}

#[tokio::test]
async fn a_client_is_told_which_service_failed_and_nothing_of_its_instances() {
    const UNCLEAR: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n";
    const UPGRADED: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n";
    let says = async |what: &'static str| {
        let says = counted(move |mut stream| async move {
            stream.write_all(what.as_bytes()).await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
        says.await.0
    };
    let hung = hangs().await.0;
    let mut told = Vec::new();
    for address in [
        nobody().await,
        breaks_off().await.0,
        says("SSH-2.0\r\n\r\n").await,
        says(UNCLEAR).await,
        says(UPGRADED).await,
        hung,
    ] {
        // Unless it is chosen an id is the address.
        let id = address.to_string();
        let limits = if address == hung { "answer_timeout = \"50ms\"" } else { "" };
        let lists = Fixed::default();
        lists.list("s", [instance(&id, address)]);
        let rule = format!("[[rule]]\npath = \"/\"\nservice = \"s\"\n{limits}");
        let gateway = Gateway::over(lists, &rule).await;
        let answer = gateway.ask(get("/")).await;
        let status = answer.status().as_u16();
        let head = format!("{:?}", answer.headers());
        let body = text(answer).await;
        for part in [&head, &body] {
            assert!(!part.contains(&id) && !part.contains(&address.port().to_string()), "{part}");
        }
        told.push((
            status,
            serde_json::from_str::<Value>(&body).unwrap()["detail"].as_str().unwrap().to_owned(),
        ));
    }
    let broken = (502, "an instance of s broke off before it answered".to_owned());
    assert_eq!(
        told,
        [
            (502, "an instance of s cannot be reached".to_owned()),
            broken.clone(),
            broken.clone(),
            (502, "the length of the answer of an instance of s is unclear".to_owned()),
            broken,
            (504, "an instance of s did not answer in time".to_owned()),
        ]
    );
}

/// An instance that answers with so many headers.
async fn with_headers(many: usize) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    counted(move |mut stream| async move {
        // The length is one of them.
        let more: String = (1..many).map(|number| format!("set-cookie: c{number}=1\r\n")).collect();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n{more}\r\nok");
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await
}

/// The status of the answer to this.
async fn status(gateway: &Gateway, line: &str) -> String {
    let answer = gateway.raw(format!("{line} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n")).await;
    answer["HTTP/1.1 ".len()..][..3].to_owned()
}

#[tokio::test]
async fn an_answer_has_256_headers_at_most_and_no_instance_is_out_for_one_that_has_more() {
    let rules = "[ejection]\nfailures = 1";
    let (most, _) = with_headers(256).await;
    let gateway = Gateway::before(&[most], rules).await;
    let answer = gateway.raw("GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ok"), "{answer}");
    assert_eq!(answer.matches("\r\nset-cookie: ").count(), 255);

    let (more, count) = with_headers(257).await;
    let gateway = Gateway::before(&[more, more], rules).await;
    for asked in 1..=3 {
        let (status, _, problem) = problem(gateway.ask(get("/")).await).await;
        let told =
            "the head of the answer of an instance of s is too large; accepted: 256 headers in 408 KiB";
        assert_eq!((status, problem["detail"].as_str()), (502, Some(told)));
        // Once more with room, and then that is known; who else is asked the same has as much to say.
        assert_eq!(count.load(Relaxed), asked + 1);
    }
    assert_eq!((gateway.proxy.served()[0].ejected, gateway.ended(Outcome::Broken)), (0, 3));
}

#[tokio::test]
async fn once_there_was_too_little_room_for_an_answer_there_is_enough_on_all_connections() {
    let both = Arc::new(tokio::sync::Barrier::new(2));
    let instance = proxying::service(move |request: Request<hyper::body::Incoming>| {
        let both = both.clone();
        async move {
            if request.uri().query() == Some("both") {
                both.wait().await;
            }
            let mut answer = Response::new(Full::<Bytes>::from("ok"));
            let more = if request.uri().path() == "/large" { 150 } else { 0 };
            for number in 0..more {
                answer.headers_mut().append("set-cookie", number.into());
            }
            answer
        }
    });
    let gateway = Gateway::before(&[instance.await], "").await;
    let twice = async |line| {
        let (one, other) = soon(async { tokio::join!(status(&gateway, line), status(&gateway, line)) }).await;
        (one.parse(), other.parse())
    };
    // Two connections are kept that have no such room.
    assert_eq!(twice("GET /?both").await, (Ok(200), Ok(200)));
    // It may have been done, and is not done again for the sake of its answer.
    assert_eq!(status(&gateway, "POST /large").await, "502");
    for _ in 0..2 {
        assert_eq!(twice("POST /large?both").await, (Ok(200), Ok(200)));
    }
}

#[tokio::test]
async fn what_may_be_done_twice_is_while_its_body_is_held() {
    let (broken, count) = breaks_off().await;
    let gateway = Gateway::before(&[broken, mirror().await], "").await;
    let put = |size: usize| {
        Request::put("/").header("host", "t").body(Full::<Bytes>::from(vec![b'x'; size])).unwrap()
    };
    for _ in 0..4 {
        assert_eq!(gateway.get("/").await.0, 200);
        let answer = text(gateway.ask(put(64 * 1024)).await).await;
        assert_eq!(answer.len() - answer.find("\n\n").unwrap() - 2, 64 * 1024);
    }
    assert!(count.load(Relaxed) >= 2);
    assert_eq!(gateway.ended(Outcome::Good), 8);
}

#[tokio::test]
async fn what_may_not_be_done_twice_or_is_no_longer_held_is_not_sent_again() {
    let (broken, count) = breaks_off().await;
    let settings = "[ejection]\nfailures = 1000";
    let gateway = Gateway::before(&[broken, mirror().await], settings).await;
    let mut failed = 0;
    for _ in 0..4 {
        let answer = gateway.ask(post("/", "hello")).await;
        failed += usize::from(answer.status() == 502);
        // Nor without a body.
        let answer = gateway.ask(post("/", "")).await;
        failed += usize::from(answer.status() == 502);
    }
    assert_eq!((failed, count.load(Relaxed)), (4, 4));
    let detail = loop {
        let (status, _, problem) = match gateway.ask(post("/", "hello")).await {
            answer if answer.status() == 502 => problem(answer).await,
            _ => continue,
        };
        assert_eq!(status, 502);
        break problem;
    };
    assert_eq!(detail["detail"], "an instance of s broke off before it answered");
    assert_eq!(gateway.ended(Outcome::Broken), 5);
    assert_eq!(gateway.proxy.served()[0].figures.retries(), 0);
}

#[tokio::test]
async fn a_large_body_is_not_held() {
    // Reads more than is held, and breaks off.
    let (broken, count) = counted(|mut stream| async move {
        let mut some = vec![0; 65 * 1024];
        let _ = stream.read_exact(&mut some).await;
    })
    .await;
    let gateway = Gateway::before(&[broken, broken], "").await;
    let body = Full::<Bytes>::from(vec![b'x'; 1 << 20]);
    let put = Request::put("/").header("host", "t").body(body).unwrap();
    assert_eq!(gateway.ask(put).await.status(), 502);
    assert_eq!(count.load(Relaxed), 1);
}

#[tokio::test]
async fn so_many_instances_are_tried_and_no_more() {
    let (broken, count) = breaks_off().await;
    let rule = "tries = 2\n[ejection]\nfailures = 1000";
    let gateway = Gateway::before(&[broken; 4], rule).await;
    assert_eq!(gateway.get("/").await.0, 502);
    assert_eq!(count.load(Relaxed), 2);
}

#[tokio::test]
async fn who_does_not_answer_in_time_is_late() {
    let (hung, count) = hangs().await;
    let gateway = Gateway::before(&[hung, hung], "answer_timeout = \"30s\"").await;
    let begun = Instant::now();
    let (answer, ()) = tokio::join!(gateway.ask(get("/")), async {
        soon(async {
            while count.load(Relaxed) == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        pass(Duration::from_secs(30)).await;
    });
    let (status, _, problem) = problem(answer).await;
    assert_eq!(status, 504);
    assert_eq!(problem["detail"], "an instance of s did not answer in time");
    assert!(begun.elapsed() >= Duration::from_secs(30));
    // The time is for all tries.
    assert_eq!(count.load(Relaxed), 1);
    assert_eq!(gateway.ended(Outcome::Late), 1);
}

#[tokio::test]
async fn an_upload_may_take_longer_than_an_answer() {
    let (arrived, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    let takes = raw_service(move |mut stream| {
        let arrived = arrived.clone();
        async move {
            head(&mut stream).await;
            for _ in b"hello" {
                arrived.send(stream.read_u8().await.unwrap()).unwrap();
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            let _ = stream.read_u8().await;
        }
    });
    let gateway = Gateway::before(&[takes.await], "answer_timeout = \"10m\"").await;
    let mut client = gateway.connect().await;
    client.write_all(b"POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\n\r\n").await.unwrap();
    for byte in b"hello" {
        client.write_all(&[*byte]).await.unwrap();
        assert_eq!(soon(arrivals.recv()).await, Some(*byte));
        pass(Duration::from_secs(4 * 60)).await;
    }
    assert!(head(&mut client).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn an_answer_that_stops_in_the_middle_breaks_off() {
    let (stops, _) = counted(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    })
    .await;
    let rule = "idle_timeout = \"200ms\"\n[ejection]\nfailures = 1";
    let gateway = Gateway::before(&[stops, stops], rule).await;
    let response = gateway.ask(get("/")).await;
    assert_eq!(response.status(), 200);
    assert!(soon(response.into_body().collect()).await.is_err());
    // It may have nothing to say.
    assert_eq!(gateway.proxy.served()[0].ejected, 0);
    assert_eq!((gateway.ended(Outcome::Late), gateway.ended(Outcome::Good)), (1, 0));
}

#[tokio::test]
async fn an_instance_that_breaks_off_in_the_middle_of_its_answer_has_failed() {
    let seen = Arc::new(tokio::sync::Notify::new());
    let waits = seen.clone();
    let (breaks, _) = counted(move |mut stream| {
        let waits = waits.clone();
        async move {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await.unwrap();
            waits.notified().await;
        }
    })
    .await;
    let gateway = Gateway::before(&[breaks, breaks], "[ejection]\nfailures = 1").await;
    let response = gateway.ask(get("/")).await;
    assert_eq!(response.status(), 200);
    seen.notify_one();
    assert!(soon(response.into_body().collect()).await.is_err());
    assert_eq!(gateway.proxy.served()[0].ejected, 1);
    assert_eq!((gateway.ended(Outcome::Broken), gateway.ended(Outcome::Good)), (1, 0));
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_its_answer_is_counted_as_one() {
    let (half, _) = counted(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    })
    .await;
    let gateway = Gateway::before(&[half, half], "[ejection]\nfailures = 1").await;
    let mut client = gateway.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: t\r\n\r\n").await.unwrap();
    head(&mut client).await;
    // It waits for its answer no more, and how that ends is not known yet.
    assert_eq!(gateway.proxy.served()[0].figures.in_flight(), 0);
    assert_eq!(Outcome::ALL.map(|outcome| gateway.ended(outcome)).iter().sum::<u64>(), 0);
    drop(client);
    soon(async {
        while gateway.ended(Outcome::Left) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!((gateway.ended(Outcome::Good), gateway.proxy.served()[0].ejected), (0, 0));
}

#[tokio::test]
async fn an_early_answer_may_be_silent_while_the_request_goes_on() {
    let (arrived, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    let takes = raw_service(move |mut stream| {
        let arrived = arrived.clone();
        async move {
            head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n").await.unwrap();
            for _ in b"hello" {
                arrived.send(stream.read_u8().await.unwrap()).unwrap();
            }
            stream.write_all(b"ok").await.unwrap();
        }
    });
    let gateway = Gateway::before(&[takes.await], "idle_timeout = \"10m\"").await;
    let mut client = gateway.connect().await;
    client.write_all(b"POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\n\r\n").await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 200 "));
    for byte in b"hello" {
        client.write_all(&[*byte]).await.unwrap();
        assert_eq!(soon(arrivals.recv()).await, Some(*byte));
        pass(Duration::from_secs(4 * 60)).await;
    }
    let mut answer = [0; 2];
    soon(client.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"ok");
}

#[tokio::test]
async fn what_is_no_http_is_a_failure_of_the_instance() {
    let (odd, _) = counted(|mut stream| async move {
        stream.write_all(b"SSH-2.0-OpenSSH\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    })
    .await;
    let gateway = Gateway::before(&[odd], "").await;
    let (status, _, problem) = problem(gateway.ask(get("/")).await).await;
    assert_eq!(
        (status, problem["detail"].as_str()),
        (502, Some("an instance of s broke off before it answered"))
    );
}

#[tokio::test]
async fn a_client_that_leaves_breaks_off_its_request() {
    let (ended, heard) = tokio::sync::oneshot::channel();
    let ended = Arc::new(std::sync::Mutex::new(Some(ended)));
    let waits = raw_service(move |mut stream| {
        let ended = ended.clone();
        async move {
            head(&mut stream).await;
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            let _ = ended.lock().unwrap().take().unwrap().send(());
        }
    });
    let gateway = Gateway::before(&[waits.await], "").await;
    let mut client = gateway.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: t\r\n\r\n").await.unwrap();
    soon(async {
        while gateway.proxy.served()[0].figures.in_flight() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(client);
    soon(heard).await.unwrap();
    soon(async {
        while gateway.ended(Outcome::Left) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(gateway.proxy.served()[0].ejected, 0);
}

#[tokio::test]
async fn another_list_is_used_and_an_instance_that_moved_is_found() {
    let gateway = Gateway::before(&[named("a").await], "").await;
    assert_eq!(gateway.get("/").await.1, "a");
    gateway.lists.list("s", [instance("a", named("moved").await)]);
    assert_eq!(gateway.until("moved").await, 200);
}

#[tokio::test]
async fn a_body_in_many_parts_is_held_in_one_piece() {
    let breaks_off = counted(|mut stream| async move {
        let mut body = Vec::new();
        while !body.ends_with(b"\r\n0\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut body).await.unwrap(), 0);
        }
    });
    let (broken, count) = breaks_off.await;
    let (told, mut bodies) = tokio::sync::mpsc::unbounded_channel();
    let takes = raw_service(move |mut stream| {
        let told = told.clone();
        async move {
            head(&mut stream).await;
            let mut body = Vec::new();
            while !body.ends_with(b"\r\n0\r\n\r\n") {
                assert_ne!(stream.read_buf(&mut body).await.unwrap(), 0);
            }
            told.send(String::from_utf8(body).unwrap()).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
    });
    let gateway = Gateway::before(&[broken, takes.await], "[ejection]\nfailures = 1000").await;
    let put = "PUT / HTTP/1.1\r\nhost: t\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
        .to_owned()
        + &"1\r\nx\r\n".repeat(30_000)
        + "0\r\n\r\n";
    // Whoever is first: at least one of two goes to the one that breaks off, and from there to the other.
    for _ in 0..2 {
        let answer = gateway.raw(&put).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    assert!(count.load(Relaxed) >= 1);
    let (one, other) = (soon(bodies.recv()).await.unwrap(), soon(bodies.recv()).await.unwrap());
    let chunks = |body: &str| body.matches("\r\n").count() / 2;
    // The other one may have come as its client sent it.
    let held = chunks(&one).min(chunks(&other));
    assert!(held <= 2, "{held} parts were held");
    for body in [one, other] {
        assert_eq!(body.matches('x').count(), 30_000);
    }
}

/// One that says this and breaks off, all in one packet.
async fn says_and_breaks_off(what: &'static str) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    counted(move |mut stream| async move {
        sockopt::set_tcp_cork(&stream, true).unwrap();
        stream.write_all(what.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    })
    .await
}

const NO_BODY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";

#[tokio::test]
async fn an_answer_that_breaks_off_with_its_head_is_told_as_one() {
    let (broken, _) = says_and_breaks_off(NO_BODY).await;
    let gateway = Gateway::before(&[broken, broken, broken], "[ejection]\nfailures = 1").await;
    let (status, _, problem) = problem(gateway.ask(post("/", "hello")).await).await;
    assert_eq!(status, 502);
    assert_eq!(problem["detail"], "an instance of s broke off before it answered");
    assert_eq!((gateway.ended(Outcome::Broken), gateway.proxy.served()[0].ejected), (1, 1));
}

#[tokio::test]
async fn and_is_asked_for_elsewhere_if_it_may_be() {
    let (broken, count) = says_and_breaks_off(NO_BODY).await;
    let gateway = Gateway::before(&[broken, mirror().await], "[ejection]\nfailures = 1000").await;
    for _ in 0..4 {
        assert_eq!(gateway.get("/").await.0, 200);
    }
    assert!(count.load(Relaxed) >= 2);
    assert_eq!(gateway.ended(Outcome::Good), 4);
}

#[tokio::test]
async fn what_came_of_an_answer_that_breaks_off_is_passed_on() {
    let (broken, _) = says_and_breaks_off("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel").await;
    let gateway = Gateway::before(&[broken], "").await;
    let answer = gateway.raw("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nhel"), "{answer}");
    assert_eq!(gateway.ended(Outcome::Broken), 1);
}

#[tokio::test]
async fn when_all_fail_only_a_share_of_the_requests_is_sent_once_more() {
    let (broken, count) = breaks_off().await;
    let rule = "[retries]\npercent = 20\nleast = 0\n[ejection]\nfailures = 1000";
    let gateway = Gateway::before(&[broken; 4], rule).await;
    // All at one moment: what is counted is counted of ten seconds.
    let frozen = Frozen::begin();
    for _ in 0..50 {
        let (status, _, problem) = problem(gateway.ask(get("/")).await).await;
        assert_eq!(status, 502, "{problem}");
    }
    let figures = gateway.proxy.served()[0].figures.clone();
    assert_eq!((figures.retries(), count.load(Relaxed)), (10, 60));
    // Each of the others would have been sent twice, once those were spent.
    assert!(figures.withheld_retries() >= 40, "{}", figures.withheld_retries());
    assert_eq!(figures.ended(Outcome::Broken), 50);
    // With other rules it is another number.
    gateway.proxy.reload("[[rule]]\npath = \"/\"\nservice = \"s\"\n[retries]\nleast = 1").unwrap();
    assert_eq!(gateway.get("/").await.0, 502);
    assert_eq!((figures.retries(), count.load(Relaxed)), (12, 63));
    drop(frozen);
}

#[tokio::test]
async fn what_reached_nobody_goes_elsewhere_however_often_that_is() {
    let rule = "tries = 4\n[retries]\npercent = 0\nleast = 0\n[ejection]\nfailures = 1000";
    let gateway =
        Gateway::before(&[nobody().await, nobody().await, nobody().await, named("d").await], rule).await;
    for _ in 0..20 {
        assert_eq!(gateway.get("/").await, (200, "d".to_owned()));
    }
    let figures = gateway.proxy.served()[0].figures.clone();
    assert!(figures.retries() >= 20);
    assert_eq!(figures.withheld_retries(), 0);
}
