//! The reverse proxy of the program, between real services that are registered in a real ZooKeeper and their clients.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod program;
mod services;

use leader::Election;
use program::{ask, send, soon};
use proto::Root;
use rustix::process::Signal;
use serde_json::Value;
use services::{ALL_TO_WEB, File, Registrar, Service, name, proxy};
use zk_local::Server;

#[tokio::test]
async fn requests_go_by_the_rules_to_whoever_is_registered() {
    let server = Server::start().await.unwrap();
    let zk = server.connect_string();
    let registrar = Registrar::at(&zk);
    let (a, b, c) = (Service::start("a").await, Service::start("b").await, Service::start("c").await);
    let _registered = [
        registrar.announce("web", "a", &a),
        registrar.announce("web", "b", &b),
        registrar.announce("video", "a", &a),
        registrar.announce("video", "b", &b),
    ];
    let election = Election::new(registrar.keeper.sessions(), Root::default());
    let candidacy = election.campaign(&name("directory"), c.data()).unwrap();
    let rules = File::with(
        r#"
        [[rule]]
        path = "/data"
        service = "video"
        algorithm = "url-hash"
        strip_prefix = true

        [[rule]]
        regex = "/v[12]/"
        service = "directory"
        to = "master"

        [[rule]]
        path = "/nobody"
        service = "nobody"

        [[rule]]
        path = "/"
        service = "web"
        "#,
    );
    let gateway = proxy(&zk, &rules).await;

    // In turn.
    for wished in ["a / for 127.0.0.1", "b / for 127.0.0.1", "a / for 127.0.0.1", "b / for 127.0.0.1"] {
        gateway.proxies("/", |status, body| status == 200 && body == wished).await;
    }
    // Both are known once both have a path.
    for owner in ["a ", "b "] {
        let mut path = 0..;
        let owns = async {
            while !gateway
                .proxies(&format!("/data/{}", path.next().unwrap()), |status, _| status == 200)
                .await
                .starts_with(owner)
            {}
        };
        soon(owns).await;
    }
    let whose = gateway.proxies("/data/7", |status, _| status == 200).await;
    assert!(whose.ends_with(" /7 for 127.0.0.1"), "{whose}");
    let good = "headkeeper_proxy_requests_total{service=\"video\",outcome=\"good\"}";
    let timed = "headkeeper_proxy_request_duration_seconds_bucket{le=\"+Inf\",service=\"video\"}";
    let before = [gateway.metric(good).await, gateway.metric(timed).await];
    for _ in 0..5 {
        assert_eq!(ask(&gateway.proxy, "GET", "/data/7", "").await, (200, whose.clone()));
    }
    assert_eq!([gateway.metric(good).await, gateway.metric(timed).await], before.map(|count| count + 5.0));
    gateway.proxies("/v2/users", |_, body| body == "c /v2/users for 127.0.0.1").await;
    candidacy.resign().await;
    gateway.proxies("/v2/users", |status, body| status == 503 && body.contains("its master")).await;
    let nobody = send(&gateway.proxy, "GET /nobody HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await;
    assert!(nobody.starts_with("HTTP/1.1 503 ") && nobody.contains("\r\nretry-after: 1\r\n"), "{nobody}");
    // It has a list of each.
    gateway.becomes("/readyz", |status, _| status == 200).await;

    for (name, value) in [
        ("headkeeper_proxy_requests_total{outcome=\"no_rule\"}", 0.0),
        ("headkeeper_proxy_instances_ejected{service=\"web\"}", 0.0),
        ("headkeeper_proxy_requests_in_flight{service=\"video\"}", 0.0),
        ("headkeeper_proxy_retries_total{service=\"video\"}", 0.0),
        ("headkeeper_proxy_retries_withheld_total{service=\"video\"}", 0.0),
        ("headkeeper_proxy_requests_total{service=\"nobody\",outcome=\"nobody\"}", 1.0),
    ] {
        assert_eq!(gateway.metric(name).await, value, "{name}");
    }
    assert_eq!(gateway.stop(Signal::TERM).await.0, Some(0));
}

#[tokio::test]
async fn who_comes_and_goes_is_found_and_left() {
    let server = Server::start().await.unwrap();
    let zk = server.connect_string();
    let registrar = Registrar::at(&zk);
    let (a, b) = (Service::start("a").await, Service::start("b").await);
    let gateway = proxy(&zk, &File::with(ALL_TO_WEB)).await;
    gateway.proxies("/", |status, _| status == 503).await;
    let first = registrar.announce("web", "a", &a);
    gateway.proxies("/", |_, body| body.starts_with("a ")).await;
    let _second = registrar.announce("web", "b", &b);
    gateway.proxies("/", |_, body| body.starts_with("b ")).await;
    first.withdraw().await;
    let is_alone = |json: &Value| json["instances"].as_array().is_some_and(|all| all.len() == 1);
    gateway.becomes("/v1/services/web", |_, json| is_alone(json)).await;
    for _ in 0..4 {
        gateway.proxies("/", |_, body| body.starts_with("b ")).await;
    }
}

#[tokio::test]
async fn without_zookeeper_requests_go_on_by_the_last_known_list() {
    let server = Server::start().await.unwrap();
    let zk = server.connect_string();
    let registrar = Registrar::at(&zk);
    let (a, b) = (Service::start("a").await, Service::start("b").await);
    let _registered = [registrar.announce("web", "a", &a), registrar.announce("web", "b", &b)];
    let rules = File::with(ALL_TO_WEB);
    let gateway = proxy(&zk, &rules).await;
    for wished in ["a ", "b "] {
        gateway.proxies("/", |_, body| body.starts_with(wished)).await;
    }
    server.kill().await.unwrap();
    gateway.becomes("/v1/services/web", |_, json| json["source"] == "stale").await;
    for wished in ["a ", "b ", "a ", "b "] {
        let (status, body) = ask(&gateway.proxy, "GET", "/", "").await;
        assert!(status == 200 && body.starts_with(wished), "{status} {body}");
    }
    // Also when rules are read again meanwhile.
    rules.write("[[rule]]\npath = \"/x\"\nservice = \"web\"\n");
    gateway.signal(Signal::HUP);
    gateway.proxies("/", |status, _| status == 404).await;
    assert_eq!(ask(&gateway.proxy, "GET", "/x", "").await.0, 200);
    assert_eq!(gateway.stop(Signal::TERM).await.0, Some(0));
}

#[tokio::test]
async fn a_request_with_two_lengths_is_refused_at_both_ports() {
    let gateway = proxy("127.0.0.1:9", &File::with(ALL_TO_WEB)).await;
    for address in [&gateway.address, &gateway.proxy] {
        for lengths in [
            "content-length: 5\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
            "content-length: 5\r\ncontent-length: 6\r\n",
        ] {
            let request = format!(
                "POST /v1/services HTTP/1.1\r\nhost: {address}\r\n{lengths}\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: h\r\n\r\n"
            );
            let answer = send(address, &request).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{lengths}: {answer}");
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{lengths}: {answer}");
        }
    }
}
