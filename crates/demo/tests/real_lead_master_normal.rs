//! What is promised of leaders holds in the master/normal layout as well, as far as that lets it; on a real server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use std::time::Duration;

use proto::master_normal::decode;
use rustix::process::Signal;
use tokio::time::{sleep, timeout};
use zk_local::Direction;

use self::common::leading::{acquired, acts, ledger, lost, summary};
use self::common::{PATIENCE, Running, Truth, Zk};

const DIR: &str = "/micro-service/time";
const MASTER: &str = "/micro-service/time/master";

/// One that joined, and is registered at `path` by now.
async fn joined(zk: &Zk, name: &str, ledger: &str, path: &str) -> Running {
    let layout = ["--layout", "master-normal", "--root", "/micro-service", "--ledger", ledger];
    let mut agent = Running::agent(zk, "lead", name, &layout);
    registered(&mut agent, path).await;
    agent
}

/// Waits until it says that it is registered there; names may go on.
async fn registered(agent: &mut Running, path: &str) {
    let at = |event: &serde_json::Value| {
        event["ev"] == "registered" && event["path"].as_str().unwrap().starts_with(path)
    };
    agent.event(at).await;
}

/// Who is in the directory: the role of each and its code, in order.
async fn members(truth: &Truth) -> Vec<(String, String)> {
    truth.session.sync("/").await.unwrap();
    let mut members = Vec::new();
    for name in truth.session.children(DIR).await.unwrap() {
        let role = name.trim_end_matches(|digit: char| digit.is_ascii_digit()).to_owned();
        if let Some(node) = truth.session.get(&format!("{DIR}/{name}")).await.unwrap() {
            members.push((role, decode(&node.data).unwrap().0.unique_code.unwrap()));
        }
    }
    members.sort();
    members
}

async fn become_(truth: &Truth, wanted: &[(&str, &str)]) {
    let wanted: Vec<_> = wanted.iter().map(|(role, code)| (role.to_string(), code.to_string())).collect();
    let reached = async {
        while members(truth).await != wanted {
            sleep(Duration::from_millis(10)).await;
        }
    };
    if timeout(PATIENCE, reached).await.is_err() {
        panic!("waited for {wanted:?}, there are {:?}", members(truth).await);
    }
}

#[tokio::test]
async fn a_master_that_is_killed_or_asked_to_go_is_succeeded_in_a_greater_term() {
    let zk = Zk::short().await;
    let truth = zk.truth().await;
    let (mut ledger, at) = ledger().await;
    let mut a = joined(&zk, "a", &at, MASTER).await;
    let first = acquired(&mut a).await;
    acts(&mut ledger, "a", first).await;
    assert_eq!(truth.session.get(MASTER).await.unwrap().unwrap().stat.czxid, first);
    let mut b = joined(&zk, "b", &at, "/micro-service/time/normal").await;
    become_(&truth, &[("master", "a"), ("normal", "b")]).await;

    a.signal(Signal::KILL);
    let second = acquired(&mut b).await;
    assert!(second > first, "{second} after {first}");
    acts(&mut ledger, "b", second).await;
    become_(&truth, &[("master", "b")]).await;

    let mut c = joined(&zk, "c", &at, "/micro-service/time/normal").await;
    b.signal(Signal::TERM);
    let third = acquired(&mut c).await;
    assert!(third > second, "{third} after {second}");
    assert!(b.end().await.status.success());
    become_(&truth, &[("master", "c")]).await;
    c.signal(Signal::TERM);
    let ended = c.end().await;
    assert!(ended.status.success());
    assert_eq!(ended.names(), ["leader-lost", "deregistered", "closed", "bye"]);
    assert_eq!(members(&truth).await, []);
    assert_eq!(summary(ledger).await.1, 0);
}

#[tokio::test]
async fn a_candidate_whose_node_went_with_its_session_says_that_it_is_registered_no_more() {
    let zk = Zk::start().await;
    let layout = ["--layout", "master-normal", "--root", "/micro-service"];
    for _ in 0..20 {
        let mut agent = Running::agent(&zk, "lead", "a", &layout);
        registered(&mut agent, MASTER).await;
        zk.proxy.stall(Direction::ToClient);
        agent.signal(Signal::TERM);
        // Longer than the node may take to go, and shorter than that and the end of the session.
        sleep(Duration::from_millis(1_300)).await;
        zk.proxy.flow();
        let ended = agent.end().await;
        let told = ended.names().contains(&"deregistered".to_owned());
        let clean = ended.last()["clean"] == true;
        assert_eq!(told, clean, "{:?}", ended.lines);
        // On a busy machine it may have been later.
        if clean {
            return;
        }
    }
    panic!("it never ended in time");
}

#[tokio::test]
async fn a_master_that_was_stopped_for_longer_than_its_session_does_not_go_on_and_is_normal_again() {
    let zk = Zk::short().await;
    let truth = zk.truth().await;
    let (mut ledger, at) = ledger().await;
    let mut leads = joined(&zk, "a", &at, MASTER).await;
    let mut token = acquired(&mut leads).await;
    let mut waits = joined(&zk, "b", &at, "/micro-service/time/normal").await;
    for [now, next] in [["a", "b"], ["b", "a"]] {
        become_(&truth, &[("master", now), ("normal", next)]).await;
        leads.signal(Signal::STOP);
        let later = acquired(&mut waits).await;
        assert!(later > token, "{later} after {token}");
        acts(&mut ledger, next, later).await;
        leads.signal(Signal::CONT);
        let over = leads.ev("leader-lost").await;
        assert_eq!(over["reason"], "lease-ended");
        (leads, waits, token) = (waits, leads, later);
    }
    become_(&truth, &[("master", "a"), ("normal", "b")]).await;
    let (accepted, refused) = summary(ledger).await;
    assert!(accepted >= 5 && refused <= 1, "{accepted} accepted, {refused} refused");
}

#[tokio::test]
async fn a_master_that_is_cut_off_stops_by_itself_and_leads_on_when_it_was_short() {
    let zk = Zk::short().await;
    let truth = zk.truth().await;
    let (mut ledger, at) = ledger().await;
    let mut a = joined(&zk, "a", &at, MASTER).await;
    let first = acquired(&mut a).await;
    acts(&mut ledger, "a", first).await;
    zk.proxy.cut();
    a.session("connected").await;
    assert!(!a.said.iter().any(|line| line.contains("leader-lost")), "{:?}", a.said);

    zk.proxy.stall(Direction::Both);
    assert_eq!(a.ev("leader-lost").await["reason"], "lease-ended");
    zk.proxy.flow();
    acquired(&mut a).await;
    become_(&truth, &[("master", "a")]).await;
    a.signal(Signal::TERM);
    assert!(a.end().await.status.success());
    assert_eq!(members(&truth).await, []);
    assert_eq!(summary(ledger).await.1, 0);
}

#[tokio::test]
async fn the_end_at_any_moment_leaves_no_node() {
    let zk = Zk::start().await;
    let truth = zk.truth().await;
    let (_ledger, at) = ledger().await;
    let master = joined(&zk, "z", &at, MASTER).await;
    for delay in [0, 1, 5, 10, 20, 30, 60, 200] {
        let layout = ["--layout", "master-normal", "--root", "/micro-service"];
        let mut agent = Running::agent(&zk, "lead", "a", &layout);
        agent.ev("ready").await;
        sleep(Duration::from_millis(delay)).await;
        agent.signal(Signal::TERM);
        assert!(agent.end().await.status.success(), "after {delay} ms");
        assert_eq!(members(&truth).await, [("master".to_owned(), "z".to_owned())], "after {delay} ms");
    }
    drop(master);
}

#[tokio::test]
async fn who_is_turned_away_stops_and_comes_back_with_a_greater_token() {
    use tokio::io::AsyncWriteExt;

    let zk = Zk::start().await;
    let (mut ledger, at) = ledger().await;
    let mut a = joined(&zk, "a", &at, MASTER).await;
    let first = acquired(&mut a).await;
    acts(&mut ledger, "a", first).await;
    let mut other = tokio::net::TcpStream::connect(&at).await.unwrap();
    let line = format!("{{\"who\":\"other\",\"token\":{},\"seq\":1}}\n", first + 1);
    other.write_all(line.as_bytes()).await.unwrap();
    a.ev("fenced").await;
    lost(&mut a, first, "fenced").await;
    let second = acquired(&mut a).await;
    assert!(second > first + 1, "{second} after {first}");
    assert_eq!(summary(ledger).await.1, 1);
}
