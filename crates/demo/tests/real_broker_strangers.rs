//! What others say on the broker harms nobody; on a real ZooKeeper and a real Mosquitto.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

#[path = "../src/broker.rs"]
mod broker;
mod common;
mod mq;

use std::process::Stdio;

use rumqttc::v5::mqttbytes::QoS;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;

use self::common::{PATIENCE, json, run, stdout};
use self::mq::{LONG, Site, Somebody, counts, request};

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
    let flags = ["--hello", "--requests", "1", "--timeout", "3s"];
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
    let ended = timeout(PATIENCE, server.end()).await.unwrap();
    assert!(ended.status.success());
    floods.iter().for_each(tokio::task::JoinHandle::abort);
    site.registered(&[]).await;
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
