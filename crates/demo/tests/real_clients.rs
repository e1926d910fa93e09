//! Clients find servers, choose among them and go on without some as their help says; on a real server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use rustix::process::Signal;
use serde_json::Value;
use tokio::time::timeout;

use self::common::{PATIENCE, Running, Zk, demo, json, nowhere, patient, run, stderr, stdout, told};

fn with_flags(zk: &Zk, arguments: &[&str]) -> tokio::process::Command {
    demo(arguments.iter().chain(patient(arguments)).map(|&it| it.to_owned()).chain(zk.flags()))
}

#[tokio::test]
async fn a_client_goes_to_another_server_when_one_was_killed() {
    let zk = Zk::start().await;
    let mut servers = Vec::new();
    for _ in 0..3 {
        let (mut server, address) = Running::server(&zk, &[]).await;
        server.line(|line| line.starts_with("registered at ")).await;
        servers.push((server, address));
    }
    servers[0].0.signal(Signal::KILL);
    // The client starts while the dead one is on the list, and ends before it is not.
    let client = with_flags(&zk, &["client", "--requests", "12", "--interval", "1ms", "--json"]);
    let output = run(client).await;
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let lines: Vec<Value> = text.lines().map(json).collect();
    assert_eq!(lines.len(), 13);
    let (requests, summary) = (&lines[..12], &lines[12]["summary"]);
    let met_it = |line: &&Value| line["refused"][0]["instance"] == servers[0].1.as_str();
    let retries = requests.iter().filter(met_it).count();
    assert!(retries > 0, "{text}");
    assert_eq!(summary["retries"], retries);
    assert_eq!((&summary["requests"], &summary["failed"]), (&12.into(), &0.into()));
    for (_, address) in &servers[1..] {
        assert!(summary["answered"][address].as_u64().unwrap() > 0, "{text}");
    }
}

#[tokio::test]
async fn a_client_goes_on_with_the_last_list_while_zookeeper_is_away() {
    let zk = Zk::start().await;
    let (mut server, address) = Running::server(&zk, &[]).await;
    server.line(|line| line.starts_with("registered at ")).await;
    let client = with_flags(&zk, &["client", "--requests", "0", "--interval", "20ms", "--json"]);
    let mut client = Running::start(client);
    client.event(|line| line["answered"] == address.as_str() && line["source"] == "live").await;
    zk.cut_off(true);
    for _ in 0..20 {
        client.event(|line| line["answered"] == address.as_str() && line["source"] == "stale").await;
    }
    zk.cut_off(false);
    client.event(|line| line["answered"] == address.as_str() && line["source"] == "live").await;
    client.signal(Signal::INT);
    let ended = client.end().await;
    assert!(ended.status.success());
    assert_eq!(ended.last()["summary"]["failed"], 0);
}

#[tokio::test]
async fn a_client_waits_for_the_first_list_and_says_so() {
    let zk = Zk::start().await;
    let (mut server, _) = Running::server(&zk, &[]).await;
    server.line(|line| line.starts_with("registered at ")).await;
    zk.cut_off(true);
    let mut client = with_flags(&zk, &["client", "--requests", "1"]);
    let mut child = client.spawn().unwrap();
    let mut heard = String::new();
    let errors = child.stderr.take().unwrap();
    let mut errors = tokio::io::BufReader::new(errors);
    while !heard.contains("waiting for the first list of time") {
        let line = tokio::io::AsyncBufReadExt::read_line(&mut errors, &mut heard);
        assert!(timeout(PATIENCE, line).await.unwrap().unwrap() > 0, "{heard}");
    }
    zk.cut_off(false);
    let output = timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
    assert!(output.status.success());
    assert!(stdout(&output).contains("1 request to time, 0 failed"), "{}", stdout(&output));
}

#[tokio::test]
async fn a_request_that_nobody_answers_fails_and_the_client_with_it() {
    let zk = Zk::start().await;
    let truth = zk.truth().await;
    let gone = nowhere();
    let port = gone.rsplit(':').next().unwrap();
    truth.put("dead", format!(r#"{{"server_ip":"127.0.0.1","server_port":{port}}}"#).as_bytes()).await;
    truth.put("drained", br#"{"server_ip":"127.0.0.1","server_port":1,"weight":0}"#).await;
    let output = run(with_flags(&zk, &["client", "--requests", "2", "--interval", "0s"])).await;
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text.matches("FAILED: nobody answered  [dead: refused]").count(), 2, "{text}");
    let (requests, summary) = text.split_once("2 requests to time, ").unwrap();
    assert!(!requests.contains("drained"), "{text}");
    assert!(summary.starts_with("2 failed, 0 retries; by round-robin; answered by nobody\n"), "{text}");
    let drained: Vec<_> = summary.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(drained, ["drained", "0", "0", "-", "0.0", "%"], "{text}");
}

#[tokio::test]
async fn a_client_that_finds_nobody_to_ask_says_why() {
    let zk = Zk::start().await;
    let truth = zk.truth().await;
    let once = ["client", "--requests", "1"];
    truth.put("a", br#"{"server_unique_code":"c"}"#).await;
    truth.put("b", br#"{"server_ip":"127.0.0.1","server_port":1,"weight":0}"#).await;
    let output = run(with_flags(&zk, &once)).await;
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.starts_with(
            "   1  FAILED: nobody is left: of 2 in the list the filter \"has an address\" takes out 1, "
        ),
        "{text}"
    );
}

#[tokio::test]
async fn a_client_that_may_ask_nobody_without_a_pause_is_stopped_by_ctrl_c() {
    let zk = Zk::start().await;
    let truth = zk.truth().await;
    truth.put("drained", br#"{"server_ip":"127.0.0.1","server_port":1,"weight":0}"#).await;
    let client = ["client", "--requests", "0", "--interval", "0s", "--json"];
    let mut client = Running::start(with_flags(&zk, &client));
    client.event(|line| line["request"] == 1000).await;
    client.signal(Signal::INT);
    let ended = client.end().await;
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.last()["summary"]["failed"].as_u64().unwrap() >= 1000);
}

#[tokio::test]
async fn requests_wait_while_nobody_is_registered_and_go_on_with_whoever_comes() {
    let zk = Zk::start().await;
    tokio::join!(
        waits_for_servers(&zk, &["--layout", "native"], "as time in /headkeeper/time/instances"),
        waits_for_servers(&zk, &["--layout", "flat", "--dir", "/go_servers"], "in /go_servers"),
        waits_for_servers(&zk, &["--layout", "master-normal", "--root", "/micro"], "as time in /micro/time"),
    );
}

/// A client of a service that begins with nobody at this place, gets a server, loses it and gets another one.
async fn waits_for_servers(zk: &Zk, layout: &[&str], place: &str) {
    // It goes on until it is asked to stop, however long the servers take.
    let client = ["client", "--requests", "0", "--interval", "100ms", "--json", "--explain"];
    let (mut client, mut errors) = Running::start_heard(with_flags(zk, &[&client, layout].concat()));
    let mut told = async || told(&mut errors).await;
    let nobody = format!("nobody is registered {place}: requests wait until somebody is, Ctrl-C ends that");
    assert_eq!(told().await.as_deref(), Some(&*nobody));

    let (server, address) = Running::server(zk, layout).await;
    let there = format!("somebody is there, registered {place}: requests go on");
    assert_eq!(told().await, Some(there));
    // How the first choice comes about, of a list that somebody is on.
    assert!(told().await.unwrap().starts_with("round-robin "));
    let row = told().await.unwrap();
    assert!(row.contains("  chosen "), "{row}");
    let first = client.event(|_| true).await;
    assert_eq!(first["request"], 1);
    assert!(first["line"].as_str().unwrap().starts_with(&address), "{first}");
    server.signal(Signal::TERM);
    assert!(server.end().await.status.success());
    assert_eq!(told().await, Some(nobody));

    let (_server, again) = Running::server(zk, layout).await;
    assert_eq!(told().await, Some(format!("somebody is back, registered {place}: requests go on")));
    client.event(|line| line["line"].as_str().is_some_and(|line| line.starts_with(&again))).await;
    let before = client.said.clone();
    client.signal(Signal::INT);
    let ended = client.end().await;
    let (requests, summary) = ended.lines.split_at(ended.lines.len() - 1);
    let summary = &json(&summary[0])["summary"];
    let requests: Vec<_> = before.iter().chain(requests).map(|line| json(line)).collect();
    assert_eq!(summary["requests"], requests.len());
    // The list may name the one that leaves for a moment yet: such a request was sent, and fails.
    let failed: Vec<_> = requests.iter().filter(|it| it["answered"].is_null()).collect();
    assert_eq!(summary["failed"], failed.len());
    assert!(failed.iter().all(|it| it["refused"][0]["instance"].is_string()), "{failed:?}");
    assert_eq!(ended.status.code(), Some(i32::from(!failed.is_empty())));
    assert_eq!(told().await, None);
}

#[tokio::test]
async fn a_client_that_is_stopped_while_it_waits_for_somebody_was_not_done() {
    let zk = Zk::start().await;
    for requests in ["0", "1"] {
        let client = with_flags(&zk, &["client", "--requests", requests, "--interval", "0s", "--json"]);
        let (mut client, mut errors) = Running::start_heard(client);
        assert!(told(&mut errors).await.unwrap().starts_with("nobody is registered"));
        client.signal(Signal::INT);
        let summary = client.event(|_| true).await;
        assert_eq!((&summary["summary"]["requests"], &summary["summary"]["failed"]), (&0.into(), &0.into()));
        assert_eq!(client.end().await.status.code(), Some(130));
        assert_eq!(told(&mut errors).await, None);
    }
}

#[tokio::test]
async fn a_client_that_waits_for_so_long_says_that_nobody_came() {
    let zk = Zk::start().await;
    let client = ["client", "--requests", "1", "--json", "--wait", "3s"];
    let output = run(with_flags(&zk, &client)).await;
    let told = stderr(&output);
    assert_eq!((output.status.code(), &*stdout(&output)), (Some(1), ""), "{told}");
    let place = "as time in /headkeeper/time/instances";
    let waits = format!("nobody is registered {place}: requests wait until somebody is, 3s at most\n");
    assert!(told.starts_with(&format!("{waits}error: nobody is registered {place} within 3s\n")), "{told}");

    // What keeps the list away is no lack of an answer.
    let below = format!("{}/nowhere", zk.server.connect_string());
    let output = run(demo(["client", "--zk", &below, "--wait", "3s"])).await;
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    assert!(told.contains(&format!("error: no list from ZooKeeper at {below} within 3s: ")), "{told}");
    assert!(told.contains("the chroot /nowhere of the connect string does not exist"), "{told}");

    // Somebody on the list who may not be picked is somebody.
    let truth = zk.truth().await;
    truth.put("drained", br#"{"server_ip":"127.0.0.1","server_port":1,"weight":0}"#).await;
    let output = run(with_flags(&zk, &client)).await;
    assert!(stdout(&output).starts_with(r#"{"#) && !stderr(&output).contains("within"), "{output:?}");
}

#[tokio::test]
async fn a_client_that_waits_for_so_long_goes_on_with_who_comes_and_waits_for_the_next_as_long_as_it_takes() {
    let zk = Zk::start().await;
    let wait = format!("{PATIENCE:?}");
    let client = ["client", "--requests", "0", "--interval", "20ms", "--json", "--wait", &wait];
    let (mut client, mut errors) = Running::start_heard(with_flags(&zk, &client));
    let mut told = async || timeout(PATIENCE, errors.next_line()).await.unwrap().unwrap().unwrap();
    assert!(told().await.ends_with(&format!("requests wait until somebody is, {wait} at most")));
    let (server, _) = Running::server(&zk, &[]).await;
    client.event(|line| line["answered"].is_string()).await;
    assert!(told().await.starts_with("somebody is there"));
    server.signal(Signal::TERM);
    assert!(told().await.ends_with("requests wait until somebody is, Ctrl-C ends that"));
    client.signal(Signal::INT);
    client.end().await;
}

/// Servers with these weights that are registered, and their addresses.
async fn weighted(zk: &Zk, weights: [&str; 3]) -> Vec<(Running, String)> {
    let mut servers = Vec::new();
    for weight in weights {
        let (mut server, address) = Running::server(zk, &["--weight", weight]).await;
        server.line(|line| line.starts_with("registered at ")).await;
        servers.push((server, address));
    }
    servers
}

/// What a client with these flags says at its end.
async fn summary(zk: &Zk, more: &[&str]) -> Value {
    // Slow is not refused: a retry would be somebody else's turn.
    let client = ["client", "--requests", "70", "--interval", "0s", "--timeout", "20s", "--json"];
    let output = run(with_flags(zk, &[&client, more].concat())).await;
    let text = stdout(&output);
    assert!(output.status.success(), "{text}{}", stderr(&output));
    json(text.lines().last().unwrap())["summary"].take()
}

#[tokio::test]
async fn requests_go_where_the_algorithm_says() {
    let zk = Zk::start().await;
    let servers = weighted(&zk, ["5", "1", "1"]).await;
    let answered = |summary: &Value| {
        servers.iter().map(|(_, at)| summary["answered"][at].as_u64().unwrap_or(0)).collect::<Vec<_>>()
    };

    let by_weight = summary(&zk, &["--algorithm", "weight-round-robin"]).await;
    assert_eq!(answered(&by_weight), [50, 10, 10], "{by_weight}");
    assert_eq!((&by_weight["algorithm"], &by_weight["retries"]), (&"weight-round-robin".into(), &0.into()));
    for (it, at) in by_weight["instances"]
        .as_array()
        .unwrap()
        .iter()
        .zip(by_weight["answered"].as_object().unwrap().keys())
    {
        assert_eq!((&it["instance"], &it["answered"]), (&at.as_str().into(), &by_weight["answered"][at]));
        assert_eq!(it["expected"], it["share"], "{it}");
        assert_eq!(it["expected"].as_f64().unwrap(), it["weight"].as_f64().unwrap() / 7.0, "{it}");
    }

    let in_turn = summary(&zk, &[]).await;
    let mut counts = answered(&in_turn);
    counts.sort_unstable();
    assert_eq!((&*counts, &in_turn["algorithm"]), (&[23, 23, 24][..], &"round-robin".into()));

    // To the same one in another process, too.
    let url = ["--algorithm", "url-hash", "--key", "/data/video?id=7"];
    let (once, again) = tokio::join!(summary(&zk, &url), summary(&zk, &url));
    assert!(answered(&once).contains(&70), "{once}");
    assert_eq!(once, again);
    let client = summary(&zk, &["--algorithm", "ip-hash", "--key", "192.0.2.7"]).await;
    let inside = summary(&zk, &["--algorithm", "ip-hash", "--key", "[::ffff:192.0.2.7]:5000"]).await;
    assert!(answered(&client).contains(&70), "{client}");
    assert_eq!(client, inside);
}

#[tokio::test]
async fn the_requests_of_a_key_move_on_when_its_server_is_dead() {
    let zk = Zk::start().await;
    let mut servers = weighted(&zk, ["1", "1", "1"]).await;
    let hash = ["--algorithm", "url-hash", "--key", "/data/video?id=7"];
    let before = summary(&zk, &hash).await;
    let owners: Vec<_> = before["answered"].as_object().unwrap().keys().collect();
    assert_eq!(owners.len(), 1, "{before}");
    let owner = owners[0].clone();
    let owning = servers.iter_mut().find(|(_, at)| *at == owner).unwrap();
    owning.0.signal(Signal::KILL);
    // It is on the list when the client starts, so each request meets it until it is not.
    let after = summary(&zk, &hash).await;
    assert_eq!((&after["failed"], &after["answered"][&owner]), (&0.into(), &Value::Null), "{after}");
    // A request meets it once.
    assert!((1..=70).contains(&after["retries"].as_u64().unwrap()), "{after}");
}

#[tokio::test]
async fn how_a_choice_comes_about_is_told_on_stderr() {
    let zk = Zk::start().await;
    let servers = weighted(&zk, ["5", "0", "1"]).await;
    let client = ["client", "--requests", "1", "--algorithm", "weight-round-robin", "--explain"];
    let output = run(with_flags(&zk, &client)).await;
    let told = stderr(&output);
    let of = |at: &str| told.lines().find(|line| line.starts_with(at)).unwrap().to_owned();
    assert!(told.starts_with("weight-round-robin "), "{told}");
    assert!(of(&servers[0].1).contains("83.3 %"), "{told}");
    assert!(of(&servers[1].1).ends_with("its weight is 0"), "{told}");
}
