//! What the program reads again when it is asked to.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod certificates;
mod program;
mod services;

use std::fs::read_to_string;
use std::net::SocketAddr;

use certificates::Authority;
use program::{Gateway, ask, send, soon};
use rustix::process::Signal;
use services::{ALL_TO_WEB, File, Registrar, Service, proxy};
use zk_local::Server;

/// All requests go to `web`, which answers as `a`; there is `other`, too, which answers as `b`. Both are there for as long as the last is held.
async fn all_to_web() -> (Server, Gateway, File, impl Sized) {
    let server = Server::start().await.unwrap();
    let zk = server.connect_string();
    let registrar = Registrar::at(&zk);
    let (a, b) = (Service::start("a").await, Service::start("b").await);
    let registered = [registrar.announce("web", "a", &a), registrar.announce("other", "b", &b)];
    let rules = File::with(ALL_TO_WEB);
    let gateway = proxy(&zk, &rules).await;
    gateway.proxies("/", |_, body| body.starts_with("a ")).await;
    (server, gateway, rules, (registrar, registered))
}

#[tokio::test]
async fn rules_are_read_again_and_wrong_ones_are_told_and_left() {
    let (_server, gateway, rules, _here) = all_to_web().await;

    for (wrong, told) in [
        ("[[rule]]\npath = \"/\"\nservice = \"other\"\nalgoritm = \"random\"\n", ": line 4, algoritm: "),
        ("[[rule]\n", ": line 1: "),
        ("", ": there is no rule"),
    ] {
        rules.write(wrong);
        gateway.signal(Signal::HUP);
        gateway.tells(&["ERROR", rules.path(), told, "those of before stay"]).await;
        assert!(ask(&gateway.proxy, "GET", "/", "").await.1.starts_with("a "), "{wrong}");
    }
    rules.write("[[rule]]\npath = \"/\"\nservice = \"other\"\n");
    gateway.signal(Signal::HUP);
    gateway.proxies("/", |_, body| body.starts_with("b ")).await;
    assert_eq!(gateway.stop(Signal::TERM).await, (Some(0), vec!["stopped".to_owned()]));
}

#[tokio::test]
async fn without_zookeeper_new_rules_wait_and_those_of_before_are_served() {
    let (server, gateway, rules, _here) = all_to_web().await;
    server.kill().await.unwrap();
    rules.write("[[rule]]\npath = \"/\"\nservice = \"other\"\n");
    gateway.signal(Signal::HUP);
    gateway.tells(&["rules wait for lists of services", "services=\"other\""]).await;
    assert!(ask(&gateway.proxy, "GET", "/", "").await.1.starts_with("a "));
    assert_eq!(gateway.call("GET", "/readyz", "").await.0, 200);
    let metrics = gateway.call("GET", "/metrics", "").await.1;
    assert!(metrics.contains("\nheadkeeper_proxy_services_awaited 1\n"), "{metrics}");

    server.start_again().await.unwrap();
    gateway.proxies("/", |_, body| body.starts_with("b ")).await;
    assert_eq!(gateway.stop(Signal::TERM).await.0, Some(0));
}

#[tokio::test]
async fn tokens_are_read_again_and_a_signal_without_files_ends_nothing() {
    let read =
        "GET /v1/openapi.json HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer";
    let tokens = File::with("read first-first-first\n");
    let gateway = Gateway::start("127.0.0.1:9", &["--tokens", tokens.path()]).await;
    let is_accepted = async |token: &str| {
        let answer = send(&gateway.address, &format!("{read} {token}\r\n\r\n")).await;
        answer.starts_with("HTTP/1.1 200 ")
    };
    assert!(is_accepted("first-first-first").await && !is_accepted("second-second-second").await);
    tokens.write("read short\n");
    gateway.signal(Signal::HUP);
    gateway.tells(&["ERROR", tokens.path(), "line 1: ", "those of before stay"]).await;
    assert!(is_accepted("first-first-first").await);
    tokens.write("read second-second-second\n");
    gateway.signal(Signal::HUP);
    gateway.tells(&["tokens are in place"]).await;
    assert!(!is_accepted("first-first-first").await && is_accepted("second-second-second").await);

    let gateway = Gateway::start("127.0.0.1:9", &[]).await;
    gateway.signal(Signal::HUP);
    gateway.tells(&["no file is named"]).await;
    assert_eq!(gateway.call("GET", "/healthz", "").await.0, 200);
    assert_eq!(gateway.stop(Signal::TERM).await.0, Some(0));
}

#[tokio::test]
async fn the_proxy_has_tls_and_clients_of_its_own() {
    let server = Server::start().await.unwrap();
    let zk = server.connect_string();
    let registrar = Registrar::at(&zk);
    let a = Service::start("a").await;
    let _registered = registrar.announce("web", "a", &a);
    let (authority, other) = (Authority::new(), Authority::new());
    let (chain, key) = authority.sign("server");
    let ca_of = |authority: &Authority| read_to_string(authority.file("ca.pem")).unwrap();
    let (ca, rules) = (File::with(&ca_of(&authority)), File::with(ALL_TO_WEB));
    let files = [&chain, &key, &ca.path].map(|path| path.to_str().unwrap());
    // Also on all addresses, for who may ask is known.
    let flags = [
        "--proxy",
        "0.0.0.0:0",
        "--rules",
        rules.path(),
        "--proxy-tls-cert",
        files[0],
        "--proxy-tls-key",
        files[1],
    ];
    let gateway = Gateway::start(&zk, &[&flags[..], &["--proxy-tls-client-ca", files[2]]].concat()).await;
    let port = gateway.proxy.rsplit(':').next().unwrap().parse().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let is_served = async |client: Option<&Authority>| {
        let answer = certificates::ask(address, &authority, client.map(|by| by.sign("client")), &[]).await;
        answer.is_some_and(|(answer, _)| answer.contains("200 OK") && answer.ends_with("a / for 127.0.0.1"))
    };
    soon(async { while !is_served(Some(&authority)).await {} }).await;
    assert!(!is_served(None).await && !is_served(Some(&other)).await);
    // The registry is still asked without.
    assert_eq!(gateway.call("GET", "/healthz", "").await.0, 200);

    ca.write("nothing");
    gateway.signal(Signal::HUP);
    gateway.tells(&["ERROR", ca.path(), "has no certificate", "those of before stay"]).await;
    assert!(is_served(Some(&authority)).await);
    ca.write(&ca_of(&other));
    gateway.signal(Signal::HUP);
    gateway.tells(&["certificates are in place"]).await;
    assert!(is_served(Some(&other)).await && !is_served(Some(&authority)).await);
    assert_eq!(gateway.stop(Signal::TERM).await.0, Some(0));
}
