//! Servers and clients behind a message broker do what their help says; on a real ZooKeeper and a real Mosquitto.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

#[path = "../src/broker.rs"]
mod broker;
mod common;

use std::collections::{HashMap, HashSet};
use std::process::Stdio;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use self::broker::Mosquitto;
use self::common::{Ended, PATIENCE, Running, Zk, demo, json, run, stderr, stdout};

/// How long a request may take whose server is alive: the machine may be busy.
const LONG: &str = "20s";

/// Both, and the flags that lead a program there.
struct Site {
    zk: Zk,
    broker: Mosquitto,
}

impl Site {
    async fn start() -> Self {
        Self { zk: Zk::start().await, broker: Mosquitto::start().await.unwrap() }
    }

    fn program(&self, command: &str, more: &[&str]) -> tokio::process::Command {
        let begin = [command, "--service", "jobs", "--json"].map(str::to_owned);
        let broker = ["--broker".to_owned(), self.broker.url()];
        let more = more.iter().map(|&flag| flag.to_owned());
        demo(begin.into_iter().chain(broker).chain(self.zk.flags()).chain(more))
    }

    /// A server that is registered.
    async fn server(&self, code: &str, more: &[&str]) -> Running {
        let flags = [&["--unique-code", code], more].concat();
        let mut server = Running::start(self.program("mq-server", &flags));
        server.event(|event| event["kind"] == "registered").await;
        server
    }

    async fn servers(&self) -> Vec<Running> {
        vec![self.server("a", &[]).await, self.server("b", &[]).await, self.server("c", &[]).await]
    }

    fn client(&self, more: &[&str]) -> Running {
        Running::start(self.program("mq-client", more))
    }

    async fn registered(&self, names: &[&str]) {
        let truth = self.zk.truth().await;
        let reached = async {
            loop {
                truth.session.sync("/").await.unwrap();
                let mut now = truth.session.children("/headkeeper/jobs/instances").await.unwrap_or_default();
                now.sort();
                if now == names {
                    return;
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, reached).await.unwrap();
    }
}

/// Somebody on the broker who is no program of ours.
struct Somebody {
    client: AsyncClient,
    answers: mpsc::UnboundedReceiver<Value>,
}

impl Somebody {
    /// Hears what comes on `filter`.
    async fn listening(broker: &Mosquitto, name: &str, filter: &str) -> Self {
        let url = broker.url();
        let port = url.rsplit(':').next().unwrap().parse().unwrap();
        let mut options = MqttOptions::new(name, "127.0.0.1", port);
        options.set_keep_alive(Duration::from_secs(60));
        let (client, mut events) = AsyncClient::new(options, 64);
        let (tell, answers) = mpsc::unbounded_channel();
        let (tell_ready, mut ready) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Ok(event) = events.poll().await {
                match event {
                    Event::Incoming(Packet::SubAck(_)) => tell_ready.try_send(()).unwrap(),
                    Event::Incoming(Packet::Publish(message)) => {
                        let _ = tell.send(serde_json::from_slice(&message.payload).unwrap_or(Value::Null));
                    }
                    _ => {}
                }
            }
        });
        client.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
        timeout(PATIENCE, ready.recv()).await.unwrap().unwrap();
        Self { client, answers }
    }

    async fn say(&self, topic: &str, bytes: impl Into<Vec<u8>>) {
        self.client.publish(topic, QoS::AtLeastOnce, false, bytes.into()).await.unwrap();
    }

    async fn hears(&mut self) -> Value {
        timeout(PATIENCE, self.answers.recv()).await.unwrap().unwrap()
    }
}

/// The process of this broker: the one whose configuration has its port.
fn process(broker: &Mosquitto) -> rustix::process::Pid {
    let line = format!("listener {} ", broker.url().rsplit(':').next().unwrap());
    let is_it = |pid: i32| {
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let parts: Vec<_> = command.split('\0').collect();
        parts[0].ends_with("/mosquitto")
            && parts
                .get(2)
                .is_some_and(|file| std::fs::read_to_string(file).is_ok_and(|it| it.starts_with(&line)))
    };
    let all = std::fs::read_dir("/proc").unwrap();
    let mut pids = all.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<i32>().ok());
    rustix::process::Pid::from_raw(pids.find(|&pid| is_it(pid)).unwrap()).unwrap()
}

fn request(code: &str, id: &str, reply_to: &str) -> String {
    json!({ "serveruniquecode": code, "id": id, "reply_to": reply_to, "body": "it" }).to_string()
}

/// Ends servers by SIGTERM, and gives what they count.
async fn counts(servers: Vec<Running>) -> Vec<Value> {
    let mut counts = Vec::new();
    for server in servers {
        server.signal(Signal::TERM);
        let ended: Ended = server.end().await;
        assert!(ended.status.success());
        counts.push(ended.last()["summary"].clone());
    }
    counts
}

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
    let site = Site::start().await;
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
    for key in ["/1", "/2", "/3", "/4", "/5", "/6", "/7", "/8"] {
        let flags = [
            "--algorithm",
            "url-hash",
            "--key",
            key,
            "--requests",
            "3",
            "--interval",
            "0s",
            "--timeout",
            "1s",
        ];
        let output = run(site.program("mq-client", &flags)).await;
        let lines: Vec<Value> = stdout(&output).lines().map(json).collect();
        assert_eq!(output.status.code(), Some(0), "{lines:?}");
        for (at, line) in lines[..3].iter().enumerate() {
            assert_eq!(line["answered"], "b", "{line}");
            // Whoever did not answer once is not asked again.
            let refused = line["refused"].as_array().unwrap();
            assert!(refused.is_empty() || at == 0, "{line}");
            passed += refused
                .iter()
                .filter(|it| it["instance"] == "silent" && it["why"] == "no answer within 1s")
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
async fn a_client_without_zookeeper_says_hello_and_again_when_its_server_is_gone() {
    let site = Site::start().await;
    let servers = site.servers().await;
    let nowhere =
        ["--hello", "--requests", "0", "--interval", "10ms", "--timeout", "2s", "--zk", "127.0.0.1:1"];
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
async fn after_a_restart_of_the_broker_servers_listen_again_and_are_found() {
    let mut site = Site::start().await;
    let servers = site.servers().await;
    let mut client = site.client(&["--requests", "0", "--interval", "20ms", "--timeout", LONG]);
    let first = client.event(|line| !line["answered"].is_null()).await["answered"].clone();
    for _ in 0..2 {
        site.broker.stop();
        sleep(Duration::from_millis(300)).await;
        site.broker.start_again().await.unwrap();
        for _ in 0..20 {
            // Nobody is blamed for the broker's absence.
            assert_eq!(client.event(|_| true).await["answered"], first);
        }
    }
    client.signal(Signal::INT);
    let ended = client.end().await;
    assert!(ended.status.success(), "{:?}", ended.lines);
    // All of them, and not only the one that was asked.
    let mut somebody = Somebody::listening(&site.broker, "s", "jobs/replies/s").await;
    for code in ["a", "b", "c"] {
        let answered = async {
            loop {
                somebody.say("jobs", request(code, "1", "jobs/replies/s")).await;
                let answer = timeout(Duration::from_millis(500), somebody.answers.recv()).await;
                if answer.is_ok_and(|answer| answer.unwrap()["serveruniquecode"] == code) {
                    return;
                }
            }
        };
        timeout(PATIENCE, answered).await.unwrap();
    }
    counts(servers).await;
}

#[tokio::test]
async fn after_a_restart_of_the_broker_a_client_with_little_patience_blames_nobody_and_sticks_to_its_server()
{
    let mut site = Site::start().await;
    let servers = site.servers().await;
    let mut client = site.client(&["--requests", "0", "--interval", "20ms"]);
    let first = client.event(|line| !line["answered"].is_null()).await["answered"].clone();
    for _ in 0..3 {
        site.broker.stop();
        sleep(Duration::from_millis(300)).await;
        site.broker.start_again().await.unwrap();
        let mut answered = 0;
        while answered < 20 {
            let line = client.event(|_| true).await;
            assert_eq!(line["refused"], json!([]), "{line}");
            // A request may fail: the broker was away for longer than the client waits.
            if line["error"].is_null() {
                assert_eq!(line["answered"], first, "{line}");
                answered += 1;
            }
        }
    }
    client.signal(Signal::INT);
    client.end().await;
    counts(servers).await;
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
    for flags in [
        &["--requests", "2", "--interval", "0s", "--timeout", "1s"][..],
        &["--hello", "--requests", "2", "--timeout", "1s"],
    ] {
        let output = run(site.program("mq-client", flags)).await;
        let lines: Vec<Value> = stdout(&output).lines().map(json).collect();
        assert_eq!(output.status.code(), Some(1), "{lines:?}");
        for line in &lines[..2] {
            assert_eq!(line["error"], "nobody listens on the topic for 1s", "{line}");
            assert_eq!(line["refused"], json!([]), "{line}");
        }
    }
}

#[tokio::test]
async fn one_who_says_hello_by_ever_new_codes_and_never_answers_is_given_up() {
    let site = Site::start().await;
    let mut liar = Somebody::listening(&site.broker, "liar", "jobs/hello").await;
    // Nobody answers there, and the broker need not say so.
    let _silent = Somebody::listening(&site.broker, "silent", "jobs").await;
    let liar_at_work = tokio::spawn(async move {
        let mut said = 0;
        while let Some(hello) = liar.answers.recv().await {
            let answer = json!({ "serveruniquecode": said.to_string(), "id": hello["id"], "body": "" });
            liar.say(hello["reply_to"].as_str().unwrap(), answer.to_string()).await;
            said += 1;
        }
    });
    let flags = ["--hello", "--requests", "1", "--timeout", "200ms"];
    let output = run(site.program("mq-client", &flags)).await;
    let line = json(stdout(&output).lines().next().unwrap());
    assert_eq!(line["error"], "nobody else says hello", "{line}");
    assert_eq!(line["refused"].as_array().unwrap().len(), 5, "{line}");
    liar_at_work.abort();
}

#[tokio::test]
async fn a_server_that_is_flooded_ends_all_the_same() {
    let site = Site::start().await;
    let mut server = site.server("a", &[]).await;
    let mut floods = Vec::new();
    for name in ["s", "t", "u"] {
        let somebody = Somebody::listening(&site.broker, name, "elsewhere").await;
        floods.push(tokio::spawn(async move {
            // More work for whoever reads it than for whoever passes it on.
            let asked = json!({ "serveruniquecode": "a", "id": "1", "reply_to": "jobs/replies/s", "body": "\n".repeat(15_000) });
            let bytes = asked.to_string();
            while somebody.client.publish("jobs", QoS::AtMostOnce, false, bytes.clone()).await.is_ok() {}
        }));
    }
    for _ in 0..200 {
        server.event(|event| event["kind"] == "answered").await;
    }
    server.signal(Signal::TERM);
    let ended = timeout(Duration::from_secs(6), server.end()).await.unwrap();
    assert!(ended.status.success());
    floods.iter().for_each(tokio::task::JoinHandle::abort);
    site.registered(&[]).await;
}

#[tokio::test]
async fn a_request_that_the_broker_never_took_fails_with_that_reason_and_blames_nobody() {
    let mut site = Site::start().await;
    let server = site.server("a", &[]).await;
    let flags = ["--requests", "0", "--interval", "10ms", "--timeout", "300ms"];
    let mut client = site.client(&flags);
    client.event(|line| line["answered"] == "a").await;
    site.broker.stop();
    let failed = client.event(|line| !line["error"].is_null()).await;
    let why = failed["error"].as_str().unwrap();
    assert!(why.starts_with("the broker is away for more than 300ms: "), "{why}");
    assert_eq!(failed["refused"], json!([]));
    site.broker.start_again().await.unwrap();
    client.event(|line| line["answered"] == "a").await;
    client.signal(Signal::INT);
    assert_eq!(client.end().await.status.code(), Some(1));
    counts(vec![server]).await;
}

#[tokio::test]
async fn a_broker_that_stalls_is_no_servers_fault_and_keeps_no_server_from_ending() {
    let site = Site::start().await;
    let mut servers = site.servers().await;
    let broker = process(&site.broker);
    let mut client = site.client(&["--requests", "0", "--interval", "300ms", "--timeout", "500ms"]);
    let first = client.event(|line| !line["answered"].is_null()).await["answered"].clone();
    // Between two requests: whoever was asked just before would have said nothing, as far as the client can know.
    rustix::process::kill_process(broker, Signal::STOP).unwrap();
    for _ in 0..3 {
        let line = client.event(|_| true).await;
        assert_eq!(line["error"], "the broker did not take it within 500ms", "{line}");
        assert_eq!(line["refused"], json!([]), "{line}");
    }
    rustix::process::kill_process(broker, Signal::CONT).unwrap();
    let line = client.event(|line| line["error"].is_null()).await;
    assert_eq!((&line["answered"], &line["refused"]), (&first, &json!([])), "{line}");

    rustix::process::kill_process(broker, Signal::STOP).unwrap();
    let server = servers.pop().unwrap();
    server.signal(Signal::TERM);
    assert!(timeout(Duration::from_secs(6), server.end()).await.unwrap().status.success());
    client.signal(Signal::INT);
    timeout(Duration::from_secs(6), client.end()).await.unwrap();
}

#[tokio::test]
async fn garbage_on_the_topic_harms_nobody_and_is_counted() {
    let site = Site::start().await;
    let mut command = site.program("mq-server", &["--unique-code", "a"]);
    command.stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
    while json(&timeout(PATIENCE, out.next_line()).await.unwrap().unwrap().unwrap())["kind"] != "registered" {
    }

    let mut somebody = Somebody::listening(&site.broker, "s", "jobs/replies/#").await;
    let mut spy = Somebody::listening(&site.broker, "spy", "elsewhere").await;
    let deep = format!(r#"{{"serveruniquecode":{}"#, "[".repeat(60_000));
    let nested = format!(r#"{{"x":{}"#, r#"{"x":"#.repeat(10_000));
    let too_long = format!(
        r#"{{"serveruniquecode":"a","id":"1","reply_to":"jobs/replies/s","body":"{}"}}"#,
        "x".repeat(66_000)
    );
    let bad: [Vec<u8>; 13] = [
        b"\x1b[2Jgarbage".to_vec(),
        b"".to_vec(),
        vec![0xff; 1000],
        b"[]".to_vec(),
        b"null".to_vec(),
        deep.into_bytes(),
        nested.into_bytes(),
        too_long.into_bytes(),
        request("a", "1", "jobs/replies/+").into_bytes(),
        request("a", "1", "jobs/replies/#").into_bytes(),
        request("a", "1", "elsewhere").into_bytes(),
        // A broker hangs up on whoever sends there.
        request("a", "1", "jobs/replies/\u{fdd0}").into_bytes(),
        request("a", "1", "jobs/replies/\u{1ffff}").into_bytes(),
    ];
    for bytes in &bad {
        somebody.say("jobs", bytes.clone()).await;
    }
    // The broker itself keeps this from those who do not take it.
    for topic in ["jobs", "jobs/hello"] {
        somebody.say(topic, vec![b'x'; 10 * 1024 * 1024]).await;
    }
    somebody.say("jobs/hello", "garbage").await;
    somebody.say("jobs", request("a", "2", "jobs/replies/s")).await;
    let answer = somebody.hears().await;
    assert_eq!((&answer["id"], &answer["serveruniquecode"]), (&"2".into(), &"a".into()));

    let pid = rustix::process::Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    let mut last = String::new();
    while let Some(line) = timeout(PATIENCE, out.next_line()).await.unwrap().unwrap() {
        last = line;
    }
    assert!(child.wait().await.unwrap().success());
    somebody.say("elsewhere", json!("the first").to_string()).await;
    assert_eq!(spy.hears().await, "the first");
    assert_eq!(json(&last)["summary"], json!({"answered": 1, "dropped": 0, "not_understood": bad.len() + 1}));
    let mut told = Vec::new();
    while let Some(line) = errors.next_line().await.unwrap() {
        told.push(line);
    }
    let complaints: Vec<_> = told.iter().filter(|line| line.contains("not understood")).collect();
    assert_eq!(complaints.len(), 1, "{told:#?}");
    assert!(complaints[0].contains("expected value"), "{told:#?}");
    assert!(!told.iter().any(|line| line.contains("away from the broker")), "{told:#?}");
}

#[tokio::test]
async fn what_the_broker_retained_is_nobodys_request() {
    let site = Site::start().await;
    let mut somebody = Somebody::listening(&site.broker, "s", "jobs/replies/s").await;
    let old = request("a", "old", "jobs/replies/s");
    somebody.client.publish("jobs", QoS::AtLeastOnce, true, old).await.unwrap();
    let server = site.server("a", &[]).await;
    somebody.say("jobs", request("a", "new", "jobs/replies/s")).await;
    assert_eq!(somebody.hears().await["id"], "new");
    assert_eq!(counts(vec![server]).await, [json!({"answered": 1, "dropped": 0, "not_understood": 0})]);
}

#[tokio::test]
async fn a_client_ignores_and_counts_answers_that_are_not_its_own() {
    let site = Site::start().await;
    let truth = site.zk.truth().await;
    // The directory is there, and nobody else in it.
    counts(vec![site.server("a", &[]).await]).await;
    // An instance that says everything twice, and more that it was not asked for.
    let mut liar = Somebody::listening(&site.broker, "liar", "jobs").await;
    let path = "/headkeeper/jobs/instances/liar";
    truth
        .session
        .create(path, br#"{"server_unique_code":"liar"}"#, zk_session::Kind::Ephemeral)
        .await
        .unwrap();
    let liar_at_work = tokio::spawn(async move {
        while let Some(asked) = liar.answers.recv().await {
            let reply_to = asked["reply_to"].as_str().unwrap();
            let answer =
                |code: &str, id: &str| json!({"serveruniquecode": code, "id": id, "body": code}).to_string();
            let id = asked["id"].as_str().unwrap();
            for said in [
                answer("liar2", id),
                answer("liar", "x-1"),
                "garbage".to_owned(),
                answer("liar", id),
                answer("liar", id),
            ] {
                liar.say(reply_to, said).await;
            }
        }
    });
    let flags = ["--requests", "5", "--interval", "50ms", "--timeout", LONG];
    site.registered(&["liar"]).await;
    let output = run(site.program("mq-client", &flags)).await;
    let lines: Vec<Value> = stdout(&output).lines().map(json).collect();
    assert_eq!(output.status.code(), Some(0), "{lines:?}");
    for line in &lines[..5] {
        assert_eq!((&line["answered"], &line["body"]), (&"liar".into(), &"liar".into()));
    }
    let ignored = &lines[5]["summary"]["ignored"];
    assert_eq!(ignored["foreign"], 15, "{ignored}");
    // The last one's second may come when the client has gone.
    assert!([4, 5].contains(&ignored["doubled"].as_u64().unwrap()), "{ignored}");
    liar_at_work.abort();
}

#[tokio::test]
async fn a_client_waits_for_an_instance_and_says_so_once() {
    let site = Site::start().await;
    let mut command = site.program("mq-client", &["--requests", "1", "--timeout", LONG]);
    let mut child = command.spawn().unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
    let next = timeout(PATIENCE, errors.next_line()).await.unwrap().unwrap().unwrap();
    assert_eq!(next, "nobody to send to, waiting: there is no instance: the list is empty");
    let _server = site.server("a", &[]).await;
    let next = timeout(PATIENCE, errors.next_line()).await.unwrap().unwrap().unwrap();
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
async fn a_server_is_not_registered_before_the_broker_has_let_it_listen() {
    let mut site = Site::start().await;
    site.broker.stop();
    let mut server = Running::start(site.program("mq-server", &["--unique-code", "a"]));
    // Long enough for it to register if it would.
    sleep(Duration::from_millis(1500)).await;
    site.registered(&[]).await;
    site.broker.start_again().await.unwrap();
    server.event(|event| event["kind"] == "listening").await;
    server.event(|event| event["kind"] == "registered").await;
    site.registered(&["a"]).await;
}

#[tokio::test]
async fn a_server_that_is_deaf_for_long_deregisters_and_registers_again_when_it_hears() {
    let mut site = Site::start().await;
    let mut server = site.server("a", &[]).await;
    site.broker.stop();
    server.event(|event| event["kind"] == "deregistered").await;
    site.registered(&[]).await;
    site.broker.start_again().await.unwrap();
    server.event(|event| event["kind"] == "registered").await;
    site.registered(&["a"]).await;
    let mut somebody = Somebody::listening(&site.broker, "s", "jobs/replies/s").await;
    somebody.say("jobs", request("a", "1", "jobs/replies/s")).await;
    assert_eq!(somebody.hears().await["id"], "1");

    // One that is deregistered when it is stopped says so once.
    site.broker.stop();
    server.event(|event| event["kind"] == "deregistered").await;
    server.signal(Signal::TERM);
    let ended = server.end().await;
    assert!(ended.status.success());
    assert_eq!(ended.lines.len(), 1, "{:?}", ended.lines);
}

#[tokio::test]
async fn a_password_is_in_no_output_also_when_the_broker_refuses_it() {
    let zk = Zk::start().await;
    let refusing = Mosquitto::start_with("allow_anonymous false\n").await.unwrap();
    for command in ["mq-server", "mq-client"] {
        let mut program = demo([command, "--service", "jobs", "-vv", "--broker", &refusing.url()]);
        program.args(zk.flags());
        program.env("MQTT_USERNAME", "somebody-secret").env("MQTT_PASSWORD", "hidden-secret");
        if command == "mq-client" {
            program.args(["--hello", "--requests", "1", "--timeout", "1s"]);
        }
        let mut child = program.spawn().unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        while !said.contains("it refuses us") {
            said.push_str(&timeout(PATIENCE, errors.next_line()).await.unwrap().unwrap().unwrap());
        }
        if command == "mq-server" {
            let pid = rustix::process::Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
            rustix::process::kill_process(pid, Signal::TERM).unwrap();
        }
        while let Some(line) = timeout(PATIENCE, errors.next_line()).await.unwrap().unwrap() {
            said.push_str(&line);
        }
        said.push_str(&stdout(&timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap()));
        assert!(said.contains("MQTT_PASSWORD") && !said.contains("secret"), "{said}");
    }
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
