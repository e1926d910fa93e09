//! The server and the client of the guide do on a real ZooKeeper what the guide says.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use loadbalance::{Balancer, RoundRobin};
use proto::{NodeData, ServiceName};
use registry::{Native, Registry};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use zk_local::Server;
use zk_session::{Keeper, ZooKeeper};

/// No line is waited for longer than this.
const LIMIT: Duration = Duration::from_secs(60);

/// How long a server says that it serves on when it is told to end.
const HEARD: Duration = Duration::from_secs(2);

/// A program, what it prints and what it logs. It ends with the test.
struct Program {
    child: Child,
    lines: Receiver<String>,
    log: Receiver<String>,
}

impl Program {
    fn start(binary: &str, arguments: &[&str], servers: &str) -> Self {
        let mut command = Command::new(binary);
        command.args(arguments).env("ZK_CONNECT", servers).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let lines = read(child.stdout.take().expect("piped"));
        let log = read(child.stderr.take().expect("piped"));
        Self { child, lines, log }
    }

    /// The next line of the results with this in it.
    fn says(&self, what: &str) -> String {
        next(&self.lines, what)
    }

    /// The next line of the log with this in it.
    fn logs(&self, what: &str) -> String {
        next(&self.log, what)
    }

    /// By `-INT`, as Ctrl-C does, or `-TERM`, as a deploy does.
    fn ends_by(mut self, signal: &str) {
        self.gets(signal);
        assert!(self.child.wait().expect("waited for").success());
    }

    fn gets(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("asked").success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(from: impl Read + Send + 'static) -> Receiver<String> {
    let (line, lines) = channel();
    thread::spawn(move || {
        for text in BufReader::new(from).lines().map_while(Result::ok) {
            if line.send(text).is_err() {
                return;
            }
        }
    });
    lines
}

fn next(lines: &Receiver<String>, what: &str) -> String {
    loop {
        let line = lines.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("waited in vain for {what}"));
        if line.contains(what) {
            return line;
        }
    }
}

/// Two answers in turn, of both servers.
fn asks_both(client: &Program) -> bool {
    let first = client.says("hello from");
    (0..20).any(|_| client.says("hello from") != first)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_goes_on_when_the_server_that_leads_is_killed_and_the_other_one_leads() {
    let zookeeper = Server::builder().tick(Duration::from_millis(100)).start().await.expect("a ZooKeeper");
    let servers = zookeeper.connect_string();
    let server = || Program::start(env!("CARGO_BIN_EXE_server"), &["127.0.0.1:0"], &servers);

    let mut first = server();
    first.says("leading in term");
    let second = server();
    second.logs("the node is ours");
    let client = Program::start(env!("CARGO_BIN_EXE_client"), &[], &servers);
    assert!(asks_both(&client));

    first.child.kill().expect("killed");
    second.says("leading in term");
    // It tried the dead one as long as that was listed, and somebody else at once.
    let mut meanwhile: Vec<_> = client.lines.try_iter().collect();
    // And goes on so.
    for _ in 0..2 {
        meanwhile.push(client.says(""));
    }
    assert!(meanwhile.iter().all(|line| line.starts_with("hello from ")), "{meanwhile:?}");

    second.ends_by("-INT");
    client.says("no answer: there is no instance");
    client.ends_by("-INT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_a_deploy_ends_fails_no_request_and_the_other_one_leads() {
    let zookeeper = Server::builder().tick(Duration::from_millis(100)).start().await.expect("a ZooKeeper");
    let servers = zookeeper.connect_string();
    let server = || Program::start(env!("CARGO_BIN_EXE_server"), &["127.0.0.1:0"], &servers);
    let keeper = Keeper::start(ZooKeeper::builder(&servers).build().expect("servers"));
    let hello = ServiceName::parse("hello").expect("a name");
    let discovery = Registry::new(keeper.sessions(), Native::default()).follow(&hello);
    let balancer = Balancer::follow(discovery.instances(), RoundRobin::default());

    let mut first = server();
    first.says("leading in term");
    let alone = timeout(LIMIT, balancer.wait_for(|all| all.len() == 1)).await.expect("it is there");
    let leads = alone.expect("it follows")[0].instance().clone();
    let second = server();
    let both = timeout(LIMIT, balancer.wait_for(|all| all.len() == 2)).await.expect("both are there");
    assert!(both.is_ok());

    // As long as a client may pick it, it answers.
    let told = Instant::now();
    first.gets("-TERM");
    let address = leads.data.address.as_ref().expect("it has one");
    let mut answered = told;
    while balancer.candidates().iter().any(|candidate| *candidate.id() == leads.id) {
        let asked = async {
            let mut connection = TcpStream::connect((address.host(), address.port())).await?;
            let mut answer = String::new();
            connection.read_to_string(&mut answer).await.map(|_| answer)
        };
        let answer = timeout(LIMIT, asked).await.expect("in time");
        if answer.as_ref().is_ok_and(|answer| answer.starts_with("hello")) {
            answered = Instant::now();
        } else {
            // Where this machine stood still meanwhile, the list is one of before.
            assert!(answered.elapsed() >= HEARD / 2, "{answer:?}");
            break;
        }
    }
    assert!(first.child.wait().expect("waited for").success());
    assert!(told.elapsed() >= HEARD, "it served on for as long as it says");
    second.says("leading in term");
    second.ends_by("-TERM");
    keeper.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_replaced_serves_on_until_clients_have_heard_of_that() {
    let zookeeper = Server::builder().tick(Duration::from_millis(100)).start().await.expect("a ZooKeeper");
    let servers = zookeeper.connect_string();
    let mut first = Program::start(env!("CARGO_BIN_EXE_server"), &["127.0.0.1:0"], &servers);
    let keeper = Keeper::start(ZooKeeper::builder(&servers).build().expect("servers"));
    let registry = Registry::new(keeper.sessions(), Native::default());
    let hello = ServiceName::parse("hello").expect("a name");
    let discovery = registry.follow(&hello);
    let balancer = Balancer::follow(discovery.instances(), RoundRobin::default());
    let there = timeout(LIMIT, balancer.wait_for(|all| all.len() == 1)).await.expect("it is there");
    let id = there.expect("it follows")[0].id().clone();

    // Under the id of the first one, and elsewhere.
    let elsewhere = NodeData::at("127.0.0.1:1".parse().expect("an address"));
    let newer = registry.announce_as(&hello, id, elsewhere).expect("announced");
    timeout(LIMIT, newer.registered()).await.expect("in time").expect("registered");
    first.logs("a newer process");

    let told = Instant::now();
    first.gets("-TERM");
    assert!(first.child.wait().expect("waited for").success());
    assert!(told.elapsed() >= HEARD, "it served on for as long as it says: {:?}", told.elapsed());
    newer.withdraw().await;
    keeper.close().await;
}
