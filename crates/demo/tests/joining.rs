//! Clusters of this program and of old ones, over TCP alone.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use std::process::Stdio;
use std::time::Duration;

use common::{PATIENCE, demo, json, later, nowhere, run, stderr, stdout};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// A node that runs.
struct Node {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
    err: Lines<BufReader<ChildStderr>>,
    id: String,
    at: String,
}

impl Node {
    /// Starts a node on any port with these flags, and waits until it listens.
    async fn start(flags: &[&str]) -> Self {
        Self::run(node(&[&["--myport", "0"], flags].concat())).await
    }

    async fn run(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        let err = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = next(&mut out, "").await;
        let (id, at) = line.strip_prefix("node ").unwrap().split_once(" listens on ").unwrap();
        Self { child, out, err, id: id.to_owned(), at: at.to_owned() }
    }

    /// The first of a cluster; nobody listens where it looks for one.
    async fn master() -> Self {
        let mut master =
            Self::start(&["--clusterip", &nowhere(), "--makeMasterOnError", "--wait", "1ms"]).await;
        assert_eq!(master.says("").await, "starts as the master");
        master
    }

    /// One that joins by that one.
    async fn joins(by: &Self) -> Self {
        let mut joiner = Self::start(&["--clusterip", &by.at]).await;
        let (id, at) = (&by.id, &by.at);
        let line = joiner.says("").await;
        assert_eq!(line, format!("joined the cluster by node {id} at {at}: welcome to the cluster"));
        joiner
    }

    /// The next line that begins so.
    async fn says(&mut self, begin: &str) -> String {
        next(&mut self.out, begin).await
    }

    /// The next line on stderr that begins so.
    async fn complains(&mut self, begin: &str) -> String {
        next(&mut self.err, begin).await
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.at).await.unwrap()
    }

    /// Asks it to stop: how it ended, and the rest of what it said.
    async fn stop(mut self, signal: Signal) -> (Option<i32>, Vec<String>) {
        let pid = Pid::from_raw(self.child.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        let all = async {
            let mut rest = Vec::new();
            while let Some(line) = self.out.next_line().await.unwrap() {
                rest.push(line);
            }
            (self.child.wait().await.unwrap().code(), rest)
        };
        timeout(PATIENCE, all).await.unwrap()
    }
}

fn node(flags: &[&str]) -> Command {
    let mut command = demo([&["node"], flags].concat());
    command.stdin(Stdio::null());
    command
}

async fn next(lines: &mut Lines<BufReader<impl AsyncRead + Unpin>>, begin: &str) -> String {
    let found = async {
        let mut said = Vec::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.starts_with(begin) {
                return line;
            }
            said.push(line);
        }
        panic!("it ended, and said {said:#?}");
    };
    timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("waited in vain for {begin:?}"))
}

/// What an old program sends: no end of line, and ports as numbers.
fn old_request(id: u32, port: u16) -> String {
    format!(
        r#"{{"source":{{"nodeId":{id},"nodeIpAddr":"127.0.0.1/8","port":{port}}},
            "dest":{{"nodeId":-1,"nodeIpAddr":"127.0.0.1","port":8001}},"message":"hi, could you please add me"}}"#
    )
}

/// Reads one object, and no more than that.
async fn one_object(stream: &mut TcpStream) -> Value {
    let mut bytes = Vec::new();
    let whole = async {
        loop {
            assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "half an answer");
            if let Ok(value) = serde_json::from_slice(&bytes) {
                return value;
            }
        }
    };
    timeout(PATIENCE, whole).await.unwrap()
}

#[tokio::test]
async fn three_nodes_become_a_cluster_and_each_lists_whom_it_knows() {
    let mut a = Node::master().await;
    let mut b = Node::joins(&a).await;
    // Any member may be joined.
    let c = Node::joins(&b).await;
    assert_eq!(a.says("").await, format!("node {} at {} joined; 2 members are known here", b.id, b.at));
    assert_eq!(b.says("").await, format!("node {} at {} joined; 3 members are known here", c.id, c.at));

    let who = |node: &Node, how: &str| [node.id.clone(), node.at.clone(), how.to_owned()];
    let (me, over, joined) = ("this node", "this node joined by it", "joined by this node");
    let tables = [
        vec![who(&a, me), who(&b, joined)],
        vec![who(&b, me), who(&a, over), who(&c, joined)],
        vec![who(&c, me), who(&b, over)],
    ];
    for ((node, signal), table) in
        [(a, Signal::TERM), (b, Signal::INT), (c, Signal::TERM)].into_iter().zip(tables)
    {
        let (code, lines) = node.stop(signal).await;
        assert_eq!(code, Some(0));
        let cells = |line: &String| -> Vec<String> {
            line.split("  ").map(|cell| cell.trim().to_owned()).filter(|cell| !cell.is_empty()).collect()
        };
        assert_eq!(cells(&lines[0]), ["NODE", "ADDRESS", "HOW"]);
        assert_eq!(lines[1..].iter().map(cells).collect::<Vec<_>>(), table);
    }
}

#[tokio::test]
async fn fifty_joins_at_once_are_all_answered_and_remembered() {
    let mut master = Node::master().await;
    let mut joins = JoinSet::new();
    for number in 0..50_u16 {
        let at = master.at.clone();
        joins.spawn(async move {
            let mut stream = TcpStream::connect(at).await.unwrap();
            stream.write_all(old_request(number.into(), 1_000 + number).as_bytes()).await.unwrap();
            one_object(&mut stream).await["dest"]["nodeId"].clone()
        });
    }
    let mut answered = Vec::new();
    while let Some(id) = joins.join_next().await {
        answered.push(id.unwrap().as_u64().unwrap());
    }
    answered.sort_unstable();
    assert_eq!(answered, (0..50).collect::<Vec<_>>());
    let mut said = Vec::new();
    for _ in 0..50 {
        said.push(master.says("node ").await);
    }
    assert!(said[49].ends_with("joined; 51 members are known here"), "{said:#?}");
    let (_, table) = master.stop(Signal::TERM).await;
    for number in 0..50 {
        let row = |line: &&String| line.contains(&format!("  127.0.0.1:{}", 1_000 + number));
        assert_eq!(table.iter().filter(row).count(), 1, "{number}: {table:#?}");
    }
}

#[tokio::test]
async fn hostile_peers_are_dropped_with_a_line_while_others_are_served() {
    let mut master = Node::master().await;
    // These are still there when all others are done.
    let _silent = master.connect().await;
    let mut half = master.connect().await;
    half.write_all(b"{\"source\":{").await.unwrap();

    for (bytes, why) in [
        (b"GET / HTTP/1.1\r\n\r\n\x1b[2J".to_vec(), "it begins with 'G'; accepted: a JSON object"),
        (
            b"{\"\":\"".iter().copied().chain(std::iter::repeat_n(b'x', 10 << 20)).collect(),
            "the object does not end within 65536",
        ),
        (b"{\"source\":\"\\u001b[2J\"}".to_vec(), "dest: it is missing; accepted: an object"),
        (b"{]".to_vec(), "it is not JSON"),
    ] {
        let mut stream = master.connect().await;
        let from = stream.local_addr().unwrap();
        // It may be hung up on before all is said.
        let _ = stream.write_all(&bytes).await;
        let line = master.complains(&format!("dropped {from}: ")).await;
        assert!(line.contains(why) && line.len() < 300 && !line.contains('\x1b'), "{line}");
    }
    // After those with much to say: it has 10 s for all of it.
    let mut slow = master.connect().await;
    slow.set_nodelay(true).unwrap();
    let request = old_request(1, 9_001);
    let (begin, end) = request.split_at(100);
    for byte in begin.as_bytes() {
        slow.write_all(&[*byte]).await.unwrap();
    }
    let mut torn = master.connect().await;
    torn.write_all(b"{\"source\":").await.unwrap();
    torn.shutdown().await.unwrap();
    let line = master.complains(&format!("dropped {}: ", torn.local_addr().unwrap())).await;
    assert!(line.ends_with("it closed the connection after 10 bytes, before the object ended"), "{line}");

    // Two objects in one packet: the first counts.
    let mut two = master.connect().await;
    two.write_all([old_request(2, 9_002), old_request(3, 9_003)].concat().as_bytes()).await.unwrap();
    assert_eq!(one_object(&mut two).await["dest"]["nodeId"], 2);
    assert_eq!(master.says("").await, "node 2 at 127.0.0.1:9002 joined; 2 members are known here");
    for byte in end.as_bytes() {
        slow.write_all(&[*byte]).await.unwrap();
    }
    assert_eq!(one_object(&mut slow).await["dest"]["nodeId"], 1);
    assert_eq!(master.says("").await, "node 1 at 127.0.0.1:9001 joined; 3 members are known here");

    // An id is given once.
    let mut again = master.connect().await;
    again.write_all(old_request(1, 9_009).as_bytes()).await.unwrap();
    let message = one_object(&mut again).await["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("refused: the member at 127.0.0.1:9001 has this id"), "{message}");
    drop(again);
    master.complains("from ").await;
}

/// The system grants it fewer connections than it would accept.
#[tokio::test]
async fn silent_peers_that_hold_all_descriptors_keep_nobody_out() {
    let there = nowhere();
    let program = node(&["--myport", "0", "--clusterip", &there, "--makeMasterOnError", "--wait", "1ms"]);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 40 && exec \"$0\" \"$@\""]).arg(program.as_std().get_program());
    limited.args(program.as_std().get_args()).kill_on_drop(true);
    limited.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut master = Node::run(limited).await;
    master.says("starts as the master").await;

    let mut silent = Vec::new();
    for _ in 0..60 {
        silent.push(master.connect().await);
    }
    let mut joiner = master.connect().await;
    joiner.write_all(old_request(5, 9_005).as_bytes()).await.unwrap();
    assert_eq!(one_object(&mut joiner).await["dest"]["nodeId"], 5);
    // Some of the oldest had to go, told in any order, and not for their time being over.
    let line = master.complains("dropped ").await;
    let (peer, why) = line["dropped ".len()..].split_once(": ").unwrap();
    let oldest = silent[..30].iter().any(|one| one.local_addr().unwrap().to_string() == peer);
    assert!(oldest && why.starts_with("it had waited longest of "), "{line}");
}

#[tokio::test]
async fn a_peer_that_is_dropped_is_told_of_once() {
    let mut master =
        Node::start(&["--clusterip", &nowhere(), "--make-master-on-error", "--wait", "1ms", "-vv"]).await;
    master.says("starts as the master").await;
    for bytes in ["first", "last"] {
        let mut stream = master.connect().await;
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let from = stream.local_addr().unwrap();
        let all = async {
            let mut about = 0;
            // What is logged of it is logged before it is told.
            while let Some(line) = master.err.next_line().await.unwrap() {
                about += usize::from(line.contains(&from.to_string()));
                if line.starts_with("dropped ") {
                    break;
                }
            }
            about
        };
        assert_eq!(timeout(PATIENCE, all).await.unwrap(), 1, "{bytes}");
    }
}

#[tokio::test]
async fn an_old_member_that_answers_in_pieces_and_resets_the_connection_is_joined() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = listener.local_addr().unwrap().to_string();
    let port = listener.local_addr().unwrap().port();
    let member = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let request = one_object(&mut stream).await;
        assert_eq!(request["dest"]["nodeId"], -1);
        let answer = format!(
            "{{\"source\":{{\"nodeId\":7,\"nodeIpAddr\":\"127.0.0.1/8\",\"Port\":\"{port}\"}},\
             \"dest\":{},\"message\":\"come in\"}}",
            request["source"]
        );
        for piece in answer.as_bytes().chunks(10) {
            stream.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        stream.set_zero_linger().unwrap();
    });
    let mut joiner = Node::start(&["--clusterip", &there]).await;
    let line = joiner.says("").await;
    assert_eq!(line, format!("joined the cluster by node 7 at {there}: come in"));
    timeout(PATIENCE, member).await.unwrap().unwrap();
    let (code, table) = joiner.stop(Signal::TERM).await;
    assert_eq!(code, Some(0));
    assert!(table[2].starts_with("7 ") && table[2].ends_with("this node joined by it"), "{table:#?}");
}

#[tokio::test]
async fn a_cluster_that_is_not_there_is_waited_for_and_then_ends_the_node_or_makes_it_the_master() {
    let there = nowhere();
    let flags = ["--myport", "0", "--clusterip", &there, "--wait", "300ms"];
    let output = run(node(&flags)).await;
    let (out, err) = (stdout(&output), stderr(&output));
    assert_eq!(output.status.code(), Some(1), "{out}{err}");
    assert_eq!((out.lines().count(), err.matches("no cluster at").count()), (1, 1), "{out}{err}");
    assert!(
        err.contains(&format!("error: no cluster was reached at {there} within 300ms: no connection: ")),
        "{err}"
    );

    let mut master = Node::start(&["--clusterip", &there, "--wait", "300ms", "--make-master-on-error"]).await;
    assert_eq!(master.says("").await, "starts as the master");
    let waits = master.complains("").await;
    assert!(waits.starts_with(&format!("no cluster at {there} yet: no connection: ")), "{waits}");
    master.complains("no cluster was reached at ").await;
    Node::joins(&master).await;

    // It comes while it is waited for.
    let late = later().to_string();
    let mut early = Node::start(&["--clusterip", &late, "--wait", "1h"]).await;
    early.complains("no cluster at ").await;
    let port = late.split_once(':').unwrap().1;
    let mut first =
        node(&["--myport", port, "--clusterip", &late, "--make-master-on-error"]).spawn().unwrap();
    early.says("joined the cluster by node ").await;
    first.kill().await.unwrap();
}

#[tokio::test]
async fn at_its_own_address_nobody_else_is_looked_for() {
    let at = later().to_string();
    let port = at.split_once(':').unwrap().1;
    for there in [at.clone(), format!("localhost:{port}")] {
        let output = run(node(&["--myport", port, "--clusterip", &there, "--wait", "1h"])).await;
        assert_eq!(output.status.code(), Some(1));
        let err = stderr(&output);
        assert!(err.starts_with(&format!("error: {there} is this node's own address")), "{err}");
    }
    let flags = ["--myport", port, "--clusterip", &at, "--wait", "1h", "--make-master-on-error", "--json"];
    let mut child = node(&flags).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    let listens = json(&next(&mut out, "").await);
    assert_eq!((&listens["kind"], &listens["address"]), (&"listens".into(), &at.as_str().into()));
    assert_eq!(json(&next(&mut out, "").await), serde_json::json!({"kind": "master"}));

    // The port is taken.
    let output = run(node(&["--myport", port])).await;
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(1), ""));
    assert!(stderr(&output).starts_with(&format!("error: cannot listen on {at}: ")), "{}", stderr(&output));
    child.kill().await.unwrap();
}

#[tokio::test]
async fn one_that_is_refused_starts_no_second_cluster() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = one_object(&mut stream).await;
        let (me, message) = (r#"{"nodeId":7,"nodeIpAddr":"a","Port":"1"}"#, "refused: full\\u001b[2J");
        let answer = format!(r#"{{"source":{me},"dest":{},"message":"{message}"}}"#, request["source"]);
        stream.write_all(answer.as_bytes()).await.unwrap();
    });
    let output =
        run(node(&["--myport", "0", "--clusterip", &there, "--make-master-on-error", "--wait", "1h"])).await;
    assert_eq!(output.status.code(), Some(1));
    let err = stderr(&output);
    assert!(err.contains("does not let this node in: node 7 at a:1 says: full\\u{1b}[2J"), "{err}");
    assert!(!stdout(&output).contains("master"));
}

/// A member that knows so many ids by chance before it lets somebody in.
async fn knows_each_id(times: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        for asked in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = one_object(&mut stream).await;
            let taken = "refused: the member at 10.0.0.1:1 has this id, and ids are unique: draw another one";
            let answer = serde_json::json!({
                "source": {"nodeId": 7, "nodeIpAddr": "a", "Port": "1"},
                "dest": request["source"],
                "message": if asked < times { taken } else { "come in" },
            });
            stream.write_all(answer.to_string().as_bytes()).await.unwrap();
        }
    });
    there
}

#[tokio::test]
async fn a_node_whose_id_is_taken_draws_another_one() {
    let mut joiner = Node::start(&["--clusterip", &knows_each_id(1).await]).await;
    let again = joiner.says("").await;
    let id =
        again.strip_prefix("node ").unwrap().strip_suffix(&format!(" listens on {}", joiner.at)).unwrap();
    assert_ne!(id, joiner.id);
    assert_eq!(joiner.says("").await, "joined the cluster by node 7 at a:1: come in");
    joiner.complains("node 7 at a:1 says: the member at 10.0.0.1:1 has this id").await;
    let id = id.to_owned();
    let (_, table) = joiner.stop(Signal::TERM).await;
    assert!(table[1].starts_with(&format!("{id} ")), "{table:#?}");

    let there = knows_each_id(usize::MAX).await;
    let flags = ["--myport", "0", "--clusterip", &there, "--make-master-on-error"];
    let output = run(node(&flags)).await;
    let (out, err) = (stdout(&output), stderr(&output));
    assert_eq!((output.status.code(), out.lines().count()), (Some(1), 5), "{out}{err}");
    assert!(err.contains("does not let this node in: node 7 at a:1 says: "), "{err}");
}

#[tokio::test]
async fn a_member_that_cannot_be_listed_is_told_with_the_reason() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = one_object(&mut stream).await;
        let mut me = request["source"].clone();
        me["Port"] = "1".into();
        let answer = serde_json::json!({"source": me, "dest": request["source"], "message": "come in"});
        stream.write_all(answer.to_string().as_bytes()).await.unwrap();
    });
    let mut joiner = Node::start(&["--clusterip", &there]).await;
    let line = joiner.complains("node ").await;
    let (id, at) = (&joiner.id, &joiner.at);
    let begin = format!("node {id} at 127.0.0.1:1 will not be listed: the member at {at} has this id");
    assert!(line.starts_with(&begin), "{line}");
    joiner.says("joined the cluster by ").await;
    let (_, table) = joiner.stop(Signal::TERM).await;
    assert_eq!(table.len(), 2, "{table:#?}");
}

#[tokio::test]
async fn who_is_stopped_before_it_belongs_to_a_cluster_was_not_done() {
    let mut waiting = Node::start(&["--clusterip", &nowhere(), "--wait", "1h"]).await;
    waiting.complains("no cluster at ").await;
    let (code, lines) = waiting.stop(Signal::TERM).await;
    assert_eq!((code, lines.len()), (Some(130), 0));
}

/// It takes no part in a cluster yet, so it lets nobody in, and answers as soon as it does.
#[tokio::test]
async fn who_asks_one_that_is_no_member_yet_is_answered_when_it_is() {
    let late = later().to_string();
    let mut between = Node::start(&["--clusterip", &late, "--wait", "1h"]).await;
    between.complains("no cluster at ").await;
    let mut asking = between.connect().await;
    asking.write_all(old_request(5, 9_005).as_bytes()).await.unwrap();
    let mut heard = [0];
    let early = timeout(Duration::from_millis(300), asking.read(&mut heard)).await;
    assert!(early.is_err(), "it was answered before");
    let port = late.split_once(':').unwrap().1;
    let mut first =
        node(&["--myport", port, "--clusterip", &late, "--make-master-on-error"]).spawn().unwrap();
    between.says("joined the cluster by node ").await;
    assert_eq!(one_object(&mut asking).await["dest"]["nodeId"], 5);
    first.kill().await.unwrap();
}
