//! A gateway that says what a test tells it to, connection by connection.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

use std::time::Duration;

use registry::ServiceName;
use registry::http::{Builder, Gateways};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// No state is waited for longer than this.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Script {
    listener: TcpListener,
}

/// A connection with one request, which nobody has answered yet.
pub(crate) struct Connection {
    pub(crate) request: String,
    stream: TcpStream,
}

impl Script {
    pub(crate) async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }

    pub(crate) fn builder(&self) -> Builder {
        Gateways::builder(&self.address())
    }

    /// The next request.
    pub(crate) async fn next(&self) -> Connection {
        let next = async {
            let (stream, _) = self.listener.accept().await.unwrap();
            Connection::read(stream).await
        };
        timeout(LIMIT, next).await.expect("a request comes in time")
    }

    /// The next request of somebody who waits for nothing but time, and how much of that goes by. It is passed over, and not measured on this
    /// machine, which may be busy.
    pub(crate) async fn next_after(&self) -> (Connection, Duration) {
        tokio::time::pause();
        let begun = Instant::now();
        let accepted = self.listener.accept().await;
        let after = begun.elapsed();
        tokio::time::resume();
        let read = timeout(LIMIT, Connection::read(accepted.unwrap().0)).await;
        (read.expect("a request comes in time"), after)
    }

    /// Nobody asks for so long.
    pub(crate) async fn is_left_alone(&self, time: Duration) -> bool {
        timeout(time, self.listener.accept()).await.is_err()
    }
}

impl Connection {
    async fn read(mut stream: TcpStream) -> Self {
        let (mut bytes, mut piece) = (Vec::new(), [0; 4_096]);
        loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                    return Self { request: text, stream };
                }
            }
            let read = stream.read(&mut piece).await.unwrap();
            assert!(read > 0, "a whole request: {text}");
            bytes.extend_from_slice(&piece[..read]);
        }
    }

    /// A whole answer.
    pub(crate) async fn answer(mut self, status: &str, kind: &str, body: &str) {
        let length = body.len();
        let answer =
            format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}");
        self.write(&answer).await;
    }

    /// The beginning of a stream of events.
    pub(crate) async fn begin(&mut self, etag: &str) {
        let tag = if etag.is_empty() { String::new() } else { format!("etag: \"{etag}\"\r\n") };
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n";
        self.write(&format!("{head}{tag}\r\n")).await;
        self.say("retry: 1000\n\n").await;
    }

    /// Something on a stream.
    pub(crate) async fn say(&mut self, text: &str) {
        self.write(&format!("{:x}\r\n{text}\r\n", text.len())).await;
    }

    pub(crate) async fn event(&mut self, id: &str, data: &str) {
        self.say(&format!("id: {id}\ndata: {data}\n\n")).await;
    }

    /// The end of a stream, as a gateway ends it that is stopped.
    pub(crate) async fn end(mut self) {
        self.write("0\r\n\r\n").await;
    }

    /// Waits until the other end has closed.
    pub(crate) async fn closed(mut self) {
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _ = timeout(LIMIT, self.stream.read_to_end(&mut rest)).await.expect("it is closed in time");
    }

    async fn write(&mut self, text: &str) {
        // The other end may have had enough.
        let _ = self.stream.write_all(text.as_bytes()).await;
    }
}

pub(crate) fn time() -> ServiceName {
    ServiceName::parse("time").unwrap()
}

/// A service as a gateway tells it, with instances of these ports.
pub(crate) fn service(ports: &[u16]) -> String {
    let instance = |port| {
        format!(
            "{{\"id\":\"h:{port}\",\"server_ip\":\"h\",\"server_port\":{port},\"weight\":1,\"registered_at\":7,\"metadata\":{{}}}}"
        )
    };
    with_instances("live", &ports.iter().map(instance).collect::<Vec<_>>().join(","))
}

pub(crate) fn with_instances(source: &str, instances: &str) -> String {
    format!(
        "{{\"service\":\"time\",\"revision\":\"0123456789abcdef-1\",\"source\":\"{source}\",\"master\":null,\"master_source\":\"live\",\"instances\":[{instances}]}}"
    )
}

/// Waits for a state, and gives it.
pub(crate) async fn becomes<T: Clone>(rx: &mut watch::Receiver<T>, wished: impl FnMut(&T) -> bool) -> T {
    timeout(LIMIT, rx.wait_for(wished)).await.expect("it becomes so in time").unwrap().clone()
}
