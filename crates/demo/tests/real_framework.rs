//! The master/normal layout beside programs that play the old framework, with another ZooKeeper client; on a real server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use std::collections::BTreeMap;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::timeout;
use zk_session::{Changes, Kind, What};

use self::common::foreign::{printed, started};
use self::common::{PATIENCE, Running, Truth, Zk, demo, patient, run, stderr, stdout};

const DIRECTORY: &str = "/micro-service/testserver";
const WHERE: [&str; 4] = ["--root", "/micro-service", "--service", "testserver"];
const OURS: [&str; 2] = ["--layout", "master-normal"];

fn ours(zk: &Zk, command: &[&str]) -> tokio::process::Command {
    let flags = command.iter().chain(&OURS).chain(&WHERE).chain(patient(command));
    demo(flags.map(|&it| it.to_owned()).chain(zk.flags()))
}

/// A process in the fleet.
struct Member {
    running: Running,
    code: String,
    address: String,
    /// Its first node.
    path: String,
}

impl Member {
    /// A server of ours with this code, registered.
    async fn ours(zk: &Zk, code: &str) -> Self {
        let (mut running, address) =
            Running::server(zk, &[&OURS[..], &WHERE, &["--unique-code", code]].concat()).await;
        let said = running.line(|line| line.starts_with("registered at ")).await;
        let path = said.split_whitespace().nth(2).unwrap().to_owned();
        Self { running, code: code.to_owned(), address, path }
    }

    /// A foreign one with this code, registered.
    async fn foreign(zk: &Zk, code: &str, more: &[&str]) -> Self {
        let flags = [&["join", "--code", code], &WHERE[..], more].concat();
        let (running, said) = started(zk, "framework", &flags).await;
        let text = |key: &str| said[key].as_str().unwrap().to_owned();
        let member = Self { running, code: code.to_owned(), address: text("address"), path: text("path") };
        assert_eq!(member.is_master(), said["role"] == "master");
        member
    }

    /// Whether it was the master from its beginning.
    fn is_master(&self) -> bool {
        self.path == format!("{DIRECTORY}/master")
    }

    /// What is in its node, as the old readers have it.
    fn node(&self) -> Value {
        let (ip, port) = self.address.rsplit_once(':').unwrap();
        json!({
            "serverip": ip, "serverport": port.parse::<u16>().unwrap(), "username": "", "userpwd": "",
            "serveruniquecode": self.code, "weight": 1
        })
    }

    async fn end_by(self, signal: Signal) {
        self.running.signal(signal);
        self.running.end().await;
    }
}

/// Who is what, as the old readers see it now.
async fn list(zk: &Zk) -> Value {
    printed(zk, "framework", &[&["list"], &WHERE[..]].concat()).await.pop().unwrap()
}

/// Follows who is what as the old readers do, from what is there now.
async fn watch(zk: &Zk) -> Running {
    started(zk, "framework", &[&["watch"], &WHERE[..]].concat()).await.0
}

fn seen(master: &Value, normal: &[&Value]) -> Value {
    json!({ "master": master, "normal": normal, "bad": [] })
}

fn codes(seen: &Value) -> (Option<&str>, Vec<&str>) {
    let normal = seen["normal"].as_array().unwrap().iter();
    let mut normal: Vec<_> = normal.map(|node| node["serveruniquecode"].as_str().unwrap()).collect();
    normal.sort_unstable();
    (seen["master"]["serveruniquecode"].as_str(), normal)
}

/// The children that were made and deleted, in this order, up to when `last` was.
async fn chronicle(mut changes: Changes, last: &str) -> Vec<(What, String)> {
    let mut all = Vec::new();
    let whole = async {
        while let Some(change) = changes.next().await {
            let done = change.what == What::Deleted && change.path == last;
            all.push((change.what, change.path));
            if done {
                return;
            }
        }
        panic!("the connection ended");
    };
    timeout(PATIENCE, whole).await.unwrap();
    all
}

#[tokio::test]
async fn ours_is_normal_beside_a_foreign_master_and_follows_it_without_a_gap() {
    for signal in [Signal::TERM, Signal::KILL] {
        let zk = Zk::start().await;
        let truth = zk.truth().await;
        let first = Member::foreign(&zk, "first", &[]).await;
        assert!(first.is_master());
        let second = Member::ours(&zk, "second").await;
        assert!(second.path.starts_with(&format!("{DIRECTORY}/normal")), "{}", second.path);
        let before = seen(&first.node(), &[&second.node()]);
        assert_eq!(list(&zk).await, before);
        // The old readers may parse by hand.
        let node = truth.session.get(&second.path).await.unwrap().unwrap();
        let port = second.address.rsplit_once(':').unwrap().1;
        assert_eq!(
            String::from_utf8(node.data).unwrap(),
            format!(
                r#"{{"serverip":"127.0.0.1","serverport":{port},"username":"","userpwd":"","serveruniquecode":"second","weight":1}}"#
            )
        );

        let mut watch = watch(&zk).await;
        let changes = truth.session.watch_tree(DIRECTORY).await.unwrap();
        first.end_by(signal).await;
        let after = seen(&second.node(), &[]);
        watch.event(|now| *now == after).await;
        for seen in watch.said.iter().map(|line| common::json(line)) {
            let (master, normal) = codes(&seen);
            assert!(master == Some("second") || normal == ["second"], "{seen}");
        }
        // What nobody happened to see was so, too: it is the master before it is normal no more.
        let master = format!("{DIRECTORY}/master");
        let happened = chronicle(changes, &second.path).await;
        let expected =
            [(What::Deleted, master.clone()), (What::Created, master), (What::Deleted, second.path.clone())];
        assert_eq!(happened, expected);
        assert_eq!(list(&zk).await, after);
    }
}

#[tokio::test]
async fn a_foreign_one_is_normal_beside_our_master_and_follows_it() {
    let zk = Zk::start().await;
    let mut first = Member::ours(&zk, "first").await;
    assert!(first.is_master());
    first.running.line(|line| line.starts_with("leads testserver in term ")).await;
    let mut second = Member::foreign(&zk, "second", &[]).await;
    assert!(!second.is_master());
    assert_eq!(list(&zk).await, seen(&first.node(), &[&second.node()]));
    let told = run(ours(&zk, &["master", "--json"])).await;
    let told = common::json(stdout(&told).trim_end());
    assert_eq!(told["master"]["data"]["server_unique_code"], "first");

    first.running.signal(Signal::TERM);
    second.running.event(|it| it["role"] == "master" && it["path"] == format!("{DIRECTORY}/master")).await;
    assert!(first.running.end().await.status.success());
    assert_eq!(list(&zk).await, seen(&second.node(), &[]));
    let told = run(ours(&zk, &["master"])).await;
    assert!(stdout(&told).contains(&second.address), "{}", stdout(&told));
}

#[tokio::test]
async fn a_mixed_fleet_has_one_master_after_each_of_five_is_killed() {
    let zk = Zk::short().await;
    let mut fleet = BTreeMap::new();
    for turn in 0..3 {
        for member in [
            Member::foreign(&zk, &format!("foreign-{turn}"), &[]).await,
            Member::ours(&zk, &format!("ours-{turn}")).await,
        ] {
            fleet.insert(member.code.clone(), member);
        }
    }
    let mut watch = watch(&zk).await;
    let mut now = list(&zk).await;
    for killed in 0..=5 {
        let (master, normal) = codes(&now);
        let master = master.unwrap().to_owned();
        let others: Vec<_> = fleet.keys().filter(|&code| *code != master).collect();
        assert_eq!(normal, others, "{now}");
        let nodes: Vec<_> = normal.iter().map(|&code| fleet[code].node()).collect();
        assert!(nodes.iter().all(|node| now["normal"].as_array().unwrap().contains(node)), "{now}");
        assert_eq!((&now["master"], &now["bad"]), (&fleet[&master].node(), &json!([])));
        if killed == 5 {
            break;
        }
        fleet.remove(&master).unwrap().end_by(Signal::KILL).await;
        watch
            .event(|seen| {
                let (next, normal) = codes(seen);
                next.is_some_and(|next| next != master && !normal.contains(&next))
                    && normal.len() + 1 == fleet.len()
            })
            .await;
        // Whoever comes in its place stands behind the others.
        let next = format!("{}-{}", if killed % 2 == 0 { "ours" } else { "foreign" }, killed + 3);
        let member = match killed % 2 {
            0 => Member::ours(&zk, &next).await,
            _ => Member::foreign(&zk, &next, &[]).await,
        };
        fleet.insert(next, member);
        now = watch.event(|seen| codes(seen).1.len() + 1 == fleet.len()).await;
    }
}

/// Who answered a client that chooses by this algorithm.
async fn answered(zk: &Zk, algorithm: loadbalance::Name) -> Vec<String> {
    let key = match algorithm.key() {
        Some(loadbalance::KeyKind::Client) => &["--key", "192.0.2.7"][..],
        Some(_) => &["--key", "/time"],
        None => &[],
    };
    let flags = ["client", "--json", "--requests", "12", "--interval", "0s", "--timeout", "20s"];
    let output = run(ours(zk, &[&flags[..], &["--algorithm", algorithm.as_str()], key].concat())).await;
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    let lines: Vec<_> = stdout(&output).lines().map(common::json).collect();
    let requests = lines[..12].iter();
    requests
        .map(|it| {
            assert!(it["refused"].as_array().unwrap().is_empty(), "{it}");
            it["line"].as_str().unwrap().split_once(' ').unwrap().0.to_owned()
        })
        .collect()
}

#[tokio::test]
async fn our_client_is_answered_by_normal_ones_and_by_a_master_that_is_alone() {
    for ours_leads in [false, true] {
        let zk = Zk::start().await;
        let master = match ours_leads {
            true => Member::ours(&zk, "master").await,
            false => Member::foreign(&zk, "master", &[]).await,
        };
        let normal = [Member::ours(&zk, "ours").await, Member::foreign(&zk, "foreign", &[]).await];
        for algorithm in loadbalance::Name::ALL {
            let by = answered(&zk, algorithm).await;
            assert!(by.iter().all(|by| normal.iter().any(|it| it.address == *by)), "{algorithm}: {by:?}");
        }
        let in_turn = answered(&zk, loadbalance::Name::RoundRobin).await;
        for member in &normal {
            assert_eq!(in_turn.iter().filter(|by| **by == member.address).count(), 6, "{in_turn:?}");
        }
        let mut watch = watch(&zk).await;
        for member in normal {
            member.end_by(Signal::TERM).await;
        }
        watch.event(|now| *now == seen(&master.node(), &[])).await;
        for algorithm in loadbalance::Name::ALL {
            let by = answered(&zk, algorithm).await;
            assert!(by.iter().all(|by| *by == master.address), "{algorithm}: {by:?}");
        }
    }
}

#[tokio::test]
async fn bad_nodes_are_told_and_passed_over_and_passwords_are_shown_to_whoever_asks_for_them() {
    let zk = Zk::start().await;
    let truth = zk.truth().await;
    let secret = ["--username", "jane", "--userpwd", "hunter2"];
    let master = Member::foreign(&zk, "master", &secret).await;
    let normal = Member::foreign(&zk, "normal", &secret).await;
    put(&truth, "garbage", b"hunter2").await;
    put(&truth, "wrong", br#"{"serverip":"127.0.0.1","serverport":1,"userpwd":["hunter2"]}"#).await;
    put(&truth, "port", br#"{"serverip":"127.0.0.1","serverport":"hunter2"}"#).await;
    assert_eq!(list(&zk).await["bad"], json!(["garbage", "port", "wrong"]));

    // One of ours stands by meanwhile, and says what it does in detail.
    let server = ["server", "--listen", "127.0.0.1:0", "--unique-code", "ours", "-vv"];
    let (mut server, mut server_log) = Running::start_heard(ours(&zk, &server));
    server.line(|line| line.starts_with("registered at ")).await;

    let mut told = Vec::new();
    for command in [
        &["nodes"][..],
        &["nodes", "--json"],
        &["master"],
        &["master", "--json"],
        &["client", "--requests", "4", "--interval", "0s", "--explain"],
        &["client", "--requests", "4", "--interval", "0s", "--json"],
    ] {
        for more in [&[][..], &["-vv"]] {
            let output = run(ours(&zk, &[command, more].concat())).await;
            assert!(output.status.success(), "{command:?}: {}", stderr(&output));
            told.push((command, stdout(&output) + &stderr(&output)));
        }
    }
    for (command, told) in &told {
        assert!(!told.contains("hunter2"), "{command:?}: {told}");
        for name in ["garbage", "wrong", "port"] {
            let tells = told.contains(&format!("{DIRECTORY}/{name}"));
            assert_eq!(tells, command[0] != "master", "{command:?}: {told}");
        }
    }
    for told in told.iter().filter(|(command, _)| command[0] == "nodes").map(|(_, told)| told) {
        assert!(told.contains(&master.address.replace("127.0.0.1:", "")), "{told}");
        assert!(told.contains("userpwd: it is a list; accepted: a text"), "{told}");
    }
    let asked = run(ours(&zk, &["nodes", "--credentials"])).await;
    assert_eq!(stdout(&asked).matches("username=jane userpwd=hunter2").count(), 2, "{}", stdout(&asked));
    let asked = run(ours(&zk, &["nodes", "--credentials", "--json"])).await;
    assert_eq!(stdout(&asked).matches(r#""userpwd":"hunter2""#).count(), 2, "{}", stdout(&asked));

    // It takes over from who has a password, and says nothing of it either.
    master.end_by(Signal::TERM).await;
    normal.end_by(Signal::TERM).await;
    server.line(|line| line.starts_with("leads testserver in term ")).await;
    server.signal(Signal::TERM);
    let ended = server.end().await;
    let mut said = ended.lines.concat();
    while let Some(line) = server_log.next_line().await.unwrap() {
        said += &line;
    }
    assert!(said.contains("testserver") && !said.contains("hunter2"), "{said}");
}

/// Makes a child of the service.
async fn put(truth: &Truth, name: &str, value: &[u8]) {
    truth.session.create(&format!("{DIRECTORY}/{name}"), value, Kind::Ephemeral).await.unwrap();
}
