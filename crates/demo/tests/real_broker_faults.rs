//! What servers and clients do when their broker is gone, stalls or refuses them; on a real ZooKeeper and a real Mosquitto.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

#[path = "../src/broker.rs"]
mod broker;
mod common;
mod mq;

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use self::broker::Mosquitto;
use self::common::{CALM, Ended, PATIENCE, Running, Zk, demo, json, run, stderr, stdout};
use self::mq::{LONG, Permissions, Site, Somebody, counts, process, request};

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
    let mut client = site.client(&["--requests", "0", "--interval", "20ms", "--timeout", "2s"]);
    let mut first = client.event(|line| !line["answered"].is_null()).await["answered"].clone();
    for _ in 0..3 {
        let stopped = Instant::now();
        site.broker.stop();
        // Longer than the client waits for an answer, and as little longer as can be.
        let line = client.event(|line| !line["error"].is_null()).await;
        assert_eq!(line["refused"], json!([]), "{line}");
        site.broker.start_again().await.unwrap();
        let mut answered = 0;
        while answered < 20 {
            let line = client.event(|_| true).await;
            // Servers that are away for so long deregister, as they may be on a busy machine: then there is somebody else to stick to.
            let may_be_gone = stopped.elapsed() > Duration::from_secs(5);
            let refused = line["refused"].as_array().unwrap();
            assert!(refused.iter().all(|it| may_be_gone && it["why"] == "gone"), "{line}");
            // A request may fail: the broker was away for longer than the client waits.
            if line["error"].is_null() {
                if may_be_gone {
                    first = line["answered"].clone();
                }
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
async fn a_request_that_the_broker_never_took_fails_with_that_reason_and_blames_nobody() {
    let mut site = Site::start().await;
    let server = site.server("a", &[]).await;
    let flags = ["--requests", "0", "--interval", "10ms", "--timeout", "4s"];
    let mut client = site.client(&flags);
    client.event(|line| line["answered"] == "a").await;
    site.broker.stop();
    // One that was under way when it went may fail for another reason.
    let is_away = |why: &str| why.starts_with("the broker is away for more than 4s: ");
    client.event(|line| line["error"].as_str().is_some_and(is_away)).await;
    for line in client.said.iter().map(|line| json(line)) {
        assert_eq!(line["refused"], json!([]), "{line}");
    }
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
    let mut client = site.client(&["--requests", "0", "--interval", "2s", "--timeout", "4s"]);
    let first = client.event(|line| !line["answered"].is_null()).await["answered"].clone();
    // Between two requests: whoever was asked just before would have said nothing, as far as the client can know.
    rustix::process::kill_process(broker, Signal::STOP).unwrap();
    // One such request, and not longer: after 10 s everybody sees that the broker says nothing, and is away from it.
    let line = client.event(|_| true).await;
    assert_eq!(line["error"], "the broker did not take it within 4s", "{line}");
    assert_eq!(line["refused"], json!([]), "{line}");
    rustix::process::kill_process(broker, Signal::CONT).unwrap();
    let line = client.event(|line| line["error"].is_null()).await;
    assert_eq!((&line["answered"], &line["refused"]), (&first, &json!([])), "{line}");

    rustix::process::kill_process(broker, Signal::STOP).unwrap();
    let server = servers.pop().unwrap();
    server.signal(Signal::TERM);
    assert!(server.end().await.status.success());
    client.signal(Signal::INT);
    client.end().await;
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
async fn a_server_that_was_never_registered_says_nothing_of_an_end_of_that() {
    let mut site = Site::start().await;
    site.zk.cut_off(true);
    let start = || Running::start_heard(site.program("mq-server", &[]));
    let ((mut hearing, _errors), (mut deaf, mut errors)) = (start(), start());
    for server in [&mut hearing, &mut deaf] {
        server.event(|event| event["kind"] == "listening").await;
    }
    hearing.signal(Signal::TERM);
    let kinds = |ended: Ended| ended.events().iter().map(|event| event["kind"].clone()).collect::<Vec<_>>();
    assert_eq!(kinds(hearing.end().await), ["summary"]);

    site.broker.stop();
    let leaves = async {
        while !errors.next_line().await.unwrap().unwrap().starts_with("away from the broker for ") {}
    };
    timeout(PATIENCE, leaves).await.unwrap();
    deaf.signal(Signal::TERM);
    assert_eq!(kinds(deaf.end().await), ["summary"]);
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
            program.args(["--hello", "--requests", "1", "--timeout", "5s"]);
        }
        let mut child = program.spawn().unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        while !said.contains("it refuses us") {
            said.push_str(&timeout(PATIENCE, errors.next_line()).await.unwrap().unwrap().unwrap());
        }
        while let Some(line) = timeout(PATIENCE, errors.next_line()).await.unwrap().unwrap() {
            said.push_str(&line);
        }
        // Both end by themselves.
        let output = timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        said.push_str(&stdout(&output));
        assert!(said.contains("MQTT_PASSWORD") && !said.contains("secret"), "{said}");
        assert!(!said.contains("is it running there?"), "{said}");
    }
}

#[tokio::test]
async fn a_server_that_can_never_be_registered_ends_with_that_reason() {
    let server = zk_local::Server::builder().max_session(Duration::from_millis(400)).start().await.unwrap();
    let proxy = zk_local::Proxy::start(server.address()).await.unwrap();
    let zk = Zk { proxy, server, session: CALM };
    let site = Site { zk, broker: Mosquitto::start().await.unwrap() };
    let output = run(site.program("mq-server", &["--layout", "master-normal", "--root", "/m"])).await;
    assert_eq!(output.status.code(), Some(1));
    let why = "it cannot be registered: a session timeout of 400ms";
    assert!(stderr(&output).contains(why), "{}", stderr(&output));
}

#[tokio::test]
async fn a_server_that_may_not_hear_what_it_has_to_ends_and_says_what_that_is() {
    let (zk, permissions) = (Zk::start().await, Permissions::new());
    let broker = Mosquitto::start_with(&permissions.lines()).await.unwrap();
    let mut site = Site { zk, broker };
    for filter in ["jobs", "$share/headkeeper/jobs/hello"] {
        permissions.forbid(Some(filter));
        site.broker.start_again().await.unwrap();
        let output = run(site.program("mq-server", &[])).await;
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let why = format!("does not let it in: it does not let us subscribe to {filter}: ");
        assert!(said.contains(&why) && said.contains("MQTT_USERNAME"), "{said}");
        assert!(!said.contains("is it running there?"), "{said}");
        site.registered(&[]).await;
    }
}

#[tokio::test]
async fn a_server_that_may_hear_no_more_deregisters_and_ends() {
    let (zk, permissions) = (Zk::start().await, Permissions::new());
    let broker = Mosquitto::start_with(&permissions.lines()).await.unwrap();
    let mut site = Site { zk, broker };
    let (mut server, mut errors) = Running::start_heard(site.program("mq-server", &["--unique-code", "a"]));
    server.event(|event| event["kind"] == "registered").await;
    permissions.forbid(Some("jobs"));
    site.broker.start_again().await.unwrap();
    // The session is a long one: what is gone was withdrawn.
    site.registered(&[]).await;
    let ended = server.end().await;
    let kinds: Vec<_> = ended.events().iter().map(|event| event["kind"].clone()).collect();
    assert_eq!((ended.status.code(), &kinds[..]), (Some(1), &[json!("deregistered"), json!("summary")][..]));
    let mut said = String::new();
    while let Some(line) = timeout(PATIENCE, errors.next_line()).await.unwrap().unwrap() {
        said = line;
    }
    assert!(said.contains("it does not let us subscribe to jobs: "), "{said}");
}

/// A packet of MQTT that is no longer than 127 bytes, but for its first one.
async fn packet(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).await.unwrap();
    let mut rest = vec![0; head[1].into()];
    stream.read_exact(&mut rest).await.unwrap();
    rest
}

#[tokio::test]
async fn a_subscription_that_is_refused_for_another_reason_is_asked_for_again() {
    // A Mosquitto gives no other reason than that one is not allowed to, so this broker is played.
    let (zk, listener) = (Zk::start().await, TcpListener::bind("127.0.0.1:0").await.unwrap());
    let url = format!("mqtt://{}", listener.local_addr().unwrap());
    let mut program =
        demo(["mq-server", "--service", "jobs", "--json", "--unique-code", "a", "--broker", &url]);
    program.args(zk.flags());
    let mut server = Running::start(program);
    let answers = async |code: u8| {
        let (mut stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        packet(&mut stream).await;
        stream.write_all(&[0x20, 3, 0, 0, 0]).await.unwrap();
        let subscribe = packet(&mut stream).await;
        stream.write_all(&[0x90, 5, subscribe[0], subscribe[1], 0, 1, code]).await.unwrap();
        stream
    };
    // Not specified, as when it cannot ask whoever knows; a quota that is used up; and then none.
    for code in [0x80, 0x97] {
        // By whom it is hung up is seen.
        let mut stream = answers(code).await;
        timeout(PATIENCE, stream.read(&mut [0])).await.unwrap().unwrap();
    }
    let _stream = answers(1).await;
    server.event(|event| event["kind"] == "registered").await;
    server.signal(Signal::TERM);
    assert!(server.end().await.status.success());
}
