//! What the program says of secrets, however much it is to say: nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod program;
mod services;

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use leader::{Credentials, Election, Layout};
use program::{Gateway, send, soon};
use proto::{Address, NodeData, Root, ServiceName};
use rustix::process::Signal;
use services::File;
use zk_local::Server;
use zk_session::{Keeper, ZooKeeper};

const READ: &str = "read-0123456789abcdef";
const WRITE: &str = "write-0123456789abcdef";
const WRONG: &str = "wrong-0123456789abcdef";
const NEXT: &str = "next-0123456789abcdef";
const PASSWORD: &str = "hunter2-of-the-node";

#[tokio::test]
async fn no_token_and_no_password_of_a_node_is_ever_logged() {
    let server = Server::start().await.unwrap();
    let zk = server.connect_string();
    // A master of the old framework, whose node has its login in it.
    let theirs = ZooKeeper::builder(&zk).session_timeout(Duration::from_secs(30)).build().unwrap();
    let keeper = Keeper::start(theirs);
    let credentials = Credentials { username: "hunter".to_owned(), userpwd: PASSWORD.to_owned() };
    let layout = Layout::MasterNormal { root: Root::default(), credentials };
    let election = Election::with_layout(keeper.sessions(), layout);
    let data = NodeData::at(Address::new("127.0.0.1", 1).unwrap());
    let candidate = election.campaign(&ServiceName::parse("time").unwrap(), data).unwrap();
    let leadership = soon(candidate.elected()).await.unwrap();

    let tokens = File::with(&format!("read {READ}\nwrite {WRITE}\n"));
    let more = ["-vv", "--layout", "master-normal", "--service", "time", "--tokens", tokens.path()];
    let gateway = Gateway::start(&zk, &more).await;
    let ask = async |method: &str, path: &str, token: &str| {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
        send(&gateway.address, &format!("{head}authorization: Bearer {token}\r\n\r\n")).await
    };
    gateway.becomes("/readyz", |status, _| status == 200).await;
    let service = "/v1/services/time";
    let answer = ask("GET", service, READ).await;
    assert!(answer.contains("\"id\":\"master\""), "its node was read: {answer}");
    assert!(!answer.contains(PASSWORD), "{answer}");
    for (path, token, status) in [
        (service, WRITE, "200"),
        (service, WRONG, "401"),
        // Where no token belongs.
        (&*format!("{service}?token={WRONG}"), READ, "400"),
        (&*format!("/{WRONG}"), READ, "404"),
    ] {
        let answer = ask("GET", path, token).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path} {token}: {answer}");
    }
    // HTTP/2 has a library of its own, which is told to say all as well.
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Body>();
    for token in [READ, WRONG] {
        let request = Request::get(format!("http://{}{service}", gateway.address));
        let request = request.header("authorization", format!("Bearer {token}")).body(Body::empty());
        let status = soon(client.request(request.unwrap())).await.unwrap().status();
        assert_eq!(status == 200, token == READ, "{token}: {status}");
    }
    let lease = format!("{service}/instances/a?lease={WRONG}");
    assert!(ask("DELETE", &lease, READ).await.starts_with("HTTP/1.1 403 "));
    assert!(ask("DELETE", &lease, WRITE).await.starts_with("HTTP/1.1 404 "));
    for (wrong, line) in
        [(format!("read {NEXT}\nadmin {NEXT}\n"), "line 2: "), (format!("write {NEXT} {NEXT}\n"), "line 1: ")]
    {
        tokens.write(&wrong);
        gateway.signal(Signal::HUP);
        gateway.tells(&["ERROR", tokens.path(), line, "those of before stay"]).await;
    }
    tokens.write(&format!("read {NEXT}\n"));
    gateway.signal(Signal::HUP);
    gateway.tells(&["tokens are in place"]).await;

    let told = gateway.told();
    assert!(told.contains("TRACE") || told.contains("DEBUG"), "it says all that it can: {told}");
    for secret in [READ, WRITE, WRONG, NEXT, PASSWORD] {
        let line = told.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is in the log");
    }
    assert_eq!(gateway.stop(Signal::TERM).await.0, Some(0));
    drop((leadership, candidate));
    soon(keeper.close()).await;
}
