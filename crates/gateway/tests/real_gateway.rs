//! The program as a person or a supervisor would run it, on a real ZooKeeper.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{sleep, timeout};
use zk_local::Server;
use zk_session::{Connect, ZooKeeper};

/// How long anything may take: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

struct Gateway {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    address: String,
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    command.args(arguments).env_remove("ZK_CONNECT").env_remove("RUST_LOG").kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

impl Gateway {
    async fn start(zk: &str, more: &[&str]) -> Self {
        let flags = ["--listen", "127.0.0.1:0", "--zk", zk, "--session-ms", "2000"];
        let mut child = command(&[&flags, more].concat()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
        let address = line.strip_prefix("listening on http://").unwrap().to_owned();
        Self { child, lines, address }
    }

    /// The status and the body of an answer.
    async fn call(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let answer = async {
            let mut stream = TcpStream::connect(&self.address).await.unwrap();
            let length = body.len();
            let head = format!(
                "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n",
                self.address
            );
            stream.write_all((head + body).as_bytes()).await.unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
        };
        timeout(PATIENCE, answer).await.unwrap()
    }

    async fn becomes(&self, path: &str, wished: impl Fn(u16, &Value) -> bool) -> Value {
        let reached = async {
            loop {
                let (status, body) = self.call("GET", path, "").await;
                if let Ok(json) = serde_json::from_str(&body)
                    && wished(status, &json)
                {
                    return json;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        match timeout(PATIENCE, reached).await {
            Ok(json) => json,
            Err(_) => panic!("waited in vain: {:?}", self.call("GET", path, "").await),
        }
    }

    /// Asks it to stop. Gives what it ended with and what it said.
    async fn stop(mut self, signal: Signal) -> (Option<i32>, Vec<String>) {
        let pid = Pid::from_raw(self.child.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        let ended = async {
            let mut said = Vec::new();
            while let Some(line) = self.lines.next_line().await.unwrap() {
                said.push(line);
            }
            (self.child.wait().await.unwrap().code(), said)
        };
        timeout(PATIENCE, ended).await.unwrap()
    }
}

#[tokio::test]
async fn it_serves_from_the_start_and_from_memory_and_ends_in_order() {
    let server = Server::start().await.unwrap();
    let gateway = Gateway::start(&server.connect_string(), &["--service", "time"]).await;
    gateway.becomes("/readyz", |status, _| status == 200).await;
    let empty = gateway.becomes("/v1/services/time", |status, _| status == 200).await;
    assert_eq!((&empty["source"], &empty["instances"]), (&"live".into(), &Value::Array(Vec::new())));
    assert_eq!(gateway.call("GET", "/v1/services/nobody", "").await.0, 404);

    // A stream does not hold up the end.
    let mut stream = TcpStream::connect(&gateway.address).await.unwrap();
    let ask = format!("GET /v1/services/time/watch HTTP/1.1\r\nhost: {}\r\n\r\n", gateway.address);
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut first = [0; 1_024];
    timeout(PATIENCE, stream.read(&mut first)).await.unwrap().unwrap();
    assert_eq!(gateway.stop(Signal::TERM).await, (Some(0), vec!["stopped".to_owned()]));
    let mut rest = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut rest)).await.unwrap().unwrap();
    assert!(rest.ends_with("0\r\n\r\n"), "the stream is ended as it should be: {rest}");
}

#[tokio::test]
async fn what_it_registered_is_gone_when_it_has_ended() {
    let server = Server::start().await.unwrap();
    let gateway = Gateway::start(&server.connect_string(), &[]).await;
    for port in 1..=20 {
        let path = format!("/v1/services/time/instances/h:{port}");
        let data = format!("{{\"server_ip\":\"h\",\"server_port\":{port},\"ttl\":600}}");
        let (status, body) = gateway.call("PUT", &path, &data).await;
        assert_eq!(status, 201, "{body}");
    }
    let zookeeper = ZooKeeper::builder(&server.connect_string()).build().unwrap();
    let truth = zookeeper.connect().await.unwrap();
    let registered = async || {
        truth.sync("/").await.unwrap();
        truth.children("/headkeeper/time/instances").await.unwrap().len()
    };
    assert_eq!(registered().await, 20);
    assert_eq!(gateway.call("DELETE", "/v1/services/time/instances/h:7", "").await.0, 204);
    assert_eq!(registered().await, 19);
    let (_, picked) = gateway.call("GET", "/v1/services/time/pick?algorithm=random", "").await;
    assert!(picked.contains("\"server_ip\":\"h\""), "{picked}");
    assert_eq!(gateway.stop(Signal::TERM).await.0, Some(0));
    assert_eq!(registered().await, 0);
}

#[tokio::test]
async fn without_zookeeper_it_starts_and_ends_all_the_same() {
    let gateway = Gateway::start("127.0.0.1:9", &["--service", "time"]).await;
    assert_eq!(gateway.call("GET", "/healthz", "").await.0, 200);
    assert_eq!(gateway.call("GET", "/readyz", "").await.0, 503);
    assert_eq!(gateway.stop(Signal::INT).await.0, Some(0));
}

#[tokio::test]
async fn flags_that_cannot_be_are_refused_with_the_reason() {
    for (flags, reason) in [
        (vec!["--listen", "nowhere"], "accepted: an IP address and a port"),
        (vec!["--service", "a/b"], "cannot be a name"),
        (vec!["--zk", "a:b:c"], "is unusable"),
        (vec!["--hide-ownerless"], "--hide-ownerless is accepted with --layout flat alone"),
        (vec!["--listen", "0.0.0.0:0"], "on 0.0.0.0:0 everybody who reaches it could register and withdraw"),
        (vec!["--listen", "[::]:0"], "--tokens FILE"),
        (vec!["--tls-cert", "/nowhere", "--tls-key", "/nowhere"], "TLS: /nowhere has no"),
        (vec!["--tls-cert", "/nowhere"], "--tls-key"),
        (vec!["--tls-client-ca", "/nowhere"], "--tls-cert"),
        (vec!["--tokens", "/nowhere"], "--tokens: /nowhere cannot be read: No such file"),
        (vec!["--finish", "10"], "accepted: a time from 0s to 1h"),
    ] {
        let output = command(&flags).stderr(Stdio::piped()).output();
        let output = timeout(PATIENCE, output).await.unwrap().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {told}");
        assert!(told.contains(reason), "{flags:?}: {told}");
    }
}
