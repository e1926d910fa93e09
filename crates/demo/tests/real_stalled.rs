//! Programs whose output nobody reads, and nobody has closed either: they go on with their work, and end when they are asked to.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

#[path = "../src/broker.rs"]
mod broker;
mod common;
mod mq;

use std::fs::OpenOptions;
use std::io::{ErrorKind, PipeWriter, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use self::common::{PATIENCE, Running, Zk, ask, demo, json, nowhere, only_tour};
use self::mq::{Site, Somebody, request};

/// A program that writes into a pipe whose reader can stall.
struct Read {
    child: Child,
    lines: Lines<BufReader<pipe::Receiver>>,
    pipe: PipeWriter,
}

impl Read {
    fn start(mut command: Command) -> Self {
        let (reader, pipe) = std::io::pipe().unwrap();
        let child = command.stdout(pipe.try_clone().unwrap()).spawn().unwrap();
        let reader = pipe::Receiver::from_owned_fd(OwnedFd::from(reader)).unwrap();
        Self { child, lines: BufReader::new(reader).lines(), pipe }
    }

    /// The next line that begins so, or has that in it where it is JSON.
    async fn says(&mut self, what: &str) -> String {
        let said = async {
            loop {
                let line = self.lines.next_line().await.unwrap().unwrap();
                if line.starts_with(what) || line.starts_with('{') && line.contains(what) {
                    return line;
                }
            }
        };
        timeout(PATIENCE, said).await.unwrap()
    }

    /// From now on there is no room for a single byte: whoever writes waits until somebody reads.
    fn stall(&self) {
        // Opened again, for nobody else is to see that this one does not wait.
        let path = format!("/proc/self/fd/{}", self.pipe.as_raw_fd());
        let flag = OFlags::NONBLOCK.bits().try_into().unwrap();
        let mut pipe = OpenOptions::new().write(true).custom_flags(flag).open(path).unwrap();
        for bytes in [&[b'\n'; 4096][..], b"\n"] {
            let full = loop {
                if let Err(error) = pipe.write(bytes) {
                    break error;
                }
            };
            assert_eq!(full.kind(), ErrorKind::WouldBlock);
        }
    }

    /// Waits until a thread of it waits for room in the pipe; for a while, where the system does not tell.
    async fn waits(&self) {
        let threads = format!("/proc/{}/task", self.child.id().unwrap());
        let waits = async {
            while !std::fs::read_dir(&threads).unwrap().any(|thread| {
                let wchan = thread.unwrap().path().join("wchan");
                std::fs::read_to_string(wchan).is_ok_and(|place| place.contains("pipe_write"))
            }) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = timeout(Duration::from_secs(20), waits).await;
    }

    /// Asks it to end, and waits until it has.
    async fn stop(&mut self) -> ExitStatus {
        let pid = Pid::from_raw(self.child.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        timeout(PATIENCE, self.child.wait()).await.expect("it goes on").unwrap()
    }
}

#[tokio::test]
async fn a_server_registers_answers_and_leaves_while_nobody_reads_what_it_says() {
    let zk = Zk::start().await;
    let truth = zk.truth().await;
    let flags = ["server", "--listen", "127.0.0.1:0"].map(str::to_owned);
    let mut server = Read::start(demo(flags.into_iter().chain(zk.flags())));
    let address = server.says("listening on ").await.trim_start_matches("listening on ").to_owned();
    server.says("leads time").await;
    truth.becomes(&[&address]).await;
    server.stall();

    // It has something to say of that, and something to do.
    truth.session.delete(&format!("{}/{address}", common::TIME), None).await.unwrap();
    truth.becomes(&[&address]).await;
    assert!(ask(&address).await.starts_with(&address));
    assert!(server.stop().await.success());
    assert!(truth.registered().await.is_empty(), "it is gone, and its node is there");
}

#[tokio::test]
async fn a_reader_of_a_server_that_goes_on_has_missed_nothing_when_little_was_said() {
    let zk = Zk::start().await;
    let flags = ["server", "--no-campaign", "--listen", "127.0.0.1:0"].map(str::to_owned);
    let mut server = Read::start(demo(flags.into_iter().chain(zk.flags())));
    server.says("registered ").await;
    let truth = zk.truth().await;
    let [address] = &*truth.registered().await else { panic!("one is registered") };
    server.stall();
    truth.session.delete(&format!("{}/{address}", common::TIME), None).await.unwrap();
    truth.becomes(&[address]).await;
    server.says("registered ").await;
    assert!(server.stop().await.success());
    for last in ["deregistered", "stopped"] {
        server.says(last).await;
    }
}

#[tokio::test]
async fn a_server_behind_a_broker_answers_and_leaves_while_nobody_reads_what_it_says() {
    let site = Site::start().await;
    let mut server = Read::start(site.program("mq-server", &["--unique-code", "a"]));
    server.says("registered").await;
    site.registered(&["a"]).await;
    let mut somebody = Somebody::listening(&site.broker, "s", "jobs/replies/s").await;
    server.stall();
    for id in ["1", "2", "3"] {
        somebody.say("jobs", request("a", id, "jobs/replies/s")).await;
        assert_eq!(somebody.hears().await["id"], id);
    }
    assert!(server.stop().await.success());
    site.registered(&[]).await;
}

#[tokio::test]
async fn a_ledger_answers_and_ends_while_nobody_reads_what_it_says() {
    let mut ledger = Read::start(demo(["ledger", "--listen", "127.0.0.1:0"]));
    let at = ledger.says("listening on ").await.trim_start_matches("listening on ").to_owned();
    ledger.stall();
    let mut leader = BufReader::new(TcpStream::connect(at).await.unwrap());
    for token in 1..=3 {
        let act = json!({ "who": "a", "token": token, "seq": 1 }).to_string() + "\n";
        leader.write_all(act.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, leader.read_line(&mut answer)).await.unwrap().unwrap();
        assert_eq!(json(&answer), json!({ "ok": true, "max": token }));
    }
    assert!(ledger.stop().await.success());
}

#[tokio::test]
async fn a_node_lets_others_in_and_ends_while_nobody_reads_what_it_says() {
    let flags = ["--myport", "0", "--clusterip", &nowhere(), "--wait", "1ms", "--make-master-on-error"];
    let mut master = Read::start(demo(["node"].iter().chain(&flags)));
    let listens = master.says("node ").await;
    let at = listens.split_once(" listens on ").unwrap().1;
    master.says("starts as the master").await;
    master.stall();
    for _ in 0..3 {
        let mut joiner = Running::start(demo(["node", "--myport", "0", "--clusterip", at]));
        joiner.line(|line| line.starts_with("joined the cluster")).await;
        joiner.signal(Signal::TERM);
        assert!(joiner.end().await.status.success());
    }
    assert!(master.stop().await.success());
}

#[tokio::test]
async fn who_watches_for_a_reader_that_stalls_ends_when_it_is_asked_to() {
    let zk = Zk::start().await;
    let program = |arguments: &[&str]| {
        let arguments = arguments.iter().map(|&argument| argument.to_owned());
        Read::start(demo(arguments.chain(zk.flags())))
    };
    let mut nodes = program(&["nodes", "--service", "time", "--watch", "--wait", "60s"]);
    nodes.says("no instance of time").await;
    nodes.stall();
    let mut master = program(&["master", "--service", "time", "--watch", "--wait", "60s"]);
    let named = master.says("").await;
    assert!(named.contains("nobody leads time"), "{named}");
    master.stall();
    let (server, _) = Running::server(&zk, &[]).await;
    let mut client = program(&["client", "--requests", "0", "--interval", "1ms", "--json"]);
    client.says("request").await;
    client.stall();
    for mut watcher in [nodes, master, client] {
        watcher.waits().await;
        assert!(watcher.stop().await.success());
    }
    drop(server);

    let site = Site::start().await;
    let _server = site.server("a", &[]).await;
    let mut client = Read::start(site.program("mq-client", &["--requests", "0", "--interval", "1ms"]));
    client.says("request").await;
    client.stall();
    client.waits().await;
    assert!(client.stop().await.success());
}

#[tokio::test]
async fn a_client_loses_no_line_because_its_reader_stalls() {
    let zk = Zk::start().await;
    let (_server, _) = Running::server(&zk, &[]).await;
    let flags = ["client", "--requests", "20", "--interval", "0s", "--json", "--timeout", "60s"];
    let mut client = Read::start(demo(flags.map(str::to_owned).into_iter().chain(zk.flags())));
    client.stall();
    client.waits().await;
    for number in 1..=20 {
        assert_eq!(json(&client.says("request").await)["request"], number);
    }
    client.says("summary").await;
    assert!(timeout(PATIENCE, client.child.wait()).await.unwrap().unwrap().success());
}

#[tokio::test]
async fn a_story_that_is_told_to_a_reader_who_stalls_ends_when_it_is_asked_to() {
    let _alone = only_tour().await;
    for story in ["legacy", "tour"] {
        let mut teller = Read::start(demo([story]));
        teller.says("").await;
        teller.stall();
        teller.waits().await;
        assert_eq!(teller.stop().await.code(), Some(130), "{story}");
    }
}
