//! Connections that are no longer HTTP.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod proxying;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gateway::proxy::Outcome;
use http_body_util::Full;
use hyper::{Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Mutex;
use tokio::sync::mpsc::unbounded_channel;

use self::proxying::{Gateway, head, pass, raw_service, service, soon};

const AGREES: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

/// A service that makes a tunnel of each connection, and repeats what it hears until the client has ended.
async fn repeats() -> std::net::SocketAddr {
    raw_service(|mut stream| async move {
        head(&mut stream).await;
        stream.write_all(AGREES).await.unwrap();
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await
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
async fn a_tunnel_keeps_the_stream_of_its_connection_and_what_that_holds_until_it_ends() {
    let gateway = Gateway::before(&[repeats().await], "").await;
    gateway.holds(0).await;
    let mut client = gateway.connect().await;
    client.write_all(UPGRADE).await.unwrap();
    head(&mut client).await;
    client.write_all(b"x").await.unwrap();
    assert_eq!(soon(client.read_u8()).await.unwrap(), b'x');
    // For the server the connection is over, and all the same it counts.
    gateway.holds(1).await;
    client.shutdown().await.unwrap();
    assert!(soon(client.read_u8()).await.is_err());
    gateway.holds(0).await;
}

#[tokio::test]
async fn tunnels_end_when_they_are_to() {
    let gateway = Gateway::before(&[repeats().await], "").await;
    let mut client = gateway.connect().await;
    client.write_all(UPGRADE).await.unwrap();
    head(&mut client).await;
    gateway.proxy.end_tunnels();
    let mut rest = Vec::new();
    soon(client.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.is_empty());
    gateway.holds(0).await;
}

#[tokio::test]
async fn a_tunnel_ends_once_nothing_came_through_it_for_too_long() {
    // What goes one way alone, either way, keeps it as well.
    for client_writes in [true, false] {
        let (arrived, mut arrivals) = unbounded_channel();
        let (write, written) = unbounded_channel::<u8>();
        let written = Arc::new(Mutex::new(written));
        let socket = raw_service(move |mut stream| {
            let (arrived, written) = (arrived.clone(), written.clone());
            async move {
                head(&mut stream).await;
                stream.write_all(AGREES).await.unwrap();
                let (mut read, mut write) = stream.split();
                let reads = async {
                    while let Ok(byte) = read.read_u8().await {
                        arrived.send(byte).unwrap();
                    }
                };
                let writes = async {
                    while let Some(byte) = written.lock().await.recv().await {
                        write.write_all(&[byte]).await.unwrap();
                    }
                };
                tokio::select! {
                    () = reads => {}
                    () = writes => {}
                }
            }
        });
        let gateway = Gateway::before(&[socket.await], "tunnel_timeout = \"1h\"").await;
        let mut client = gateway.connect().await;
        client.write_all(UPGRADE).await.unwrap();
        head(&mut client).await;
        // Far longer than it may rest, and never at once.
        for byte in 0..9 {
            if client_writes {
                client.write_all(&[byte]).await.unwrap();
                assert_eq!(soon(arrivals.recv()).await, Some(byte));
            } else {
                write.send(byte).unwrap();
                assert_eq!(soon(client.read_u8()).await.unwrap(), byte);
            }
            pass(Duration::from_secs(40 * 60)).await;
        }
        pass(Duration::from_secs(40 * 60)).await;
        assert!(soon(client.read_u8()).await.is_err());
        gateway.holds(0).await;
    }
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
