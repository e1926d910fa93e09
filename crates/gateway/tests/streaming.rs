//! Bodies on their way, and who waits for whom.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod proxying;

use bytes::Bytes;
use futures::SinkExt;
use futures::channel::mpsc;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::{HeaderMap, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use self::proxying::{Frozen, Gateway, get, head, raw_service, rests, service, soon};

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
    // All buffers on the way are full once nothing moves any more.
    rests(|| sent.load(std::sync::atomic::Ordering::Relaxed)).await;
    let sent = sent.load(std::sync::atomic::Ordering::Relaxed);
    assert!((1..100_000_000).contains(&sent), "{sent}");
    drop(response);
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let echo = service(|request| async move {
        let said = request.headers()["trailer"].clone();
        let collected = request.into_body().collect().await.unwrap();
        let trailers = collected.trailers().cloned().unwrap();
        assert!(!trailers.contains_key("x-forwarded-for"));
        let body = StreamBody::new(futures::stream::iter([
            Ok::<_, std::io::Error>(Frame::data(Bytes::from("ok"))),
            Ok(Frame::trailers(trailers)),
        ]));
        Response::builder().header("trailer", said).body(body).unwrap()
    });
    let gateway = Gateway::before(&[echo.await], "").await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "17".parse().unwrap());
    // What had to be said before says nothing now.
    trailers.insert("x-forwarded-for", "6.6.6.6".parse().unwrap());
    let body = StreamBody::new(futures::stream::iter([
        Ok::<_, std::io::Error>(Frame::data(Bytes::from("data"))),
        Ok(Frame::trailers(trailers)),
    ]));
    let request = Request::post("/")
        .header("host", "test")
        .header("te", "trailers")
        .header("trailer", "x-sum, x-forwarded-for")
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
    let frozen = Frozen::begin();
    let begun = tokio::time::Instant::now();
    client
        .write_all(b"PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(head(&mut client).await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"hello").await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 200 OK\r\n"));
    // Told by the instance, and not because it said nothing for a second: no time passed.
    assert_eq!(begun.elapsed(), std::time::Duration::ZERO);
    drop(frozen);
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

/// What comes until a chunked body has ended.
async fn whole_chunked(stream: &mut tokio::net::TcpStream) -> Vec<u8> {
    let mut body = Vec::new();
    while !body.ends_with(b"\r\n0\r\n\r\n") {
        if soon(stream.read_buf(&mut body)).await.unwrap() == 0 {
            break;
        }
    }
    body
}

#[tokio::test]
async fn an_instance_that_answers_early_on_another_try_gets_the_whole_body() {
    // More pieces than go out before anybody looks for an answer, and not more bytes than are held.
    const PIECES: usize = 60_000;
    let tries = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (told, mut bodies) = tokio::sync::mpsc::unbounded_channel();
    let instance = raw_service(move |mut stream| {
        let (tries, told) = (tries.clone(), told.clone());
        async move {
            head(&mut stream).await;
            if tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 {
                // The first one reads all, and breaks off.
                whole_chunked(&mut stream).await;
                return;
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n").await.unwrap();
            told.send(whole_chunked(&mut stream).await).unwrap();
            stream.write_all(b"ok").await.unwrap();
        }
    });
    let instance = instance.await;
    let gateway = Gateway::before(&[instance, instance], "").await;
    let mut client = gateway.connect().await;
    let request = "PUT / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n".to_owned()
        + &"1\r\nx\r\n".repeat(PIECES)
        + "0\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 200 "));
    let body = soon(bodies.recv()).await.unwrap();
    let pieces = body.iter().filter(|byte| **byte == b'x').count();
    assert_eq!((pieces, body.ends_with(b"\r\n0\r\n\r\n")), (PIECES, true));
    let mut answer = [0; 2];
    soon(client.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"ok");
    assert_eq!(gateway.proxy.served()[0].figures.retries(), 1);
}
