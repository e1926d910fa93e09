//! The program as a person or a supervisor would run it, on a real ZooKeeper.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod program;

use std::process::Stdio;
use std::time::Duration;

use cli::zookeeper::by_flags_alone;
use program::{Gateway, PATIENCE, command, soon};
use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;
use zk_local::Server;
use zk_session::{Connect, ZooKeeper};

#[tokio::test]
async fn it_serves_from_the_start_and_from_memory_and_ends_in_order() {
    let server = Server::start().await.unwrap();
    let gateway = Gateway::start(&server.connect_string(), &["--service", "time"]).await;
    gateway.becomes("/readyz", |status, _| status == 200).await;
    let empty = gateway.becomes("/v1/services/time", |status, _| status == 200).await;
    assert_eq!((&empty["source"], &empty["instances"]), (&"live".into(), &Value::Array(Vec::new())));
    assert_eq!(gateway.call("GET", "/v1/services/nobody", "").await.0, 404);

    // A stream does not hold up the end.
    let mut stream = TcpStream::connect(&gateway.address).await.unwrap();
    let ask = format!("GET /v1/services/time/watch HTTP/1.1\r\nhost: {}\r\n\r\n", gateway.address);
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut first = [0; 1_024];
    timeout(PATIENCE, stream.read(&mut first)).await.unwrap().unwrap();
    assert_eq!(gateway.stop(Signal::TERM).await, (Some(0), vec!["stopped".to_owned()]));
    let mut rest = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut rest)).await.unwrap().unwrap();
    assert!(rest.ends_with("0\r\n\r\n"), "the stream is ended as it should be: {rest}");
}

#[tokio::test]
async fn what_it_registered_is_gone_when_it_has_ended() {
    let server = Server::start().await.unwrap();
    let gateway = Gateway::start(&server.connect_string(), &[]).await;
    for port in 1..=20 {
        let path = format!("/v1/services/time/instances/h:{port}");
        let data = format!("{{\"server_ip\":\"h\",\"server_port\":{port},\"ttl\":600}}");
        gateway.registers(&path, &data).await;
    }
    let calm = Duration::from_secs(60);
    let zookeeper = ZooKeeper::builder(&server.connect_string()).session_timeout(calm).build().unwrap();
    let truth = soon(zookeeper.connect()).await.unwrap();
    let registered = async || {
        truth.sync("/").await.unwrap();
        truth.children("/headkeeper/time/instances").await.unwrap().len()
    };
    assert_eq!(registered().await, 20);
    // It is answered once it is gone, unless ZooKeeper takes too long for that.
    let status = gateway.call("DELETE", "/v1/services/time/instances/h:7", "").await.0;
    assert!([202, 204].contains(&status), "{status}");
    soon(async { while status == 202 && registered().await > 19 {} }).await;
    assert_eq!(registered().await, 19);
    let (_, picked) = gateway.call("GET", "/v1/services/time/pick?algorithm=random", "").await;
    assert!(picked.contains("\"server_ip\":\"h\""), "{picked}");
    assert_eq!(gateway.stop(Signal::TERM).await.0, Some(0));
    assert_eq!(registered().await, 0);
}

#[tokio::test]
async fn without_zookeeper_it_starts_and_ends_all_the_same() {
    let gateway = Gateway::start("127.0.0.1:9", &["--service", "time"]).await;
    assert_eq!(gateway.call("GET", "/healthz", "").await.0, 200);
    assert_eq!(gateway.call("GET", "/readyz", "").await.0, 503);
    assert_eq!(gateway.stop(Signal::INT).await.0, Some(0));
}

#[tokio::test]
async fn it_may_have_as_many_files_open_as_the_system_lets_it() {
    let start = "ulimit -Sn 100 && ulimit -Hn 500 && exec \"$0\" --listen 127.0.0.1:0 --zk 127.0.0.1:9";
    let mut shell = Command::new("bash");
    by_flags_alone(shell.as_std_mut()).env_remove("RUST_LOG");
    shell.args(["-c", start, env!("CARGO_BIN_EXE_gateway")]).kill_on_drop(true);
    let mut gateway = shell.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = String::new();
    let mut errors = BufReader::new(gateway.stderr.take().unwrap());
    timeout(PATIENCE, async {
        while !told.contains("fewer files may be open") {
            assert_ne!(errors.read_line(&mut told).await.unwrap(), 0, "{told}");
        }
    })
    .await
    .unwrap();
    assert!(told.contains("files=500 usually=4160 at_most=4160"), "{told}");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", gateway.id().unwrap())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().nth(3), Some("500"), "{files}");
}

#[tokio::test]
async fn flags_that_cannot_be_are_refused_with_the_reason() {
    for (flags, reason) in [
        (vec!["--listen", "nowhere"], "accepted: an IP address and a port"),
        (vec!["--service", "a/b"], "cannot be a name"),
        (vec!["--zk", "a:b:c"], "is unusable"),
        (vec!["--hide-ownerless"], "--hide-ownerless is accepted with --layout flat alone"),
        (vec!["--listen", "0.0.0.0:0"], "on 0.0.0.0:0 everybody who reaches it could register and withdraw"),
        (vec!["--listen", "[::]:0"], "--tokens FILE"),
        (vec!["--tls-cert", "/nowhere", "--tls-key", "/nowhere"], "TLS: /nowhere has no"),
        (vec!["--tls-cert", "/nowhere"], "--tls-key"),
        (vec!["--tls-client-ca", "/nowhere"], "--tls-cert"),
        (vec!["--tokens", "/nowhere"], "--tokens: /nowhere cannot be read: No such file"),
        (vec!["--finish", "10"], "accepted: a time from 0s to 1h"),
        (vec!["--proxy", "127.0.0.1:0"], "--rules <FILE>"),
        (vec!["--rules", "/nowhere"], "--proxy <IP:PORT>"),
        (vec!["--proxy-public"], "--proxy <IP:PORT>"),
        (vec!["--proxy", "127.0.0.1:0", "--rules", "/nowhere"], "--rules: /nowhere: No such file"),
        (
            vec!["--proxy", "0.0.0.0:0", "--rules", "/nowhere"],
            "--proxy: on 0.0.0.0:0 everybody who reaches it could send requests",
        ),
        (vec!["--proxy", "[::]:0", "--rules", "/nowhere"], "or --proxy-public where that is meant"),
        (
            vec!["--proxy", "0.0.0.0:0", "--rules", "/nowhere", "--proxy-public"],
            "--rules: /nowhere: No such file",
        ),
        (
            vec!["--proxy", "127.0.0.1:0", "--rules", "/nowhere", "--proxy-tls-cert", "/x"],
            "--proxy-tls-key <FILE>",
        ),
        (
            vec![
                "--proxy",
                "0.0.0.0:0",
                "--rules",
                "/x",
                "--proxy-tls-cert",
                "/x",
                "--proxy-tls-key",
                "/x",
                "--proxy-tls-client-ca",
                "/nowhere",
            ],
            "TLS of the proxy: /nowhere has no",
        ),
    ] {
        let output = command(&flags).stderr(Stdio::piped()).output();
        let output = timeout(PATIENCE, output).await.unwrap().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {told}");
        assert!(told.contains(reason), "{flags:?}: {told}");
    }
}
