//! Servers and the operator's view do together what their help says; on a real server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use self::common::{CALM, PATIENCE, Running, Zk, ask, demo, json, patient, run, stderr, stdout};

fn with_flags(zk: &Zk, arguments: &[&str]) -> tokio::process::Command {
    demo(arguments.iter().chain(patient(arguments)).map(|&it| it.to_owned()).chain(zk.flags()))
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
    assert_eq!(truth.registered().await, [""; 0]);
    assert!(tokio::net::TcpStream::connect(&address).await.is_err());
}

#[tokio::test]
async fn a_server_without_zookeeper_answers_registers_later_and_ends_all_the_same() {
    let zk = Zk::start().await;
    zk.cut_off(true);
    let (mut server, address) = Running::server(&zk, &[]).await;
    assert!(ask(&address).await.starts_with(&address));
    zk.cut_off(false);
    server.line(|line| line.starts_with("registered at ")).await;
    zk.cut_off(true);
    server.signal(Signal::TERM);
    assert!(server.end().await.status.success());
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

/// The term in which a server says that it leads.
async fn leads(server: &mut Running) -> i64 {
    let said = server.line(|line| line.starts_with("leads time in term ")).await;
    said.trim_start_matches("leads time in term ").parse().unwrap()
}

#[tokio::test]
async fn of_the_servers_one_leads_and_an_operator_sees_who() {
    let zk = Zk::short().await;
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
    // What is there now is not its own.
    older.signal(Signal::TERM);
    assert_eq!(older.end().await.lines, ["stopped"]);
}

#[tokio::test]
async fn who_is_granted_too_short_a_session_serves_but_does_not_lead() {
    let server = zk_local::Server::builder().max_session(Duration::from_millis(400)).start().await.unwrap();
    let proxy = zk_local::Proxy::start(server.address()).await.unwrap();
    let zk = Zk { proxy, server, session: CALM };
    let (mut serving, address) = Running::server(&zk, &[]).await;
    serving.line(|line| line.starts_with("registered at ")).await;
    let mut agent = Running::agent(&zk, "lead", "a", &[]);
    let error = agent.ev("error").await;
    assert!(error["what"].as_str().unwrap().contains("400ms"), "{error}");
    agent.signal(Signal::TERM);
    let ended = agent.end().await;
    assert!(ended.status.success());
    // A session that short may end by itself on a busy machine, and that be told.
    let names = ended.names();
    assert!(
        names.ends_with(&["bye".to_owned()]) && !names.contains(&"leader-acquired".to_owned()),
        "{names:?}"
    );
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
