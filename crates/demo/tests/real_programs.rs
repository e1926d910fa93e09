//! Servers, clients and the operator's view do together what their help says; on a real server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, test_kill_process};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use self::common::{PATIENCE, Running, Zk, ask, demo, json, program, run, stderr, stdout};

fn with_flags(zk: &Zk, arguments: &[&str]) -> tokio::process::Command {
    demo(arguments.iter().map(|&it| it.to_owned()).chain(zk.flags()))
}

#[tokio::test]
async fn a_server_registers_the_port_it_has_answers_and_leaves_when_asked() {
    let zk = Zk::start().await;
    let truth = zk.truth().await;
    let (mut server, address) =
        Running::server(&zk, &["--zone", "z", "--meta", "a=b=c", "--weight", "3"]).await;
    server.line(|line| line.starts_with("registered at ")).await;
    if !server.said.iter().any(|line| line.starts_with("leads time in term ")) {
        server.line(|line| line.starts_with("leads time in term ")).await;
    }
    assert_eq!(truth.registered().await, [&*address]);
    let node = truth.session.get(&format!("{}/{address}", common::TIME)).await.unwrap().unwrap();
    let data = proto::decode(&node.data).unwrap();
    assert_eq!((data.weight, &data.metadata["zone"], &data.metadata["a"]), (3, "z", "b=c"));
    assert!(ask(&address).await.starts_with(&format!("{address} 20")));

    server.signal(Signal::TERM);
    let ended = server.end().await;
    assert!(ended.status.success());
    assert_eq!(ended.lines, ["leads time no more: resigned", "deregistered from time", "stopped"]);
    // 2 s are promised; this machine may be busy.
    assert!(ended.took < Duration::from_secs(4), "{:?}", ended.took);
    assert_eq!(truth.registered().await, [""; 0]);
    assert!(tokio::net::TcpStream::connect(&address).await.is_err());
}

#[tokio::test]
async fn a_server_without_zookeeper_answers_registers_later_and_ends_in_time() {
    let zk = Zk::start().await;
    zk.cut_off(true);
    let (mut server, address) = Running::server(&zk, &[]).await;
    assert!(ask(&address).await.starts_with(&address));
    zk.cut_off(false);
    server.line(|line| line.starts_with("registered at ")).await;
    zk.cut_off(true);
    server.signal(Signal::TERM);
    let ended = server.end().await;
    assert!(ended.status.success());
    // 3 s are promised; this machine may be busy.
    assert!(ended.took < Duration::from_secs(5), "{:?}", ended.took);
}

#[tokio::test]
async fn a_server_whose_port_is_taken_says_so_and_registers_nothing() {
    let zk = Zk::start().await;
    let (mut first, address) = Running::server(&zk, &[]).await;
    first.line(|line| line.starts_with("registered at ")).await;
    let second = run(with_flags(&zk, &["server", "--listen", &address])).await;
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains(&format!("cannot listen on {address}")), "{}", stderr(&second));
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
    assert!(stdout(&output).contains("1 requests to time, 0 failed"), "{}", stdout(&output));
}

#[tokio::test]
async fn a_request_that_nobody_answers_fails_and_the_client_with_it() {
    let zk = Zk::start().await;
    let truth = zk.truth().await;
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    truth
        .put("dead", format!(r#"{{"server_ip":"127.0.0.1","server_port":{}}}"#, gone.port()).as_bytes())
        .await;
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
    let client = ["client", "--requests", "30", "--interval", "100ms", "--json", "--explain"];
    let (mut client, mut errors) = Running::start_heard(with_flags(zk, &[&client, layout].concat()));
    let mut told = async || timeout(PATIENCE, errors.next_line()).await.unwrap().unwrap();
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

    let _server = Running::server(zk, layout).await;
    assert_eq!(told().await, Some(format!("somebody is back, registered {place}: requests go on")));
    let before = client.said.len();
    let ended = client.end().await;
    let (requests, summary) = ended.lines.split_at(ended.lines.len() - 1);
    let summary = &json(&summary[0])["summary"];
    assert_eq!(summary["requests"], 30);
    assert_eq!(requests.len() + before, 30);
    // The list may name the one that leaves for a moment yet: such a request was sent, and fails.
    let failed: Vec<_> =
        requests.iter().map(|line| json(line)).filter(|it| it["answered"].is_null()).collect();
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
        assert!(errors.next_line().await.unwrap().unwrap().starts_with("nobody is registered"));
        client.signal(Signal::INT);
        let summary = client.event(|_| true).await;
        assert_eq!((&summary["summary"]["requests"], &summary["summary"]["failed"]), (&0.into(), &0.into()));
        assert_eq!(client.end().await.status.code(), Some(130));
        assert_eq!(errors.next_line().await.unwrap(), None);
    }
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

/// The term in which a server says that it leads.
async fn leads(server: &mut Running) -> i64 {
    let said = server.line(|line| line.starts_with("leads time in term ")).await;
    said.trim_start_matches("leads time in term ").parse().unwrap()
}

#[tokio::test]
async fn of_the_servers_one_leads_and_an_operator_sees_who() {
    let zk = Zk::start().await;
    let truth = zk.truth().await;
    let master = |more: &[&str]| with_flags(&zk, &[&["master", "--service", "time"], more].concat());
    let nobody = run(master(&[])).await;
    assert_eq!((nobody.status.code(), &*stdout(&nobody)), (Some(1), "nobody leads time (live)\n"));
    let nobody = run(master(&["--json"])).await;
    let line = json(stdout(&nobody).trim_end());
    assert_eq!(
        (nobody.status.code(), &line["master"], &line["service"]),
        (Some(1), &Value::Null, &"time".into())
    );

    let (mut not, _) = Running::server(&zk, &["--no-campaign"]).await;
    not.line(|line| line.starts_with("registered at ")).await;
    let (mut first, at_first) = Running::server(&zk, &["--zone", "z"]).await;
    let term = leads(&mut first).await;
    let mut watch = Running::start(master(&["--watch", "--json"]));
    watch.event(|line| line["master"]["id"] == at_first.as_str() && line["source"] == "live").await;
    let (mut second, at_second) = Running::server(&zk, &["--id", "second"]).await;
    second.line(|line| line.starts_with("registered at ")).await;
    let two = async {
        while truth.session.children("/headkeeper/time/election").await.unwrap().len() < 2 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, two).await.unwrap();

    let led = run(master(&["--json"])).await;
    let line = json(stdout(&led).trim_end());
    assert_eq!(led.status.code(), Some(0));
    assert_eq!((&line["master"]["term"], &line["source"]), (&term.into(), &"live".into()));
    assert_eq!(line["master"]["data"]["metadata"]["zone"], "z");
    let text = stdout(&run(master(&[])).await);
    assert!(
        text.starts_with(&format!("{at_first} leads time in term {term}, at {at_first}, stands since 20")),
        "{text}"
    );

    first.signal(Signal::TERM);
    let later = leads(&mut second).await;
    assert!(later > term, "{later} after {term}");
    let seen = watch.event(|line| line["master"]["id"] == "second").await;
    assert_eq!(
        (&seen["master"]["term"], &seen["master"]["data"]["server_port"]),
        (&later.into(), &json(at_second.rsplit(':').next().unwrap()))
    );
    zk.cut_off(true);
    watch.event(|line| line["master"]["id"] == "second" && line["source"] == "stale").await;
    let said = second.line(|line| line.starts_with("leads time no more: ")).await;
    assert_eq!(said, "leads time no more: lease-ended");
    zk.cut_off(false);
    second.signal(Signal::TERM);
    watch.event(|line| line["master"].is_null() && line["source"] == "live").await;
    watch.signal(Signal::INT);
    assert!(watch.end().await.status.success());
    assert!(not.is_running() && !not.said.iter().any(|line| line.contains("leads")));

    // By somebody else's program, perhaps.
    let strange = "/headkeeper/time/election/x-0000000099";
    truth.session.create(strange, b"nonsense", zk_session::Kind::Ephemeral).await.unwrap();
    let led = run(master(&[])).await;
    let text = stdout(&led);
    assert!(led.status.success() && text.starts_with("x leads time in term "), "{text}");
    assert!(text.contains(", its data cannot be read: "), "{text}");
}

#[tokio::test]
async fn a_server_whose_id_a_newer_one_has_taken_does_not_lead_any_more() {
    let zk = Zk::start().await;
    let (mut older, _) = Running::server(&zk, &["--id", "a"]).await;
    let term = leads(&mut older).await;
    let (mut newer, _) = Running::server(&zk, &["--id", "a"]).await;
    older.line(|line| line == "leads time no more: resigned").await;
    assert!(leads(&mut newer).await > term);
}

#[tokio::test]
async fn who_is_granted_too_short_a_session_serves_but_does_not_lead() {
    let server = zk_local::Server::builder().max_session(Duration::from_millis(400)).start().await.unwrap();
    let proxy = zk_local::Proxy::start(server.address()).await.unwrap();
    let zk = Zk { proxy, server };
    let (mut serving, address) = Running::server(&zk, &[]).await;
    serving.line(|line| line.starts_with("registered at ")).await;
    let mut agent = Running::agent(&zk, "lead", "a", &[]);
    let error = agent.ev("error").await;
    assert!(error["what"].as_str().unwrap().contains("400ms"), "{error}");
    agent.signal(Signal::TERM);
    let ended = agent.end().await;
    assert!(ended.status.success());
    assert_eq!(ended.names(), ["closed", "bye"]);
    assert!(ask(&address).await.starts_with(&address));
    assert!(!serving.said.iter().any(|line| line.contains("leads")), "{:?}", serving.said);

    // Where one is registered by standing for election nobody would ever find it.
    let flags = ["server", "--layout", "master-normal", "--root", "/m", "--listen", "127.0.0.1:0"];
    let output = run(with_flags(&zk, &flags)).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("it cannot be registered: a session timeout of 400ms"),
        "{}",
        stderr(&output)
    );
}

#[tokio::test]
async fn nodes_shows_services_instances_and_bad_nodes() {
    let zk = Zk::start().await;
    let truth = zk.truth().await;
    let empty = run(with_flags(&zk, &["nodes"])).await;
    assert!(stdout(&empty).starts_with("no services"), "{}", stdout(&empty));

    truth.put("a", br#"{"server_ip":"127.0.0.1","server_port":80,"metadata":{"zone":"z"}}"#).await;
    truth.put("b", br#"{"server_unique_code":"c","weight":0,"registered_at":1700000000000}"#).await;
    truth.put("x", b"nonsense").await;
    let output = run(with_flags(&zk, &["nodes"])).await;
    let cells: Vec<_> =
        stdout(&output).lines().nth(1).unwrap().split_whitespace().map(str::to_owned).collect();
    assert_eq!(cells, ["time", "2", "1", "1"]);

    let output = run(with_flags(&zk, &["nodes", "--service", "time"])).await;
    let text = stdout(&output);
    assert!(text.starts_with("2 instances of time (live)\nID "), "{text}");
    assert!(text.contains("2023-11-14T22:13:20Z"), "{text}");
    assert!(text.contains("bad node /headkeeper/time/instances/x: "), "{text}");

    let output = run(with_flags(&zk, &["nodes", "--service", "time", "--json"])).await;
    let lines: Vec<Value> = stdout(&output).lines().map(json).collect();
    let kinds: Vec<_> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["instance", "instance", "bad"]);
    assert_eq!((&lines[0]["id"], &lines[0]["server_port"]), (&"a".into(), &80.into()));
    assert_eq!((&lines[1]["weight"], &lines[1]["source"]), (&0.into(), &"live".into()));
}

#[tokio::test]
async fn nodes_tells_changes_as_they_come() {
    let zk = Zk::start().await;
    let truth = zk.truth().await;
    truth.put("a", br#"{"server_unique_code":"c"}"#).await;
    let watch = with_flags(&zk, &["nodes", "--service", "time", "--watch", "--json"]);
    let mut watch = Running::start(watch);
    let is =
        |kind: &'static str, id: &'static str| move |line: &Value| line["kind"] == kind && line["id"] == id;
    watch.event(is("instance", "a")).await;
    truth.put("b", br#"{"server_unique_code":"c"}"#).await;
    watch.event(is("added", "b")).await;
    truth.session.set(&format!("{}/a", common::TIME), br#"{"server_unique_code":"d"}"#, None).await.unwrap();
    let updated = watch.event(is("updated", "a")).await;
    assert_eq!(updated["server_unique_code"], "d");
    truth.session.delete(&format!("{}/b", common::TIME), None).await.unwrap();
    watch.event(is("removed", "b")).await;
    zk.cut_off(true);
    watch.event(|line| line["kind"] == "source" && line["source"] == "stale").await;
    watch.signal(Signal::INT);
    assert!(watch.end().await.status.success());
}

#[tokio::test]
async fn the_flat_layout_is_that_of_the_old_programs_in_both_directions() {
    let zk = Zk::start().await;
    let truth = zk.truth().await;
    let (mut server, address) = Running::server(&zk, &["--layout", "flat", "--dir", "/old"]).await;
    server.line(|line| line.starts_with("registered at ")).await;
    let node = truth.session.get(&format!("/old/{address}")).await.unwrap().unwrap();
    assert!(node.data.is_empty() && node.stat.owner.is_some());
    truth.session.create("/old/[::1]:80", b"anything", zk_session::Kind::Ephemeral).await.unwrap();
    let nodes = ["nodes", "--service", "old", "--json", "--layout", "flat", "--dir", "/old"];
    let output = run(with_flags(&zk, &nodes)).await;
    let ids: Vec<_> =
        stdout(&output).lines().map(|line| json(line)["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, [address, "[::1]:80".to_owned()]);
}

/// Tours take the same ports: one could come to the place where the server of another was killed.
static ONE_TOUR: Mutex<()> = Mutex::const_new(());

#[tokio::test]
async fn the_tour_goes_as_promised_on_a_zookeeper_that_is_there() {
    let _alone = ONE_TOUR.lock().await;
    let zk = Zk::start().await;
    let tour = demo(["tour", "--session-ms", "2000", "--zk", &zk.server.connect_string()]);
    let output = run(tour).await;
    let text = stdout(&output);
    assert!(output.status.success(), "{text}{}", stderr(&output));
    assert!(text.trim_end().ends_with("all was as promised"), "{text}");
}

#[tokio::test]
async fn a_tour_goes_on_when_its_program_is_built_again() {
    let _alone = ONE_TOUR.lock().await;
    let zk = Zk::start().await;
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("demo");
    std::fs::copy(env!("CARGO_BIN_EXE_demo"), &copy).unwrap();
    let mut command = program(&copy);
    command.args(["tour", "--session-ms", "2000", "--zk", &zk.server.connect_string()]);
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let mut lines =
        tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(child.stdout.take().unwrap()));
    let mut said = Vec::new();
    let told = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains(" answered ") && copy.exists() {
                std::fs::remove_file(&copy).unwrap();
            }
            said.push(line);
        }
    };
    timeout(PATIENCE, told).await.unwrap();
    assert!(child.wait().await.unwrap().success(), "{said:?}");
    assert!(!copy.exists() && said.iter().any(|line| line.contains("started it again")), "{said:?}");
}

/// The program of the gateway beside the one of the demo; built where nobody did yet.
async fn gateway() -> std::path::PathBuf {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_demo")).with_file_name("gateway");
    if !program.exists() {
        let target = program.ancestors().nth(2).unwrap();
        let mut cargo = tokio::process::Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "-p", "gateway", "--target-dir"]).arg(target);
        assert!(timeout(PATIENCE * 20, cargo.status()).await.unwrap().unwrap().success());
    }
    program
}

#[tokio::test]
async fn a_tour_that_stays_up_ends_with_a_console_and_takes_it_along() {
    let _alone = ONE_TOUR.lock().await;
    gateway().await;
    let zk = Zk::start().await;
    // Somebody has the usual port: we, or who made it impossible for us.
    let _taken = std::net::TcpListener::bind("127.0.0.1:8480");
    let mut tour =
        Running::start(demo(["tour", "--keep", "--session-ms", "2000", "--zk", &zk.server.connect_string()]));
    let line = tour.line(|line| line.contains("all of it in a browser: ")).await;
    let (_, address) = line.split_once("http://").unwrap();
    let address = address.trim_end_matches('/').to_owned();
    assert!(address.starts_with("127.0.0.1:") && !address.ends_with(":8480"), "{line}");
    let get = async |path: String| {
        let mut stream = tokio::net::TcpStream::connect(&address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await?;
        let mut answer = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let page = timeout(PATIENCE, get("/".to_owned())).await.unwrap().unwrap();
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("<html"), "{page}");
    let truth = zk.truth().await;
    let service = truth.session.children("/headkeeper").await.unwrap().pop().unwrap();
    let shown = async {
        loop {
            let answer = get(format!("/v1/services/{service}")).await.unwrap();
            if answer.matches("\"server_port\"").count() >= 3 {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, shown).await.expect("the three servers are shown");
    tour.signal(Signal::INT);
    let ended = tour.end().await;
    assert!(ended.status.success());
    assert!(get("/".to_owned()).await.is_err(), "nobody is there any more");
}

#[tokio::test]
async fn a_tour_without_a_gateway_beside_it_says_so_and_stays_up() {
    let _alone = ONE_TOUR.lock().await;
    let zk = Zk::start().await;
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("demo");
    std::fs::copy(env!("CARGO_BIN_EXE_demo"), &copy).unwrap();
    let mut command = program(&copy);
    command.args(["tour", "--keep", "--session-ms", "2000", "--zk", &zk.server.connect_string()]);
    let mut tour = Running::start(command);
    let line = tour.line(|line| line.contains("no console: ")).await;
    assert!(line.contains("cargo build -p gateway"), "{line}");
    tour.signal(Signal::INT);
    assert!(tour.end().await.status.success());
}

#[tokio::test]
async fn a_tour_whose_progress_nobody_reads_goes_on() {
    let _alone = ONE_TOUR.lock().await;
    let mut child = demo(["tour", "--session-ms", "2000"]).spawn().unwrap();
    drop(child.stderr.take());
    let mut lines =
        tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(child.stdout.take().unwrap()));
    let began = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("started a time server") {
                return true;
            }
        }
        false
    };
    assert!(timeout(PATIENCE, began).await.unwrap(), "it ended: {:?}", child.wait().await);
    let pid = Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    assert_eq!(timeout(PATIENCE, child.wait()).await.unwrap().unwrap().code(), Some(130));
}

#[tokio::test]
async fn a_tour_that_is_stopped_or_killed_leaves_no_process_behind() {
    let _alone = ONE_TOUR.lock().await;
    for signal in [Signal::INT, Signal::KILL] {
        let zk = Zk::start().await;
        let truth = zk.truth().await;
        let mut tour =
            Running::start(demo(["tour", "--session-ms", "2000", "--zk", &zk.server.connect_string()]));
        tour.line(|line| line.contains("killed ")).await;
        let pid = |line: &String| Pid::from_raw(line.rsplit_once("pid ")?.1.parse().unwrap());
        let servers: Vec<_> = tour.said.iter().filter_map(pid).collect();
        assert_eq!(servers.len(), 3, "{:?}", tour.said);
        tour.signal(signal);
        let ended = tour.end().await;
        assert_eq!(ended.status.code(), (signal == Signal::INT).then_some(130));
        let gone = async {
            while servers.iter().any(|server| test_kill_process(*server).is_ok()) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, gone).await.unwrap();
        let service = truth.session.children("/headkeeper").await.unwrap().pop().unwrap();
        let empty = async {
            while !truth
                .session
                .children(&format!("/headkeeper/{service}/instances"))
                .await
                .unwrap()
                .is_empty()
            {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, empty).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_tells_programs_what_happens_to_it() {
    let zk = Zk::start().await;
    let flags = ["server", "--listen", "127.0.0.1:0", "--json"].map(str::to_owned);
    let mut server = Running::start(demo(flags.into_iter().chain(zk.flags())));
    let listening = server.event(|event| event["kind"] == "listening").await;
    assert!(listening["at"].as_str().unwrap().starts_with("127.0.0.1:"), "{listening}");
    let registered = server.event(|event| event["kind"] == "registered").await;
    assert!(registered["path"].as_str().unwrap().starts_with(common::TIME), "{registered}");
    let leads = server.event(|event| event["kind"] == "leads").await;
    assert!(leads["term"].is_u64() && leads["service"] == "time", "{leads}");
    server.signal(Signal::TERM);
    let ended = server.end().await;
    assert!(ended.status.success());
    let kinds: Vec<_> = ended.events().into_iter().map(|event| event["kind"].clone()).collect();
    assert_eq!(kinds, ["leads-no-more", "deregistered", "stopped"]);
}
