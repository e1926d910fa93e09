//! What is under way through the proxy when the program is stopped.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod program;
mod services;

use std::time::Duration;

use program::{Gateway, soon};
use registry::{Instances, Native, Registration, Registry};
use rustix::process::Signal;
use services::{ALL_TO_WEB, File, Registrar, Service, name, proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use zk_local::Server;

/// Connects to the proxy and sends this; gives the connection and what came up to this text.
async fn open(address: &str, request: &str, until: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    while !text.contains(until) {
        text.push(char::from(soon(stream.read_u8()).await.unwrap()));
    }
    (stream, text)
}

/// A gateway whose proxy leads to this service, and what keeps that registered.
async fn proxied(zk: &str, service: &Service) -> (Gateway, Registrar, Registration) {
    let registrar = Registrar::at(zk);
    let registered = registrar.announce("web", "a", service);
    let gateway = proxy(zk, &File::with(ALL_TO_WEB)).await;
    gateway.proxies("/", |status, _| status == 200).await;
    (gateway, registrar, registered)
}

#[tokio::test]
async fn an_answer_that_is_under_way_is_finished_when_it_is_stopped() {
    let server = Server::start().await.unwrap();
    let a = Service::start("a").await;
    let (gateway, _registrar, _registered) = proxied(&server.connect_string(), &a).await;
    let (mut stream, _) = open(&gateway.proxy, "GET /slow HTTP/1.1\r\nhost: h\r\n\r\n", "first ").await;
    gateway.signal(Signal::TERM);
    gateway.tells(&["asked to stop"]).await;
    let refused = async { while TcpStream::connect(&gateway.proxy).await.is_ok() {} };
    soon(refused).await;
    a.go.notify_one();
    let mut rest = String::new();
    soon(stream.read_to_string(&mut rest)).await.unwrap();
    assert!(rest.contains("second") && rest.ends_with("0\r\n\r\n"), "{rest}");
    assert_eq!(gateway.ended().await, (Some(0), vec!["stopped".to_owned()]));
}

#[tokio::test]
async fn what_it_registered_is_gone_before_what_runs_is_finished() {
    let server = Server::start().await.unwrap();
    let a = Service::start("a").await;
    let (gateway, registrar, _registered) = proxied(&server.connect_string(), &a).await;
    let leased = "/v1/services/leased/instances/b";
    let body = "{\"server_ip\":\"h\",\"server_port\":1,\"ttl\":600}";
    gateway.registers(leased, body).await;
    let follower = Registry::new(registrar.keeper.sessions(), Native::default()).follow(&name("leased"));
    let mut lists = follower.instances();
    let there =
        |many: usize| move |list: &Option<Instances>| list.as_ref().is_some_and(|list| list.len() == many);
    soon(lists.wait_for(there(1))).await.unwrap();

    let (mut stream, _) = open(&gateway.proxy, "GET /slow HTTP/1.1\r\nhost: h\r\n\r\n", "first ").await;
    gateway.signal(Signal::TERM);
    soon(lists.wait_for(there(0))).await.unwrap();
    // The answer waits until then, and longer.
    a.go.notify_one();
    let mut rest = String::new();
    soon(stream.read_to_string(&mut rest)).await.unwrap();
    assert!(rest.contains("second") && rest.ends_with("0\r\n\r\n"), "{rest}");
    assert_eq!(gateway.ended().await.0, Some(0));
}

#[tokio::test]
async fn a_tunnel_counts_as_a_connection_and_ends_when_it_is_stopped() {
    let server = Server::start().await.unwrap();
    let zk = server.connect_string();
    let registrar = Registrar::at(&zk);
    let a = Service::start("a").await;
    let _registered = registrar.announce("web", "a", &a);
    let rules = File::with(ALL_TO_WEB);
    let flags = ["--proxy", "127.0.0.1:0", "--rules", rules.path(), "--connections", "1", "--finish", "1h"];
    let gateway = Gateway::start(&zk, &flags).await;
    gateway.proxies("/", |status, _| status == 200).await;
    let upgrade = "GET /echo HTTP/1.1\r\nhost: h\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
    let (mut tunnel, head) = open(&gateway.proxy, upgrade, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let speaks = async |tunnel: &mut TcpStream| {
        tunnel.write_all(b"hello").await.unwrap();
        let mut heard = [0; 5];
        soon(tunnel.read_exact(&mut heard)).await.unwrap();
        assert_eq!(&heard, b"hello");
    };
    speaks(&mut tunnel).await;
    // It has the only place: who comes next waits until it ends.
    let mut next = TcpStream::connect(&gateway.proxy).await.unwrap();
    next.write_all(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await.unwrap();
    let waits = timeout(Duration::from_millis(300), next.read_u8()).await;
    assert!(waits.is_err());
    drop(tunnel);
    let mut answer = String::new();
    soon(next.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.contains("a / for"), "{answer}");

    let (mut tunnel, _) = open(&gateway.proxy, upgrade, "\r\n\r\n").await;
    speaks(&mut tunnel).await;
    assert_eq!(gateway.stop(Signal::TERM).await.0, Some(0), "within an hour");
    assert_eq!(soon(tunnel.read(&mut [0])).await.unwrap_or(0), 0);
}
