//! The program as a person or a supervisor would run it.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

use std::process::Stdio;
use std::time::Duration;

use cli::zookeeper::by_flags_alone;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How long anything may take: the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// So long that a busy machine loses no session by it.
const CALM_MS: &str = "30000";

/// What it took, bounded.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it takes too long")
}

pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    by_flags_alone(command.as_std_mut()).args(arguments).env_remove("RUST_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

pub(crate) struct Gateway {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// What it said on stderr.
    told: watch::Receiver<String>,
    /// Where the registry is.
    pub(crate) address: String,
    /// Where the proxy is, if there is one.
    pub(crate) proxy: String,
}

impl Gateway {
    pub(crate) async fn start(zk: &str, more: &[&str]) -> Self {
        let flags = ["--listen", "127.0.0.1:0", "--zk", zk, "--session-ms", CALM_MS];
        let mut child = command(&[&flags, more].concat()).stderr(Stdio::piped()).spawn().unwrap();
        let told = follow(child.stderr.take().unwrap());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut next = async || soon(lines.next_line()).await.unwrap().expect("it listens");
        let address = next().await.strip_prefix("listening on http://").unwrap().to_owned();
        let proxy = match more.contains(&"--proxy") {
            true => next().await.split_once("://").unwrap().1.to_owned(),
            false => String::new(),
        };
        Self { child, lines, told, address, proxy }
    }

    /// The status and the body of an answer.
    pub(crate) async fn call(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        ask(&self.address, method, path, body).await
    }

    /// Registers an instance, and waits until it is in ZooKeeper: one that takes its time is waited for only so long by the gateway itself.
    pub(crate) async fn registers(&self, path: &str, body: &str) {
        let registered = async {
            loop {
                match self.call("PUT", path, body).await {
                    (200 | 201, _) => return,
                    (202, _) => sleep(Duration::from_millis(20)).await,
                    (status, answer) => panic!("{status}: {answer}"),
                }
            }
        };
        soon(registered).await;
    }

    pub(crate) async fn becomes(&self, path: &str, wished: impl Fn(u16, &Value) -> bool) -> Value {
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

    /// The value of a metric, by its name and labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let (_, metrics) = self.call("GET", "/metrics", "").await;
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{name} is not in\n{metrics}")).parse().unwrap()
    }

    /// Asks the proxy for this path until the answer is as wished.
    pub(crate) async fn proxies(&self, path: &str, wished: impl Fn(u16, &str) -> bool) -> String {
        let reached = async {
            loop {
                let (status, body) = ask(&self.proxy, "GET", path, "").await;
                if wished(status, &body) {
                    return body;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        match timeout(PATIENCE, reached).await {
            Ok(body) => body,
            Err(_) => panic!("waited in vain: {:?}", ask(&self.proxy, "GET", path, "").await),
        }
    }

    /// All that it has said on stderr.
    pub(crate) fn told(&self) -> String {
        self.told.borrow().clone()
    }

    /// Waits until it has said all of this on one line of stderr.
    pub(crate) async fn tells(&self, words: &[&str]) {
        let says = |told: &String| told.lines().any(|line| words.iter().all(|word| line.contains(word)));
        if timeout(PATIENCE, self.told.clone().wait_for(says)).await.is_err() {
            panic!("waited in vain for {words:?}: {}", *self.told.borrow());
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Asks it to stop. Gives what it ended with and what it said.
    pub(crate) async fn stop(self, signal: Signal) -> (Option<i32>, Vec<String>) {
        self.signal(signal);
        self.ended().await
    }

    /// What it ends with, and what it says until then.
    pub(crate) async fn ended(mut self) -> (Option<i32>, Vec<String>) {
        let ended = async {
            let mut said = Vec::new();
            while let Some(line) = self.lines.next_line().await.unwrap() {
                said.push(line);
            }
            (self.child.wait().await.unwrap().code(), said)
        };
        soon(ended).await
    }
}

/// Keeps what is said on stderr.
fn follow(stderr: ChildStderr) -> watch::Receiver<String> {
    let (tx, rx) = watch::channel(String::new());
    tokio::spawn(async move {
        let mut lines = BufReader::new(stderr).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            tx.send_modify(|told| {
                told.push_str(&line);
                told.push('\n');
            });
        }
        // What was said stays.
        std::future::pending::<()>().await;
    });
    rx
}

/// The status and the body of an answer.
pub(crate) async fn ask(address: &str, method: &str, path: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let text = send(
        address,
        &format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        ),
    )
    .await;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// All that is answered to these bytes until the connection is closed.
pub(crate) async fn send(address: &str, bytes: &str) -> String {
    soon(async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A connection that was refused may be reset once its answer is there.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    })
    .await
}
