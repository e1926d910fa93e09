//! Runs the program as a person or a supervisor would, and looks at ZooKeeper beside it.

#![allow(dead_code, reason = "each test file uses a part of this")]

pub(crate) mod bench;
pub(crate) mod foreign;
pub(crate) mod leading;

use std::ffi::OsStr;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use cli::zookeeper::by_flags_alone;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpSocket;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use zk_local::{Proxy, Server};
use zk_session::{Connect, Kind, Session, ZooKeeper};

/// How long anything may take that is not what the test is about: the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A session timeout so long that a busy machine loses no session by it.
pub(crate) const CALM: Duration = Duration::from_secs(30);

/// That of programs whose sessions are to end: as short as a machine that gives nobody any time for seconds lets it be.
pub(crate) const T: Duration = Duration::from_secs(5);

/// A server and a way to it that can be broken.
pub(crate) struct Zk {
    pub(crate) proxy: Proxy,
    pub(crate) server: Server,
    /// The session timeout of all programs here.
    pub(crate) session: Duration,
}

impl Zk {
    /// One whose sessions end when they are closed.
    pub(crate) async fn start() -> Self {
        Self::with(CALM).await
    }

    /// One whose sessions end soon when nobody keeps them.
    pub(crate) async fn short() -> Self {
        Self::with(T).await
    }

    /// The same with this session timeout.
    pub(crate) async fn with(session: Duration) -> Self {
        let server = Server::start().await.unwrap();
        let proxy = Proxy::start(server.address()).await.unwrap();
        Self { proxy, server, session }
    }

    /// No program that was given the proxy's address reaches the server, or does again.
    pub(crate) fn cut_off(&self, off: bool) {
        self.proxy.refuse(off);
        self.proxy.cut();
    }

    /// The flags that lead a program to the proxy.
    pub(crate) fn flags(&self) -> [String; 4] {
        let millis = self.session.as_millis().to_string();
        ["--zk".into(), self.proxy.connect_string(), "--session-ms".into(), millis]
    }

    /// A session of our own, past the proxy.
    pub(crate) async fn truth(&self) -> Truth {
        let zookeeper = ZooKeeper::builder(&self.server.connect_string()).session_timeout(CALM * 2);
        let zookeeper = zookeeper.build().unwrap();
        let session = timeout(PATIENCE, zookeeper.connect()).await.unwrap().unwrap();
        Truth { session, _zookeeper: zookeeper }
    }
}

pub(crate) struct Truth {
    pub(crate) session: Arc<dyn Session>,
    _zookeeper: ZooKeeper,
}

pub(crate) const TIME: &str = "/headkeeper/time/instances";

impl Truth {
    /// What is registered as `time`, in the order of the names.
    pub(crate) async fn registered(&self) -> Vec<String> {
        self.session.sync("/").await.unwrap();
        let mut names = match self.session.children(TIME).await {
            Err(zk_session::Error::NoNode) => Vec::new(),
            names => names.unwrap(),
        };
        names.sort();
        names
    }

    /// Makes the node of an instance, with anything in it.
    pub(crate) async fn put(&self, name: &str, data: &[u8]) {
        for directory in ["/headkeeper", "/headkeeper/time", TIME] {
            match self.session.create(directory, b"", Kind::Persistent).await {
                Ok(_) | Err(zk_session::Error::NodeExists) => {}
                Err(error) => panic!("{error}"),
            }
        }
        self.session.create(&format!("{TIME}/{name}"), data, Kind::Ephemeral).await.unwrap();
    }

    /// Waits until what is registered is `names`.
    pub(crate) async fn becomes(&self, names: &[&str]) {
        let reached = async {
            while self.registered().await != names {
                sleep(Duration::from_millis(10)).await;
            }
        };
        if timeout(PATIENCE, reached).await.is_err() {
            panic!("waited for {names:?}, there are {:?}", self.registered().await);
        }
    }
}

/// An address where nobody listens, nor will: it is taken for as long as this process runs.
pub(crate) fn nowhere() -> String {
    let taken = TcpSocket::new_v4().unwrap();
    taken.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    std::mem::forget(taken);
    address
}

/// An address where nobody listens yet, and nobody else will.
pub(crate) fn later() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, zk_local::free_port().unwrap()).into()
}

/// Held by the test that has the only tour of this target folder: all take the same ports, and one could come to the place where the server of
/// another was killed.
pub(crate) async fn only_tour() -> File {
    let locked = || {
        let file = File::create(concat!(env!("CARGO_TARGET_TMPDIR"), "/tour.lock")).unwrap();
        flock(&file, FlockOperation::LockExclusive).unwrap();
        file
    };
    spawn_blocking(locked).await.unwrap()
}

/// What has a program that is asked with these arguments wait as long as a busy machine may take, unless they say how long.
pub(crate) fn patient(arguments: &[&str]) -> &'static [&'static str] {
    match arguments {
        ["nodes" | "master", ..] if !arguments.contains(&"--wait") => &["--wait", "60s"],
        ["client" | "mq-client", ..] if !arguments.contains(&"--timeout") => &["--timeout", "60s"],
        _ => &[],
    }
}

/// The program, not started yet.
pub(crate) fn demo<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = program(env!("CARGO_BIN_EXE_demo"));
    command.args(arguments);
    command
}

/// A program of ours, wherever it is, which knows nothing of what the shell has exported.
pub(crate) fn program(path: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(path);
    by_flags_alone(command.as_std_mut()).env_remove("RUST_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs a command to its end.
pub(crate) async fn run(mut command: Command) -> Output {
    timeout(PATIENCE * 2, command.output()).await.unwrap().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What a program says next on stderr, but not that it waits for its first list: on a busy machine it may.
pub(crate) async fn told(errors: &mut Lines<BufReader<ChildStderr>>) -> Option<String> {
    loop {
        let line = timeout(PATIENCE, errors.next_line()).await.unwrap().unwrap();
        let waits = |line: &str| {
            line.starts_with("waiting for the first list of ") || line == "the first list is here"
        };
        if !line.as_deref().is_some_and(waits) {
            return line;
        }
    }
}

/// A program that runs, and what it says.
pub(crate) struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    /// All lines up to now.
    pub(crate) said: Vec<String>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        Self::of(command.stdin(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap())
    }

    /// The same, and what it says on stderr.
    pub(crate) fn start_heard(mut command: Command) -> (Self, Lines<BufReader<ChildStderr>>) {
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let errors = BufReader::new(child.stderr.take().unwrap()).lines();
        (Self::of(child), errors)
    }

    fn of(mut child: Child) -> Self {
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { stdin: child.stdin.take(), child, lines, said: Vec::new() }
    }

    /// An agent in this role, for the service `time`.
    pub(crate) fn agent(zk: &Zk, role: &str, name: &str, more: &[&str]) -> Self {
        let who = ["agent", role, "--service", "time", "--name", name].map(str::to_owned);
        let more = more.iter().map(|&flag| flag.to_owned());
        Self::start(demo(who.into_iter().chain(zk.flags()).chain(more)))
    }

    /// A server on any port, its address and whether it is registered by now.
    pub(crate) async fn server(zk: &Zk, more: &[&str]) -> (Self, String) {
        let flags = ["server", "--listen", "127.0.0.1:0"].map(str::to_owned);
        let more = more.iter().map(|&flag| flag.to_owned());
        let mut server = Self::start(demo(flags.into_iter().chain(zk.flags()).chain(more)));
        let line = server.line(|line| line.starts_with("listening on ")).await;
        let address = line.trim_start_matches("listening on ").to_owned();
        (server, address)
    }

    /// The next line for which `wanted` holds.
    pub(crate) async fn line(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        let found = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.said.push(line.clone());
                if wanted(&line) {
                    return Some(line);
                }
            }
            None
        };
        match timeout(PATIENCE, found).await {
            Ok(Some(line)) => line,
            Ok(None) => panic!("it ended; it said {:#?}", self.said),
            Err(_) => panic!("waited in vain; it said {:#?}", self.said),
        }
    }

    /// The next event for which `wanted` holds.
    pub(crate) async fn event(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        json(&self.line(|line| wanted(&json(line))).await)
    }

    /// The next event with this name.
    pub(crate) async fn ev(&mut self, name: &str) -> Value {
        self.event(|event| event["ev"] == name).await
    }

    /// The next event that tells of this state of the session.
    pub(crate) async fn session(&mut self, state: &str) -> Value {
        self.event(|event| event["ev"] == "session" && event["state"] == state).await
    }

    /// The next view with these instances and this source.
    pub(crate) async fn view(&mut self, ids: &[&str], source: &str) -> Value {
        self.event(|event| event["ev"] == "view" && event["source"] == source && names(event) == ids).await
    }

    pub(crate) async fn tell(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(bytes).await.unwrap();
        stdin.flush().await.unwrap();
    }

    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().unwrap().try_into().unwrap()).unwrap()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the end. Gives how it ended, and the lines since.
    pub(crate) async fn end(mut self) -> Ended {
        let mut rest = String::new();
        let all = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                rest.push_str(&line);
                rest.push('\n');
            }
            self.child.wait().await.unwrap()
        };
        let status = timeout(PATIENCE, all).await.unwrap();
        Ended { status, lines: rest.lines().map(str::to_owned).collect() }
    }
}

pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) lines: Vec<String>,
}

impl Ended {
    pub(crate) fn events(&self) -> Vec<Value> {
        self.lines.iter().map(|line| json(line)).collect()
    }

    /// The names of the events, a session's with its state.
    pub(crate) fn names(&self) -> Vec<String> {
        let name = |event: Value| match &event["state"] {
            Value::String(state) => state.clone(),
            _ => event["ev"].as_str().unwrap().to_owned(),
        };
        self.events().into_iter().map(name).collect()
    }

    pub(crate) fn last(&self) -> Value {
        self.events().pop().unwrap()
    }
}

pub(crate) fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// The ids in a view.
pub(crate) fn names(view: &Value) -> Vec<&str> {
    view["instances"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect()
}

/// What a server at `address` answers.
pub(crate) async fn ask(address: &str) -> String {
    let mut answer = String::new();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
