//! The flat layout beside programs that play the old ones, with another ZooKeeper client; on a real server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use rustix::process::Signal;
use serde_json::Value;

use self::common::foreign::{printed, started};
use self::common::{Running, Zk, demo, json, later, patient, run, stderr, stdout, told};

const FLAT: [&str; 4] = ["--layout", "flat", "--dir", "/go_servers"];

fn flat(zk: &Zk, command: &[&str]) -> tokio::process::Command {
    let flags = command.iter().chain(&FLAT).chain(patient(command));
    demo(flags.map(|&it| it.to_owned()).chain(zk.flags()))
}

/// An old server in the directory, and its address.
async fn server(zk: &Zk, more: &[&str]) -> (Running, String) {
    let (server, said) = started(zk, "flat_server", &[&["--dir", "/go_servers"], more].concat()).await;
    let address = said["address"].as_str().unwrap().to_owned();
    assert_eq!(said["path"], format!("/go_servers/{address}"));
    (server, address)
}

fn answered_by(address: &str) -> impl Fn(&Value) -> bool {
    move |line| {
        let said = line["line"].as_str();
        line["answered"] == address && said.is_some_and(|said| said.starts_with(&format!("{address} 20")))
    }
}

#[tokio::test]
async fn a_client_finds_an_old_server_misses_it_and_finds_it_again() {
    let zk = Zk::start().await;
    let client = flat(&zk, &["client", "--requests", "0", "--interval", "20ms", "--json"]);
    let (mut client, mut errors) = Running::start_heard(client);
    let mut told = async || told(&mut errors).await.unwrap();
    let nobody = "nobody is registered in /go_servers: requests wait until somebody is, Ctrl-C ends that";
    assert_eq!(told().await, nobody);

    // A port that nobody else takes while it is away.
    let port = later().to_string();
    let (first, address) = server(&zk, &["--listen", &port]).await;
    assert_eq!(told().await, "somebody is there, registered in /go_servers: requests go on");
    client.event(answered_by(&address)).await;
    first.signal(Signal::KILL);
    first.end().await;
    assert_eq!(told().await, nobody);

    // It comes back on its old port, and says something that nobody asked for.
    let (again, same) = server(&zk, &["--listen", &address, "--data", "{\"weight\":0}"]).await;
    assert_eq!(same, address);
    assert_eq!(told().await, "somebody is back, registered in /go_servers: requests go on");
    client.event(answered_by(&address)).await;
    again.signal(Signal::TERM);
    assert!(again.end().await.status.success());
    assert_eq!(told().await, nobody);
    client.signal(Signal::INT);
    client.end().await;
    assert_eq!(errors.next_line().await.unwrap(), None);
}

#[tokio::test]
async fn an_old_server_that_stays_by_mistake_is_listed_and_told_once_or_hidden() {
    let zk = Zk::start().await;
    let (stays, mistaken) = server(&zk, &["--persistent"]).await;
    let (_proper, proper) = server(&zk, &[]).await;
    let mistakes = |errors: &str| errors.matches("no session owns").count();
    for (hide, expected) in [(&[][..], 2), (&["--hide-ownerless"], 1)] {
        let nodes = run(flat(&zk, &[&["nodes", "--service", "time", "--json"], hide].concat())).await;
        let mut ids: Vec<_> = stdout(&nodes).lines().map(|line| json(line)["id"].clone()).collect();
        let mut both = [&*mistaken, &*proper];
        both.sort_unstable();
        ids.sort_by_key(ToString::to_string);
        assert_eq!(ids, if hide.is_empty() { both.to_vec() } else { vec![&*proper] });
        assert_eq!(mistakes(&stderr(&nodes)), 1, "{}", stderr(&nodes));

        // A connection that is lost and comes back reads all of it again.
        let client =
            flat(&zk, &[&["client", "--requests", "0", "--interval", "1ms", "--json"], hide].concat());
        let (mut client, mut errors) = Running::start_heard(client);
        client.event(|line| line["source"] == "live").await;
        zk.cut_off(true);
        client.event(|line| line["source"] == "stale").await;
        zk.cut_off(false);
        client.event(|line| line["source"] == "live").await;
        client.signal(Signal::INT);
        let ended = client.end().await;
        let summary = &json(ended.lines.last().unwrap())["summary"];
        let answered: Vec<_> = summary["answered"].as_object().unwrap().keys().collect();
        assert_eq!((answered.len(), &summary["failed"]), (expected, &0.into()), "{summary}");
        assert!(answered.contains(&&proper));
        let mut said = String::new();
        while let Some(line) = errors.next_line().await.unwrap() {
            said += &line;
        }
        assert_eq!(mistakes(&said), 1, "{said}");
    }

    // What it left behind is listed still, and hidden from whoever wants that.
    stays.signal(Signal::TERM);
    assert!(stays.end().await.status.success());
    let client = ["client", "--requests", "4", "--interval", "0s", "--json"];
    let met = async |hide: &[&str]| {
        let client = run(flat(&zk, &[&client, hide].concat())).await;
        json(stdout(&client).lines().last().unwrap())["summary"]["retries"].as_u64().unwrap()
    };
    assert_eq!((met(&["--hide-ownerless"]).await, met(&[]).await > 0), (0, true));
}

#[tokio::test]
async fn an_old_client_finds_our_servers_and_is_answered() {
    let zk = Zk::start().await;
    let mut servers = Vec::new();
    for _ in 0..2 {
        let (mut server, address) = Running::server(&zk, &FLAT).await;
        server.line(|line| line.starts_with("registered at /go_servers/")).await;
        servers.push((server, address));
    }
    let told = printed(&zk, "flat_client", &["--dir", "/go_servers"]).await;
    assert_eq!(told.len(), 2);
    for (_, address) in &servers {
        let of = told.iter().find(|it| it["name"] == address.as_str()).unwrap();
        let answer = of["answer"].as_str().unwrap();
        assert!(answer.starts_with(&format!("{address} 20")) && answer.ends_with("Z\n"), "{answer}");
    }
}
