//! Agents that stand for election: one acts, the others take over, and nobody acts who should not; on a real server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use std::time::Duration;

use proto::decode;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use zk_local::Direction;

use self::common::leading::{acquired, acts, ledger, lost, summary};
use self::common::{PATIENCE, Running, Truth, Zk};

const ELECTION: &str = "/headkeeper/time/election";

async fn candidate(zk: &Zk, name: &str, ledger: &str) -> Running {
    let mut agent = Running::agent(zk, "lead", name, &["--ledger", ledger]);
    agent.session("connected").await;
    agent
}

/// One that leads, and its token.
async fn leader(zk: &Zk, name: &str, ledger: &str) -> (Running, i64) {
    let mut agent = candidate(zk, name, ledger).await;
    let token = acquired(&mut agent).await;
    (agent, token)
}

/// The names of the candidates' nodes.
async fn candidates(truth: &Truth) -> Vec<String> {
    truth.session.sync("/").await.unwrap();
    let mut names = truth.session.children(ELECTION).await.unwrap();
    names.sort();
    names
}

async fn candidates_become(truth: &Truth, wanted: impl Fn(&[String]) -> bool) {
    let reached = async {
        while !wanted(&candidates(truth).await) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    if timeout(PATIENCE, reached).await.is_err() {
        panic!("waited in vain, there are {:?}", candidates(truth).await);
    }
}

fn has(names: &[String], id: &str) -> bool {
    names.iter().any(|name| name.starts_with(&format!("{id}-")))
}

/// Tells whose turn comes next by standing in line one after the other.
async fn three(zk: &Zk, truth: &Truth, at: &str) -> ([Running; 3], i64) {
    let (a, token) = leader(zk, "a", at).await;
    let b = candidate(zk, "b", at).await;
    candidates_become(truth, |names| names.len() == 2).await;
    let c = candidate(zk, "c", at).await;
    candidates_become(truth, |names| names.len() == 3).await;
    ([a, b, c], token)
}

#[tokio::test]
async fn one_of_three_acts_and_the_next_takes_over_when_it_is_killed() {
    let zk = Zk::short().await;
    let truth = zk.truth().await;
    let (mut ledger, at) = ledger().await;
    let ([a, mut b, mut c], first) = three(&zk, &truth, &at).await;
    acts(&mut ledger, "a", first).await;
    let told = a.said.iter().find(|line| line.contains("leader-acquired")).unwrap();
    let told = common::json(told);
    let node = truth.session.get(told["path"].as_str().unwrap()).await.unwrap().unwrap();
    assert_eq!(node.stat.czxid, first);
    assert_eq!(node.stat.owner.unwrap().to_string(), told["session_id"].as_str().unwrap());
    assert_eq!(decode(&node.data).unwrap().unique_code.as_deref(), Some("a"));

    a.signal(Signal::KILL);
    let second = acquired(&mut b).await;
    assert!(second > first, "{second} after {first}");
    acts(&mut ledger, "b", second).await;

    // Asked to go, it goes in order.
    b.signal(Signal::TERM);
    let third = acquired(&mut c).await;
    assert!(third > second, "{third} after {second}");
    acts(&mut ledger, "c", third).await;
    let ended = b.end().await;
    assert!(!has(&candidates(&truth).await, "b"));
    assert_eq!(ended.names(), ["leader-lost", "closed", "bye"]);
    assert_eq!(ended.events()[0]["reason"], "resigned");
    assert!(ended.status.success() && ended.last()["clean"] == true);
    assert!(a.end().await.status.code().is_none());
    c.tell(b"{\"cmd\":\"quit\"}\n").await;
    assert_eq!(c.end().await.names(), ["leader-lost", "closed", "bye"]);
    assert_eq!(candidates(&truth).await, [""; 0]);
    assert_eq!(summary(ledger).await.1, 0);
}

#[tokio::test]
async fn a_leader_that_was_stopped_for_longer_than_its_session_does_not_go_on() {
    let zk = Zk::short().await;
    let truth = zk.truth().await;
    let (mut ledger, at) = ledger().await;
    let (mut leads, mut token) = leader(&zk, "a", &at).await;
    let mut waits = candidate(&zk, "b", &at).await;
    acts(&mut ledger, "a", token).await;
    for next_who in ["b", "a", "b", "a"] {
        candidates_become(&truth, |names| names.len() == 2).await;
        leads.signal(Signal::STOP);
        let next = acquired(&mut waits).await;
        assert!(next > token, "{next} after {token}");
        acts(&mut ledger, next_who, next).await;
        leads.signal(Signal::CONT);
        let over = leads.ev("leader-lost").await;
        // It found that out by its clock, before anybody told it.
        assert_eq!((&over["token"], &over["reason"]), (&json!(token), &json!("lease-ended")));
        // It stands again, behind the other.
        leads.session("expired").await;
        leads.session("connected").await;
        (leads, waits) = (waits, leads);
        token = next;
    }
    let changes = ledger.said.iter().map(|line| common::json(line)).filter(|line| line["kind"] == "holder");
    assert!(changes.map(|line| line["token"].as_i64()).is_sorted(), "{:?}", ledger.said);
    // One that was stopped between the guard and the act may be late with that act; not one after the other.
    let (accepted, refused) = summary(ledger).await;
    assert!(accepted >= 5 && refused <= 1, "{accepted} accepted, {refused} refused");
}

#[tokio::test]
async fn a_leader_that_resigns_is_followed_by_the_next_and_stays_away() {
    let zk = Zk::start().await;
    let truth = zk.truth().await;
    let (mut ledger, at) = ledger().await;
    let (mut a, first) = leader(&zk, "a", &at).await;
    let mut b = candidate(&zk, "b", &at).await;
    candidates_become(&truth, |names| names.len() == 2).await;

    a.tell(b"{\"cmd\":\"deregister\"}\n{\"cmd\":\"lead\"}\n").await;
    for why in ["resigns", "is unknown"] {
        let error = a.event(|event| event["ev"] != "session").await;
        assert!(error["what"].as_str().unwrap().contains(why), "{error}");
    }
    a.tell(b"{\"cmd\":\"update\",\"weight\":7}\n{\"cmd\":\"update\",\"port\":81}\n").await;
    let changed = async {
        loop {
            let node = truth.session.get(&format!("{ELECTION}/a-0000000000")).await.unwrap().unwrap();
            let data = decode(&node.data).unwrap();
            if (data.weight, data.address.map(|at| at.to_string())) == (7, Some("127.0.0.1:81".to_owned())) {
                return node.stat.czxid;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    assert_eq!(timeout(PATIENCE, changed).await.unwrap(), first);

    a.tell(b"{\"cmd\":\"resign\"}\n").await;
    lost(&mut a, first, "resigned").await;
    let second = acquired(&mut b).await;
    assert!(second > first, "{second} after {first}");
    acts(&mut ledger, "b", second).await;
    for command in [&b"{\"cmd\":\"resign\"}\n"[..], b"{\"cmd\":\"update\",\"weight\":3}\n"] {
        a.tell(command).await;
        let error = a.event(|event| event["ev"] != "session").await;
        let what = error["what"].as_str().unwrap();
        assert!(what.starts_with("not done: ") && what.contains("stands for election no more"), "{what}");
    }
    // For good, on other connections too.
    zk.proxy.cut();
    a.session("connected").await;
    b.session("connected").await;
    candidates_become(&truth, |names| !has(names, "a")).await;
    a.signal(Signal::INT);
    let ended = a.end().await;
    assert_eq!(ended.names(), ["closed", "bye"]);
    assert_eq!(summary(ledger).await.1, 0);
}

#[tokio::test]
async fn who_resigns_while_cut_off_has_left_when_it_is_back() {
    let zk = Zk::start().await;
    let truth = zk.truth().await;
    let (_ledger, at) = ledger().await;
    let (mut a, token) = leader(&zk, "a", &at).await;
    zk.cut_off(true);
    a.session("suspended").await;
    a.tell(b"{\"cmd\":\"resign\"}\n").await;
    let over = a.ev("leader-lost").await;
    assert_eq!(over["token"], token);
    zk.cut_off(false);
    let again = a.session("connected").await;
    candidates_become(&truth, <[String]>::is_empty).await;
    zk.proxy.cut();
    let later = a.session("connected").await;
    assert_eq!(later["session_id"], again["session_id"]);
    assert_eq!(candidates(&truth).await, [""; 0]);
}

#[tokio::test]
async fn the_end_of_a_candidate_at_any_moment_leaves_no_node() {
    let zk = Zk::short().await;
    let truth = zk.truth().await;
    let (_ledger, at) = ledger().await;
    // The directory, for there to be one to look into.
    drop(leader(&zk, "z", &at).await);
    candidates_become(&truth, <[String]>::is_empty).await;
    let mut clean = 0;
    for delay in [0, 1, 5, 10, 15, 20, 25, 30, 40, 60, 100, 200] {
        let mut agent = Running::agent(&zk, "lead", "a", &["--ledger", &at]);
        agent.ev("ready").await;
        sleep(Duration::from_millis(delay)).await;
        agent.signal(if delay % 20 == 0 { Signal::TERM } else { Signal::INT });
        let ended = agent.end().await;
        assert!(ended.status.success(), "after {delay} ms: {}", ended.status);
        // A ZooKeeper that takes too long for an end takes the node away with the session, as it is told.
        match ended.last()["clean"].as_bool() {
            Some(true) => {
                assert_eq!(candidates(&truth).await, [""; 0], "after {delay} ms");
                clean += 1;
            }
            Some(false) => candidates_become(&truth, <[String]>::is_empty).await,
            None => panic!("after {delay} ms: {:?}", ended.lines),
        }
        let names = ended.names();
        let count = |name: &str| names.iter().filter(|told| *told == name).count();
        assert_eq!(count("leader-acquired"), count("leader-lost"), "after {delay} ms: {names:?}");
    }
    assert!(clean > 0);
}

#[tokio::test]
async fn a_leader_without_zookeeper_steps_down_by_itself_and_ends_all_the_same() {
    let zk = Zk::short().await;
    let (mut ledger, at) = ledger().await;
    let (mut a, first) = leader(&zk, "a", &at).await;
    acts(&mut ledger, "a", first).await;
    for half_open in [true, false] {
        if half_open {
            zk.proxy.stall(Direction::Both);
        } else {
            zk.cut_off(true);
        }
        let over = a.ev("leader-lost").await;
        // By its own clock, before the session is over: nobody else leads before that.
        assert_eq!(over["reason"], "lease-ended");
        assert!(!a.said.iter().any(|line| line.contains("expired")), "{:?}", a.said);
        if half_open {
            zk.proxy.flow();
            acquired(&mut a).await;
            a.said.clear();
        }
    }
    a.signal(Signal::TERM);
    let ended = a.end().await;
    assert!(ended.status.success());
    assert_eq!((&ended.last()["ev"], &ended.last()["clean"]), (&json!("bye"), &json!(false)));
    assert_eq!(summary(ledger).await.1, 0);
}

#[tokio::test]
async fn who_is_turned_away_stops_and_comes_back_with_a_greater_token() {
    let zk = Zk::start().await;
    let (mut ledger, at) = ledger().await;
    let (mut a, first) = leader(&zk, "a", &at).await;
    acts(&mut ledger, "a", first).await;
    let mut other = TcpStream::connect(&at).await.unwrap();
    let line = format!("{{\"who\":\"other\",\"token\":{},\"seq\":1}}\n", first + 1);
    other.write_all(line.as_bytes()).await.unwrap();
    let fenced = a.ev("fenced").await;
    assert_eq!((&fenced["token"], &fenced["max"]), (&json!(first), &json!(first + 1)));
    lost(&mut a, first, "fenced").await;
    let second = acquired(&mut a).await;
    assert!(second > first + 1, "{second} after {first}");
    acts(&mut ledger, "a", second).await;
    // It stopped at the first refusal.
    assert_eq!(summary(ledger).await.1, 1);
}

#[tokio::test]
async fn a_ledger_that_is_silent_away_or_mad_keeps_nobody_from_leading_or_ending() {
    let zk = Zk::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let (mut a, token) = leader(&zk, "a", &at).await;
    let says = |text: &'static str| {
        move |event: &Value| event["ev"] == "error" && event["what"].as_str().unwrap().contains(text)
    };

    let (mut silent, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    a.event(says("did not answer within 1s")).await;
    // It waited for the answer: one act, and no other.
    let mut got = String::new();
    silent.read_to_string(&mut got).await.unwrap();
    assert_eq!(got, format!("{{\"who\":\"a\",\"token\":{token},\"seq\":1}}\n"));

    for (answer, why) in [
        ("nonsense\n".to_owned(), "no answer"),
        ("x".repeat(10_000), "more than 4096 bytes"),
        ("{\"ok\":false,\"error\":\"what?\",\"max\":1}\n".to_owned(), "understood nothing: what?"),
    ] {
        let (mut mad, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        let mut asked = [0];
        timeout(PATIENCE, mad.read_exact(&mut asked)).await.unwrap().unwrap();
        mad.write_all(answer.as_bytes()).await.unwrap();
        a.event(says(why)).await;
    }
    drop(listener);
    a.event(says("cannot be reached")).await;
    a.signal(Signal::TERM);
    let ended = a.end().await;
    assert!(ended.status.success());
    let names: Vec<_> = ended.names().into_iter().filter(|name| name != "error").collect();
    assert_eq!(names, ["leader-lost", "closed", "bye"]);
}
