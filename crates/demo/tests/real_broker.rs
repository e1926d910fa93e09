//! Servers and clients behind a message broker find each other and answer as their help says; on a real ZooKeeper and a real Mosquitto.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

#[path = "../src/broker.rs"]
mod broker;
mod common;
mod mq;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures::future::join_all;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::{sleep, timeout};

use self::common::{PATIENCE, Running, demo, json, run, stderr, stdout, told};
use self::mq::{LONG, Site, Somebody, counts, request};

#[tokio::test]
async fn every_instance_receives_a_request_the_addressed_one_answers_and_the_others_count_a_drop() {
    let site = Site::start().await;
    let servers = site.servers().await;
    site.registered(&["a", "b", "c"]).await;
    let mut somebody = Somebody::listening(&site.broker, "s", "jobs/replies/s").await;
    for (id, code) in [("1", "b"), ("2", "b"), ("3", "c"), ("4", "nobody"), ("5", "b")] {
        somebody.say("jobs", request(code, id, "jobs/replies/s")).await;
    }
    // Each server answers in the order of the requests; two of them are not of one speed.
    let mut answered = HashMap::<String, Vec<String>>::new();
    for _ in 0..4 {
        let answer = somebody.hears().await;
        let text = |key: &str| answer[key].as_str().unwrap().to_owned();
        let words: Vec<_> = answer["body"].as_str().unwrap().split(' ').collect();
        assert_eq!((words[0], words[2]), (&*text("serveruniquecode"), "it"));
        answered.entry(text("serveruniquecode")).or_default().push(text("id"));
    }
    assert_eq!(
        (&*answered["b"], &*answered["c"]),
        (&["1", "2", "5"].map(str::to_owned)[..], &["3".to_owned()][..])
    );
    let counts = counts(servers).await;
    assert!(somebody.answers.try_recv().is_err(), "somebody answered twice");
    let told =
        |answered: u64, dropped: u64| json!({"answered": answered, "dropped": dropped, "not_understood": 0});
    assert_eq!(counts, [told(0, 5), told(3, 2), told(1, 4)]);
    site.registered(&[]).await;
}

#[tokio::test]
async fn a_client_sticks_to_its_server_and_moves_on_when_that_is_killed_or_withdrawn() {
    let site = Site::short().await;
    let mut servers = site.servers().await;
    let mut client = site.client(&["--requests", "0", "--interval", "10ms", "--timeout", LONG]);
    let mut codes = Vec::new();
    for signal in [Signal::KILL, Signal::TERM] {
        let first = client.event(|line| !line["answered"].is_null()).await["answered"].clone();
        for _ in 0..20 {
            let line = client.event(|_| true).await;
            assert_eq!((&line["answered"], &line["refused"]), (&first, &json!([])), "{line}");
        }
        let at = ["a", "b", "c"].iter().position(|code| first == *code).unwrap();
        servers[at].signal(signal);
        let next = client.event(|line| line["answered"] != first).await;
        assert!(next["error"].is_null(), "{next}");
        // The killed one does not answer before it is gone from the list, long before the time is over.
        if signal == Signal::KILL {
            assert_eq!(next["refused"], json!([{"instance": first, "why": "gone"}]));
        }
        codes.push(first);
    }
    let last = client.event(|_| true).await["answered"].clone();
    codes.push(last.clone());
    assert_eq!(codes.iter().map(|code| code.as_str().unwrap()).collect::<HashSet<_>>().len(), 3, "{codes:?}");
    client.signal(Signal::INT);
    let ended = client.end().await;
    assert!(ended.status.success());
    let summary = &ended.last()["summary"];
    assert_eq!(summary["failed"], 0);
    assert_eq!(summary["answered"].as_object().unwrap().len(), 3);
    servers.clear();
}

#[tokio::test]
async fn a_client_that_is_stopped_before_all_were_sent_says_so() {
    let site = Site::start().await;
    let server = site.server("a", &[]).await;
    for more in [&[][..], &["--hello"]] {
        let flags = [&["--requests", "100", "--interval", "60s", "--timeout", LONG], more].concat();
        let mut client = site.client(&flags);
        client.event(|line| line["answered"] == "a").await;
        client.signal(Signal::INT);
        let ended = client.end().await;
        assert_eq!(ended.status.code(), Some(130), "{more:?}: {:?}", ended.lines);
        assert_eq!(ended.last()["summary"]["requests"], 1);
    }
    counts(vec![server]).await;
}

#[tokio::test]
async fn an_instance_that_works_on_a_request_is_waited_for_when_it_is_drained_or_leaves() {
    let site = Site::start().await;
    // It makes the directories.
    counts(vec![site.server("b", &[]).await]).await;
    let truth = site.zk.truth().await;
    let path = "/headkeeper/jobs/instances/slow";
    let mut slow = Somebody::listening(&site.broker, "slow", "jobs").await;
    for leaves in [false, true] {
        let data = br#"{"server_unique_code":"slow"}"#;
        truth.session.create(path, data, zk_session::Kind::Ephemeral).await.unwrap();
        site.registered(&["slow"]).await;
        let client = site.client(&["--requests", "1", "--timeout", LONG]);
        let asked = slow.hears().await;
        let other = site.server("b", &[]).await;
        if leaves {
            truth.session.delete(path, None).await.unwrap();
        } else {
            let drained = br#"{"server_unique_code":"slow","weight":0}"#;
            truth.session.set(path, drained, None).await.unwrap();
        }
        // Long enough for the client to send it elsewhere if it would.
        sleep(Duration::from_millis(300)).await;
        let answer = json!({ "serveruniquecode": "slow", "id": asked["id"], "body": "late" });
        slow.say(asked["reply_to"].as_str().unwrap(), answer.to_string()).await;
        let ended = client.end().await;
        assert!(ended.status.success(), "{:?}", ended.lines);
        let line = &ended.events()[0];
        assert_eq!((&line["answered"], &line["refused"]), (&"slow".into(), &json!([])), "{line}");
        // Nobody else heard of it.
        assert_eq!(counts(vec![other]).await, [json!({"answered": 0, "dropped": 0, "not_understood": 0})]);
        assert!(slow.answers.try_recv().is_err(), "it was sent again");
        if !leaves {
            truth.session.delete(path, None).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_server_that_is_listed_and_silent_is_passed_over_and_the_next_one_is_stuck_to() {
    let site = Site::start().await;
    let server = site.server("b", &[]).await;
    let truth = site.zk.truth().await;
    truth
        .session
        .create(
            "/headkeeper/jobs/instances/silent",
            br#"{"server_unique_code":"silent"}"#,
            zk_session::Kind::Ephemeral,
        )
        .await
        .unwrap();
    // By this key the silent one is the first, or else the other: both are seen.
    let mut passed = 0;
    let asked = ["/1", "/2", "/3", "/4", "/5", "/6", "/7", "/8"].map(|key| {
        // As long as one that is there may take on a busy machine. All of them wait at the same time.
        let flags = ["--requests", "3", "--interval", "0s", "--timeout", "10s"];
        let flags = [&["--algorithm", "url-hash", "--key", key], &flags[..]].concat();
        run(site.program("mq-client", &flags))
    });
    for output in join_all(asked).await {
        let lines: Vec<Value> = stdout(&output).lines().map(json).collect();
        assert_eq!(output.status.code(), Some(0), "{lines:?}");
        for (at, line) in lines[..3].iter().enumerate() {
            assert_eq!(line["answered"], "b", "{line}");
            // Whoever did not answer once is not asked again.
            let refused = line["refused"].as_array().unwrap();
            assert!(refused.is_empty() || at == 0, "{line}");
            passed += refused
                .iter()
                .filter(|it| it["instance"] == "silent" && it["why"] == "no answer within 10s")
                .count();
        }
    }
    assert!(passed > 0);
    drop(server);
}

#[tokio::test]
async fn many_clients_at_once_get_the_answers_to_their_own_requests() {
    let site = Site::start().await;
    let servers = site.servers().await;
    let clients: Vec<_> = (0..12)
        .map(|_| {
            tokio::spawn(run(
                site.program("mq-client", &["--requests", "30", "--interval", "0s", "--timeout", LONG])
            ))
        })
        .collect();
    for client in clients {
        let output = client.await.unwrap();
        let lines: Vec<Value> = stdout(&output).lines().map(json).collect();
        assert_eq!(output.status.code(), Some(0), "{lines:?}");
        for (at, line) in lines[..30].iter().enumerate() {
            let body = line["body"].as_str().unwrap();
            assert!(body.ends_with(&format!(" request {}", at + 1)), "{line}");
            assert_eq!(body.split(' ').next(), line["answered"].as_str());
        }
        assert_eq!(lines[30]["summary"]["ignored"], json!({"late": 0, "doubled": 0, "foreign": 0}));
    }
    let counts = counts(servers).await;
    let sum = |what: &str| counts.iter().map(|count| count[what].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("answered"), sum("dropped")), (12 * 30, 2 * 12 * 30));
}

#[tokio::test]
async fn a_hello_is_answered_by_one_instance_only() {
    let site = Site::start().await;
    let servers = site.servers().await;
    let mut somebody = Somebody::listening(&site.broker, "s", "jobs/replies/s").await;
    for id in 0..30 {
        let hello = json!({ "id": id.to_string(), "reply_to": "jobs/replies/s" });
        somebody.say("jobs/hello", hello.to_string()).await;
    }
    let mut ids = HashSet::new();
    let mut codes = HashSet::new();
    for _ in 0..30 {
        let answer = somebody.hears().await;
        assert!(ids.insert(answer["id"].as_str().unwrap().to_owned()), "{answer} is the second");
        codes.insert(answer["serveruniquecode"].as_str().unwrap().to_owned());
    }
    assert!(codes.len() > 1, "the broker gives all to one: {codes:?}");
    counts(servers).await;
    assert!(somebody.answers.try_recv().is_err(), "somebody answered twice");
}

#[tokio::test]
async fn a_drained_server_answers_no_hello() {
    let site = Site::start().await;
    let servers = vec![site.server("a", &["--weight", "0"]).await, site.server("b", &[]).await];
    let mut somebody = Somebody::listening(&site.broker, "s", "jobs/replies/s").await;
    for id in 0..10 {
        let hello = json!({ "id": id.to_string(), "reply_to": "jobs/replies/s" });
        somebody.say("jobs/hello", hello.to_string()).await;
        assert_eq!(somebody.hears().await["serveruniquecode"], "b");
    }
    // Whoever knows its code is answered still.
    somebody.say("jobs", request("a", "1", "jobs/replies/s")).await;
    assert_eq!(somebody.hears().await["serveruniquecode"], "a");
    counts(servers).await;
}

#[tokio::test]
async fn a_server_that_was_replaced_answers_no_hello_also_after_the_broker_was_away() {
    let mut site = Site::start().await;
    let (mut old, mut errors) = Running::start_heard(site.program("mq-server", &["--unique-code", "a"]));
    old.event(|event| event["kind"] == "registered").await;
    let mut newer = site.server("a", &[]).await;
    let replaced = async {
        while !errors.next_line().await.unwrap().unwrap().contains("a newer server has taken our code") {}
    };
    timeout(PATIENCE, replaced).await.unwrap();
    // The broker has heard from each of them, and each is asked once it listens.
    for round in ["1", "2"] {
        if round == "2" {
            site.broker.start_again().await.unwrap();
        }
        let somebody = Somebody::listening(&site.broker, "s", "jobs/replies/s").await;
        for server in [&mut old, &mut newer] {
            let id = format!("{round} {}", server.pid().as_raw_nonzero());
            let answered = server.event(|event| event["kind"] == "answered" && event["id"] == *id);
            let asked = async {
                loop {
                    somebody.say("jobs", request("a", &id, "jobs/replies/s")).await;
                    sleep(Duration::from_millis(50)).await;
                }
            };
            tokio::select! {
                _ = answered => {}
                () = asked => {}
            }
        }
        for id in 0..10 {
            let hello = json!({ "id": format!("hello {round} {id}"), "reply_to": "jobs/replies/s" });
            somebody.say("jobs/hello", hello.to_string()).await;
            let greeted = |event: &Value| event["kind"] == "greeted";
            tokio::select! {
                _ = newer.event(greeted) => {}
                greeted = old.event(greeted) => panic!("{greeted}"),
            }
        }
    }
    for server in [&old, &newer] {
        server.signal(Signal::TERM);
    }
    let (said, ended) = (old.said.clone(), old.end().await);
    assert!(ended.status.success() && newer.end().await.status.success());
    let greeted = |line: &&String| json(line)["kind"] == "greeted";
    assert_eq!(said.iter().chain(&ended.lines).find(greeted), None);
}

#[tokio::test]
async fn a_client_without_zookeeper_says_hello_and_again_when_its_server_is_gone() {
    let site = Site::start().await;
    let servers = site.servers().await;
    let nowhere =
        ["--hello", "--requests", "0", "--interval", "10ms", "--timeout", "10s", "--zk", "127.0.0.1:1"];
    let mut hello = demo(["mq-client", "--service", "jobs", "--json", "--broker", &site.broker.url()]);
    hello.args(nowhere);
    let mut client = Running::start(hello);
    let first = client.event(|line| !line["answered"].is_null()).await["answered"].clone();
    for _ in 0..20 {
        assert_eq!(client.event(|_| true).await["answered"], first);
    }
    let at = ["a", "b", "c"].iter().position(|code| first == *code).unwrap();
    servers[at].signal(Signal::KILL);
    let next = client.event(|line| line["answered"] != first).await;
    assert!(next["error"].is_null(), "{next}");
    assert_eq!(next["refused"][0]["instance"], first);
    client.signal(Signal::INT);
    assert!(client.end().await.status.success());
}

#[tokio::test]
async fn where_nobody_listens_the_request_fails_with_that_reason_and_no_instance_is_blamed() {
    let site = Site::start().await;
    counts(vec![site.server("a", &[]).await]).await;
    let truth = site.zk.truth().await;
    for code in ["deaf", "deaf2"] {
        let path = format!("/headkeeper/jobs/instances/{code}");
        let data = json!({ "server_unique_code": code }).to_string();
        truth.session.create(&path, data.as_bytes(), zk_session::Kind::Ephemeral).await.unwrap();
    }
    site.registered(&["deaf", "deaf2"]).await;
    let asked = [
        &["--requests", "2", "--interval", "0s", "--timeout", "5s"][..],
        &["--hello", "--requests", "2", "--timeout", "5s"],
    ];
    for output in join_all(asked.map(|flags| run(site.program("mq-client", flags)))).await {
        let lines: Vec<Value> = stdout(&output).lines().map(json).collect();
        assert_eq!(output.status.code(), Some(1), "{lines:?}");
        for line in &lines[..2] {
            assert_eq!(line["error"], "nobody listens on the topic for 5s", "{line}");
            assert_eq!(line["refused"], json!([]), "{line}");
        }
    }
}

#[tokio::test]
async fn a_client_waits_for_an_instance_and_says_so_once() {
    let site = Site::start().await;
    let mut command = site.program("mq-client", &["--requests", "1", "--timeout", LONG]);
    let mut child = command.spawn().unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
    let next = told(&mut errors).await.unwrap();
    assert_eq!(next, "nobody to send to, waiting: there is no instance: the list is empty");
    let _server = site.server("a", &[]).await;
    let next = told(&mut errors).await.unwrap();
    assert_eq!(next, "there is somebody to send to");
    let output = timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
    assert!(output.status.success());
}

#[tokio::test]
async fn in_the_master_normal_layout_a_client_sticks_to_a_server_that_becomes_the_master() {
    let site = Site::start().await;
    let layout = ["--layout", "master-normal", "--root", "/old"];
    let master = site.server("a", &layout).await;
    let mut normal = site.server("b", &layout).await;
    let flags = [&layout[..], &["--requests", "0", "--interval", "10ms", "--timeout", LONG]].concat();
    let mut client = site.client(&flags);
    // The normal one is for requests while there is one.
    client.event(|line| line["answered"] == "b").await;
    master.signal(Signal::TERM);
    normal.event(|event| event["kind"] == "leads").await;
    // One more to whom requests would go now.
    let _other = site.server("c", &layout).await;
    for _ in 0..50 {
        let line = client.event(|_| true).await;
        assert_eq!((&line["answered"], &line["refused"]), (&"b".into(), &json!([])), "{line}");
    }
    client.signal(Signal::INT);
    assert!(client.end().await.status.success());
}

#[tokio::test]
async fn a_server_without_a_code_makes_one_up_which_is_a_uuid() {
    let site = Site::start().await;
    let mut server = Running::start(site.program("mq-server", &[]));
    let path = server.event(|event| event["kind"] == "registered").await["path"].clone();
    let code = path.as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let parts: Vec<_> = code.split('-').map(str::len).collect();
    assert_eq!(parts, [8, 4, 4, 4, 12], "{code}");
    assert!(code.chars().all(|c| c == '-' || c.is_ascii_hexdigit()) && code.as_bytes()[14] == b'4', "{code}");
    let truth = site.zk.truth().await;
    let node = truth.session.get(path.as_str().unwrap()).await.unwrap().unwrap();
    let data = proto::decode(&node.data).unwrap();
    assert_eq!((data.address, data.unique_code), (None, Some(code)));
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_anything_is_sent() {
    for (arguments, told) in [
        (&["mq-server", "--unique-code", ""][..], "accepted: 1-255 bytes"),
        (&["mq-server", "--unique-code", "a/b"], "accepted: 1-255 bytes"),
        (&["mq-server", "--unique-code", &"c".repeat(256)], "accepted: 1-255 bytes"),
        (&["mq-server", "--layout", "flat"], "flat"),
        (&["mq-server", "--service", "a+b"], "--topic"),
        (&["mq-server", "--topic", "a/#"], "accepted: a topic"),
        (&["mq-server", "--topic", "jobs/hello"], "no hello as its last level"),
        (&["mq-client", "--topic", "jobs/replies/c"], "none that is called replies"),
        (&["mq-server", "--broker", "tcp://127.0.0.1:1883"], "accepted: mqtt://HOST"),
        (&["mq-server", "--broker", "mqtts://broker"], "no TLS"),
        (&["mq-client", "--broker", "mqtt://user:hidden-secret@broker"], "MQTT_PASSWORD"),
        (&["mq-client", "--broker", "hidden-secret"], "accepted: mqtt://HOST"),
        (&["mq-client", "--layout", "flat"], "no place for a ServerUniqueCode"),
        (&["mq-client", "--hello", "--algorithm", "random"], "--hello"),
        (&["mq-client", "--algorithm", "ip-hash"], "--key"),
    ] {
        let output = run(demo(arguments)).await;
        let err = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {err}");
        assert!(err.contains(told) && !err.contains("secret"), "{arguments:?}: {err}");
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
}
