//! A name in the connect string means another server from one moment to the next; on a real ensemble.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use zk_local::Ensemble;
use zk_session::{Connect, Session, ZooKeeper};

use self::common::{Running, TIME, demo, json, names};

const NAME: &str = "zookeeper.test";

/// So long that a busy machine loses no leadership by it.
const SESSION_MS: &str = "30000";

/// Who asks for the name is given the address that it was told last.
struct Names {
    folder: tempfile::TempDir,
    library: PathBuf,
}

impl Names {
    async fn build() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("resolve.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/names/resolve.c");
        let mut cc = tokio::process::Command::new("cc");
        let built =
            cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl").status().await;
        assert!(built.unwrap().success());
        Self { folder, library }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("address")
    }

    fn mean(&self, address: Ipv4Addr) {
        let new = self.folder.path().join("new");
        std::fs::write(&new, address.to_string()).unwrap();
        std::fs::rename(new, self.file()).unwrap();
    }

    fn agent(&self, role: &str, name: &str, port: u16) -> Running {
        let zk = format!("{NAME}:{port}");
        let arguments =
            ["agent", role, "--service", "time", "--name", name, "--zk", &zk, "--session-ms", SESSION_MS];
        let mut command = demo(arguments);
        command.env("LD_PRELOAD", &self.library).env("RESOLVE_NAME", NAME).env("RESOLVE_TO", self.file());
        Running::start(command)
    }
}

/// Leads what comes to an address of its own to a server, until this is dropped.
struct Forwarder {
    at: SocketAddr,
    task: JoinHandle<()>,
}

impl Forwarder {
    async fn start(at: SocketAddr, to: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(at).await?;
        let at = listener.local_addr()?;
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                open.spawn(async move {
                    // A server that is not there hangs up, as one does whose machine still runs.
                    if let Ok(mut server) = TcpStream::connect(to).await {
                        let _ = copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        Ok(Self { at, task })
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The same port on two addresses, each of which leads to one of these.
async fn forwarders(one: SocketAddr, other: SocketAddr) -> [Forwarder; 2] {
    for _ in 0..20 {
        let first = Forwarder::start((Ipv4Addr::new(127, 0, 0, 2), 0).into(), one).await.unwrap();
        let same = (Ipv4Addr::new(127, 0, 0, 3), first.at.port());
        if let Ok(second) = Forwarder::start(same.into(), other).await {
            return [first, second];
        }
    }
    panic!("no port is free on both addresses");
}

fn address(forwarder: &Forwarder) -> Ipv4Addr {
    match forwarder.at {
        SocketAddr::V4(at) => *at.ip(),
        SocketAddr::V6(at) => panic!("{at}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_moves_with_its_name_and_keeps_registration_view_and_leadership() {
    let ensemble = Ensemble::start(3).await.unwrap();
    let leader = ensemble.leader().await.unwrap();
    // The leader of the ensemble stays: without it every session would wait for an election.
    let followers = [(leader + 1) % 3, (leader + 2) % 3];
    let ways =
        forwarders(ensemble.server(followers[0]).address(), ensemble.server(followers[1]).address()).await;
    let port = ways[0].at.port();
    let witness = ZooKeeper::builder(&ensemble.server(leader).connect_string());
    let witness = witness.session_timeout(Duration::from_secs(60)).build().unwrap();
    let witness = witness.connect().await.unwrap();

    let resolver = Names::build().await;
    resolver.mean(address(&ways[0]));
    let mut watcher = resolver.agent("watch", "me", port);
    let mut instance = resolver.agent("register", "a", port);
    let session = instance.ev("registered").await["session_id"].clone();
    let mut candidate = resolver.agent("lead", "a", port);
    let token = candidate.ev("leader-acquired").await["token"].clone();
    watcher.view(&["a"], "live").await;
    let shown = watcher.said.len();
    let node = created(&*witness, "a").await;

    for round in 0..4 {
        let (old, new) = (round % 2, (round + 1) % 2);
        resolver.mean(address(&ways[new]));
        ensemble.server(followers[old]).kill().await.unwrap();
        let died = Instant::now();
        for agent in [&mut instance, &mut candidate, &mut watcher] {
            agent.session("suspended").await;
            agent.session("connected").await;
        }
        eprintln!(
            "a name meant another server: all were there {:?} after the death of the first",
            died.elapsed()
        );
        assert_eq!(created(&*witness, "a").await, node, "it is the node that was there");
        ensemble.server(followers[old]).start_again().await.unwrap();
    }
    instance.tell(b"{\"cmd\":\"update\",\"weight\":7}\n").await;
    watcher.event(|event| event["ev"] == "view" && event["source"] == "live").await;
    for line in &watcher.said[shown..] {
        let event = json(line);
        assert!(event["ev"] != "view" || names(&event) == ["a"], "it was away: {event}");
    }
    candidate.tell(b"{\"cmd\":\"resign\"}\n").await;
    assert_eq!(candidate.ev("leader-lost").await["token"], token);
    let said = |agent: &Running, ev: &str| -> Vec<Value> {
        agent.said.iter().map(|line| json(line)).filter(|event| event["ev"] == ev).collect()
    };
    assert_eq!(said(&candidate, "leader-lost").len(), 1, "once, when it resigned");
    assert!(said(&instance, "registered").iter().all(|event| event["session_id"] == session));
}

/// The transaction that created the node of an instance.
async fn created(witness: &dyn Session, name: &str) -> i64 {
    witness.sync("/").await.unwrap();
    witness.exists(&format!("{TIME}/{name}")).await.unwrap().unwrap().czxid
}
