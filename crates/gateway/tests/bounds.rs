//! How large the body of a request may be, and how long it may take to come.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod proxying;

use std::time::Duration;

use gateway::proxy::Outcome;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use self::proxying::{Gateway, hangs, head, mirror, pass, post, raw_service, rests, soon};

/// More than all buffers between a client and an instance have room for.
const SIZE: usize = 64 * 1024 * 1024;

/// An instance that tells of each byte of a body, after it answered with this.
async fn takes(early: &'static str) -> (std::net::SocketAddr, UnboundedReceiver<u8>) {
    let (arrived, arrivals) = unbounded_channel();
    let instance = raw_service(move |mut stream| {
        let arrived = arrived.clone();
        async move {
            head(&mut stream).await;
            stream.write_all(early.as_bytes()).await.unwrap();
            while let Ok(byte) = stream.read_u8().await {
                arrived.send(byte).unwrap();
            }
        }
    });
    (instance.await, arrivals)
}

#[tokio::test]
async fn a_body_that_says_that_it_is_too_large_is_refused_before_anybody_is_asked() {
    let (hung, count) = hangs().await;
    let gateway = Gateway::before(&[hung], "max_body = \"4B\"").await;
    let answer = gateway.ask(post("/", "hello")).await;
    assert_eq!(answer.status(), 413);
    assert_eq!(count.load(std::sync::atomic::Ordering::Relaxed), 0);
    assert_eq!(gateway.ended(Outcome::Refused), 1);

    let gateway = Gateway::before(&[mirror().await], "max_body = \"5B\"").await;
    assert_eq!(gateway.ask(post("/", "hello")).await.status(), 200);
    let answer = gateway.ask(post("/", "hello!")).await;
    assert_eq!(answer.status(), 413);
    let problem = proxying::text(answer).await;
    assert!(problem.contains("\"the body of the request is larger than it may be\""), "{problem}");
}

#[tokio::test]
async fn a_body_that_turns_out_to_be_too_large_is_refused_and_the_instance_is_not_blamed() {
    let instance = mirror().await;
    let gateway = Gateway::before(&[instance, instance], "max_body = \"8B\"\n[ejection]\nfailures = 1").await;
    let chunked = |pieces| {
        let head = "POST / HTTP/1.1\r\nhost: t\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
        head.to_owned() + &"4\r\n1234\r\n".repeat(pieces) + "0\r\n\r\n"
    };
    assert!(gateway.raw(chunked(2)).await.starts_with("HTTP/1.1 200 "));
    let answer = gateway.raw(chunked(3)).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert_eq!((gateway.ended(Outcome::Refused), gateway.proxy.served()[0].ejected), (1, 0));
}

#[tokio::test]
async fn a_client_that_sends_a_byte_now_and_then_does_not_stay_for_ever() {
    let (takes, mut arrivals) = takes("").await;
    let limits =
        "request_timeout = \"10m\"\nanswer_timeout = \"1h\"\nidle_timeout = \"1h\"\n[ejection]\nfailures = 1";
    let gateway = Gateway::before(&[takes, takes], limits).await;
    let mut client = gateway.connect().await;
    client.write_all(b"POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 100\r\n\r\n").await.unwrap();
    for byte in b"hel" {
        client.write_all(&[*byte]).await.unwrap();
        assert_eq!(soon(arrivals.recv()).await, Some(*byte));
        pass(Duration::from_secs(4 * 60)).await;
    }
    let head = head(&mut client).await;
    assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
    assert_eq!((gateway.ended(Outcome::Left), gateway.proxy.served()[0].ejected), (1, 0));
}

#[tokio::test]
async fn nor_does_one_that_has_an_answer_already() {
    let (takes, mut arrivals) = takes("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n").await;
    let limits =
        "request_timeout = \"10m\"\nanswer_timeout = \"1h\"\nidle_timeout = \"1h\"\n[ejection]\nfailures = 1";
    let gateway = Gateway::before(&[takes, takes], limits).await;
    let mut client = gateway.connect().await;
    client.write_all(b"POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 100\r\n\r\n").await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 200 "));
    for byte in b"hel" {
        client.write_all(&[*byte]).await.unwrap();
        assert_eq!(soon(arrivals.recv()).await, Some(*byte));
        pass(Duration::from_secs(4 * 60)).await;
    }
    let mut rest = Vec::new();
    // Whether as an end or as a reset: it is over, without what was announced.
    let _ = soon(client.read_to_end(&mut rest)).await;
    assert_eq!(rest, b"");
    assert_eq!((gateway.ended(Outcome::Left), gateway.proxy.served()[0].ejected), (1, 0));
}

#[tokio::test]
async fn an_upload_that_waits_for_its_instance_is_not_late() {
    let (begin, begun) = tokio::sync::watch::channel(false);
    let instance = raw_service(move |mut stream| {
        let mut begun = begun.clone();
        async move {
            head(&mut stream).await;
            begun.wait_for(|begun| *begun).await.unwrap();
            let mut body = vec![0; SIZE];
            stream.read_exact(&mut body).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        }
    });
    let limits = "request_timeout = \"10m\"\nanswer_timeout = \"1h\"";
    let gateway = Gateway::before(&[instance.await], limits).await;
    let (mut answers, mut client) = gateway.connect().await.into_split();
    let (sent, sending) = tokio::sync::watch::channel(0);
    let upload = tokio::spawn(async move {
        let head =
            format!("POST / HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-length: {SIZE}\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        let piece = [b'x'; 64 * 1024];
        for all in 1..=SIZE / piece.len() {
            client.write_all(&piece).await.unwrap();
            sent.send_replace(all);
        }
        client
    });
    // Until everything between the two is full, so that the client waits and nobody waits for it.
    rests(|| *sending.borrow()).await;
    assert!(*sending.borrow() < SIZE / (64 * 1024), "the upload is too small to be held back");
    pass(Duration::from_secs(12 * 60)).await;
    begin.send_replace(true);
    let mut answer = String::new();
    soon(answers.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ok"), "{answer}");
    drop(soon(upload).await.unwrap());
}

#[tokio::test]
async fn a_client_that_falls_silent_in_the_middle_is_late_however_its_instance_was() {
    let (takes, mut arrivals) = takes("").await;
    let limits =
        "request_timeout = \"10m\"\nanswer_timeout = \"1h\"\nidle_timeout = \"1h\"\n[ejection]\nfailures = 1";
    let gateway = Gateway::before(&[takes, takes], limits).await;
    let mut client = gateway.connect().await;
    client.write_all(b"POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 100\r\n\r\nh").await.unwrap();
    assert_eq!(soon(arrivals.recv()).await, Some(b'h'));
    pass(Duration::from_secs(8 * 60)).await;
    assert_eq!(gateway.ended(Outcome::Left), 0);
    pass(Duration::from_secs(4 * 60)).await;
    let head = head(&mut client).await;
    assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
    assert_eq!((gateway.ended(Outcome::Left), gateway.proxy.served()[0].ejected), (1, 0));
}
