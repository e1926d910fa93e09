//! An agent says what happens to it, does what it is told, and leaves nothing behind; on a real server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use std::time::Duration;

use proto::decode;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::sleep;
use zk_local::Direction;

use self::common::{PATIENCE, Running, TIME, Zk, names};

#[tokio::test]
async fn an_agent_registers_is_changed_leaves_and_ends_as_it_is_told() {
    let zk = Zk::start().await;
    let truth = zk.truth().await;
    let mut agent = Running::agent(&zk, "register", "a", &["--port", "80"]);

    let ready = agent.event(|_| true).await;
    assert_eq!(ready["ev"], "ready");
    assert_eq!(ready["pid"], agent.pid().as_raw_nonzero().get());
    let connected = agent.session("connected").await;
    assert_eq!(connected["timeout_ms"].as_u64().map(Duration::from_millis), Some(zk.session));
    let registered = agent.ev("registered").await;
    let path = format!("{TIME}/a");
    let expected = json!({"ev": "registered", "service": "time", "id": "a", "path": path,
        "session_id": connected["session_id"], "t": registered["t"]});
    assert_eq!(registered, expected);
    let node = truth.session.get(&path).await.unwrap().unwrap();
    assert_eq!(node.stat.owner.unwrap().to_string(), registered["session_id"].as_str().unwrap());
    assert_eq!(decode(&node.data).unwrap().address.unwrap().to_string(), "127.0.0.1:80");

    agent.tell(b"{\"cmd\":\"update\",\"port\":81}\n{\"cmd\":\"update\",\"weight\":7}\n").await;
    let changed = async {
        loop {
            let node = truth.session.get(&path).await.unwrap().unwrap();
            let data = decode(&node.data).unwrap();
            if (data.address.unwrap().port(), data.weight) == (81, 7) {
                return node.stat.czxid;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    // The same node: nobody who looks sees the instance away.
    assert_eq!(tokio::time::timeout(PATIENCE, changed).await.unwrap(), node.stat.czxid);

    agent.tell(b"{\"cmd\":\"deregister\"}\n").await;
    let gone = agent.ev("deregistered").await;
    assert_eq!((gone["service"].as_str(), gone["id"].as_str()), (Some("time"), Some("a")));
    assert_eq!(truth.registered().await, [""; 0]);
    assert!(agent.is_running());

    agent.tell(b"{\"cmd\":\"quit\"}\n").await;
    let ended = agent.end().await;
    assert!(ended.status.success());
    assert_eq!(ended.names(), ["closed", "bye"]);
    assert_eq!(ended.last()["clean"], true);
}

#[tokio::test]
async fn the_end_of_an_agent_at_any_moment_leaves_no_node() {
    let zk = Zk::start().await;
    let truth = zk.truth().await;
    let mut clean = 0;
    for delay in [0, 1, 5, 20, 50, 100, 150, 180, 200, 220, 240, 260, 300, 500] {
        let mut agent = Running::agent(&zk, "register", "a", &["--port", "80"]);
        agent.ev("ready").await;
        sleep(Duration::from_millis(delay)).await;
        agent.signal(if delay % 20 == 0 { Signal::TERM } else { Signal::INT });
        let ended = agent.end().await;
        assert!(ended.status.success(), "after {delay} ms: {}", ended.status);
        // A ZooKeeper that takes too long for an end takes the node away with the session, as it is told.
        match ended.last()["clean"].as_bool() {
            Some(true) => {
                assert_eq!(truth.registered().await, [""; 0], "after {delay} ms");
                clean += 1;
            }
            Some(false) => truth.becomes(&[]).await,
            None => panic!("after {delay} ms: {:?}", ended.lines),
        }
    }
    assert!(clean > 0);
}

#[tokio::test]
async fn a_killed_agent_disappears_when_its_session_is_over() {
    let zk = Zk::short().await;
    let truth = zk.truth().await;
    let mut agent = Running::agent(&zk, "register", "a", &["--port", "80"]);
    agent.ev("registered").await;
    agent.signal(Signal::KILL);
    truth.becomes(&[]).await;
}

#[tokio::test]
async fn an_agent_starts_without_zookeeper_says_why_and_registers_when_that_is_there() {
    let zk = Zk::start().await;
    zk.cut_off(true);
    let mut agent = Running::agent(&zk, "register", "a", &["--port", "80"]);
    assert_eq!(agent.event(|_| true).await["ev"], "ready");
    let error = agent.ev("error").await;
    assert!(error["what"].as_str().unwrap().contains("could be reached"), "{error}");
    zk.cut_off(false);
    agent.ev("registered").await;
}

#[tokio::test]
async fn an_agent_without_zookeeper_ends_all_the_same_and_says_whether_it_is_clean() {
    let zk = Zk::start().await;
    zk.cut_off(true);
    let mut never = Running::agent(&zk, "register", "a", &["--port", "80"]);
    never.ev("error").await;
    never.signal(Signal::TERM);
    let ended = never.end().await;
    assert!(ended.status.success());
    // Nothing was ever there.
    assert_eq!(ended.last()["clean"], true);
    zk.cut_off(false);

    for (role, half_open) in [("register", false), ("register", true), ("watch", false)] {
        let mut agent = Running::agent(&zk, role, "a", &[]);
        agent.session("connected").await;
        agent.event(|event| event["ev"] == "registered" || event["ev"] == "view").await;
        if half_open {
            zk.proxy.stall(Direction::Both);
        } else {
            zk.cut_off(true);
        }
        agent.signal(Signal::TERM);
        let ended = agent.end().await;
        assert!(ended.status.success());
        assert_eq!(ended.last(), json!({"ev": "bye", "clean": false, "t": ended.last()["t"]}), "{role}");
        assert!(!ended.names().contains(&"deregistered".to_owned()), "{:?}", ended.lines);
        if half_open { zk.proxy.flow() } else { zk.cut_off(false) }
    }
}

#[tokio::test]
async fn a_short_cut_is_told_as_such_and_the_node_is_known_to_be_ours_again() {
    let zk = Zk::start().await;
    let mut agent = Running::agent(&zk, "register", "a", &["--port", "80"]);
    let first = agent.ev("registered").await;
    zk.proxy.cut();
    let suspended = agent.session("suspended").await;
    let connected = agent.session("connected").await;
    assert_eq!(suspended["session_id"], first["session_id"]);
    assert_eq!(connected["session_id"], first["session_id"]);
    assert_eq!(agent.ev("registered").await["session_id"], first["session_id"]);
    assert!(!agent.said.iter().any(|line| line.contains("expired")));
}

#[tokio::test]
async fn another_session_after_an_outage_means_that_the_earlier_one_expired() {
    let zk = Zk::short().await;
    let truth = zk.truth().await;
    let mut agent = Running::agent(&zk, "register", "a", &["--port", "80"]);
    let first = agent.ev("registered").await;
    zk.cut_off(true);
    agent.session("suspended").await;
    truth.becomes(&[]).await;
    zk.cut_off(false);
    let expired = agent.session("expired").await;
    assert_eq!(expired["session_id"], first["session_id"]);
    let connected = agent.event(|event| event["ev"] != "error").await;
    assert_eq!((&connected["ev"], &connected["state"]), (&json!("session"), &json!("connected")));
    assert_ne!(connected["session_id"], first["session_id"]);
    let again = agent.ev("registered").await;
    assert_eq!(again["session_id"], connected["session_id"]);
    assert_eq!(again["path"], first["path"]);
}

#[tokio::test]
async fn a_bad_line_is_an_error_and_changes_nothing() {
    let zk = Zk::start().await;
    let truth = zk.truth().await;
    let mut agent = Running::agent(&zk, "register", "a", &["--port", "80"]);
    agent.ev("registered").await;
    let before = truth.session.get(&format!("{TIME}/a")).await.unwrap();
    let long = [b"{\"cmd\":\"quit\",\"x\":\"".to_vec(), vec![b'x'; 300_000], b"\"}\n".to_vec()].concat();
    let lines: [&[u8]; 12] = [
        b"\n",
        b"quit\n",
        b"[\"quit\"]\n",
        b"{\"cmd\":\"explode\"}\n",
        b"{\"cmd\":\"quit\"\n",
        b"{\"cmd\":\"quit\",\"now\":1}\n",
        b"{\"cmd\":\"update\",\"port\":0}\n",
        b"{\"cmd\":\"update\",\"port\":99999}\n",
        b"{\"cmd\":\"update\",\"weight\":-1}\n",
        b"{\"cmd\":\"resign\"}\n",
        b"\xff\xfe{\"cmd\":\"quit\"}\n",
        &long,
    ];
    for line in lines {
        agent.tell(line).await;
        let answer = agent.event(|_| true).await;
        assert_eq!(answer["ev"], "error", "{}", String::from_utf8_lossy(&line[..line.len().min(60)]));
    }
    assert_eq!(truth.session.get(&format!("{TIME}/a")).await.unwrap(), before);
    agent.tell(b"{\"cmd\":\"deregister\"}\n").await;
    agent.ev("deregistered").await;
    // There is nothing to change any more, and it does not come back.
    agent.tell(b"{\"cmd\":\"update\",\"port\":82}\n").await;
    agent.ev("error").await;
    zk.proxy.cut();
    agent.session("connected").await;
    assert_eq!(truth.registered().await, [""; 0]);
}

#[tokio::test]
async fn the_end_of_stdin_is_not_a_command() {
    let zk = Zk::start().await;
    let mut agent = Running::agent(&zk, "register", "a", &["--port", "80"]);
    agent.close_stdin();
    agent.ev("registered").await;
    zk.proxy.cut();
    agent.session("suspended").await;
    agent.ev("registered").await;
    agent.signal(Signal::TERM);
    let ended = agent.end().await;
    assert_eq!(ended.names(), ["deregistered", "closed", "bye"]);
    assert!(ended.status.success());
}

#[tokio::test]
async fn an_agent_deregistered_while_cut_off_stays_away() {
    let zk = Zk::start().await;
    let truth = zk.truth().await;
    let mut agent = Running::agent(&zk, "register", "a", &["--port", "80"]);
    agent.ev("registered").await;
    zk.cut_off(true);
    agent.session("suspended").await;
    agent.tell(b"{\"cmd\":\"deregister\"}\n").await;
    zk.cut_off(false);
    agent.ev("deregistered").await;
    assert_eq!(truth.registered().await, [""; 0]);
    zk.proxy.cut();
    agent.session("connected").await;
    assert_eq!(truth.registered().await, [""; 0]);
}

#[tokio::test]
async fn the_newest_of_two_with_one_name_wins_and_the_other_says_so() {
    let zk = Zk::start().await;
    let truth = zk.truth().await;
    let mut older = Running::agent(&zk, "register", "a", &["--port", "80"]);
    older.ev("registered").await;
    let mut newer = Running::agent(&zk, "register", "a", &["--port", "81"]);
    newer.ev("registered").await;
    let error = older.ev("error").await;
    assert!(error["what"].as_str().unwrap().contains("newer process"), "{error}");
    older.tell(b"{\"cmd\":\"deregister\"}\n").await;
    let error = older.ev("error").await;
    assert!(error["what"].as_str().unwrap().contains("not done: "), "{error}");
    older.tell(b"{\"cmd\":\"quit\"}\n").await;
    let ended = older.end().await;
    assert!(ended.status.success());
    // The node is there, and is the newer one's.
    assert_eq!(ended.names(), ["closed", "bye"]);
    let node = truth.session.get(&format!("{TIME}/a")).await.unwrap().unwrap();
    assert_eq!(decode(&node.data).unwrap().address.unwrap().port(), 81);
}

#[tokio::test]
async fn a_watcher_tells_every_change_and_how_far_it_can_be_trusted() {
    let zk = Zk::start().await;
    let truth = zk.truth().await;
    let mut watcher = Running::agent(&zk, "watch", "w", &[]);
    assert_eq!(watcher.event(|_| true).await["ev"], "ready");
    watcher.view(&[], "live").await;

    truth.put("b", br#"{"server_ip":"::1","server_port":81}"#).await;
    let view = watcher.view(&["b"], "live").await;
    assert_eq!(view["instances"], json!([{"id": "b", "addr": "::1", "port": 81}]));
    truth.put("a", br#"{"server_unique_code":"x"}"#).await;
    let view = watcher.view(&["a", "b"], "live").await;
    assert_eq!(view["instances"][0], json!({"id": "a", "addr": null, "port": null}));

    zk.cut_off(true);
    watcher.view(&["a", "b"], "stale").await;
    truth.put("c", br#"{"server_unique_code":"x"}"#).await;
    zk.cut_off(false);
    watcher.view(&["a", "b", "c"], "live").await;

    watcher.tell(b"{\"cmd\":\"deregister\"}\n").await;
    watcher.ev("error").await;
    watcher.tell(b"{\"cmd\":\"quit\"}\n").await;
    let ended = watcher.end().await;
    assert!(ended.status.success());
    assert_eq!(ended.names(), ["closed", "bye"]);
}

#[tokio::test]
async fn a_watcher_tells_of_a_bad_node_once_for_each_of_its_versions() {
    let zk = Zk::start().await;
    let truth = zk.truth().await;
    let mut watcher = Running::agent(&zk, "watch", "w", &[]);
    watcher.view(&[], "live").await;
    let path = format!("{TIME}/x");
    let is_bad = |event: &Value| event["ev"] == "bad-node" && event["path"] == path.as_str();

    truth.put("x", b"nonsense").await;
    let bad = watcher.event(is_bad).await;
    assert!(!bad["reason"].as_str().unwrap().is_empty());
    // Read again, it is the same version: nothing is told of it.
    zk.proxy.cut();
    watcher.session("connected").await;
    truth.put("y", br#"{"server_unique_code":"x"}"#).await;
    watcher.view(&["y"], "live").await;
    assert_eq!(watcher.said.iter().filter(|line| line.contains("bad-node")).count(), 1);

    truth.session.set(&path, b"other nonsense", None).await.unwrap();
    watcher.event(is_bad).await;
    truth.session.set(&path, br#"{"server_unique_code":"x"}"#, None).await.unwrap();
    let view = watcher.view(&["x", "y"], "live").await;
    assert_eq!(names(&view), ["x", "y"]);
}
