//! The API where services lie in ZooKeeper as the old programs have them, beside nodes that those wrote.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod common;

use std::time::Duration;

use common::{Answer, Gateway, ids};
use gateway::fleet::Options;
use leader::Credentials;
use proto::Root;
use registry::{Flat, MasterNormal};
use serde_json::{Value, json};
use tokio::time::Instant;
use zk_session::fake::FakeZk;

const SERVERS: &str = "/v1/services/go_servers";

fn flat(zk: &FakeZk, configured: &[&str]) -> Gateway {
    Gateway::laid_out(zk, Flat::default(), None, configured, Options::default())
}

/// Registers as the old time servers do.
fn old_server(zk: &FakeZk, address: &str) {
    zk.put_ephemeral(&format!("/go_servers/{address}"), "", zk.stranger());
}

fn at(host: &str, port: u16) -> Value {
    json!({"server_ip": host, "server_port": port, "ttl": 600})
}

#[tokio::test(start_paused = true)]
async fn in_the_flat_layout_instances_are_registered_listed_watched_and_withdrawn_beside_old_ones() {
    let zk = FakeZk::default();
    old_server(&zk, "127.0.0.1:9001");
    // One of the old programs makes such nodes, which stay.
    zk.put("/go_servers/127.0.0.1:9002", "whatever");
    zk.put("/go_servers/nonsense", "");
    let gateway = flat(&zk, &[]);
    let services = gateway.get("/v1/services").await.is(200).await;
    assert_eq!(services["services"], json!([{"name": "go_servers", "instances": 3}]));

    let service = gateway.get(SERVERS).await.is(200).await;
    assert_eq!(ids(&service), ["127.0.0.1:9001", "127.0.0.1:9002"]);
    assert_eq!(
        service["instances"][0],
        json!({"id": "127.0.0.1:9001", "server_ip": "127.0.0.1", "server_port": 9001, "weight": 1, "metadata": {}})
    );
    assert_eq!(service["unusable"][0]["path"], "/go_servers/nonsense");
    assert_eq!((&service["master"], &service["master_source"]), (&Value::Null, &json!("never")));
    gateway.get(&format!("{SERVERS}/master")).await.problem(404, "no-elections").await;

    let mut stream = gateway.get(&format!("{SERVERS}/watch")).await;
    stream.event().await;
    let (begin, ours) = (Instant::now(), format!("{SERVERS}/instances/10.0.0.1:1"));
    gateway.call("PUT", &ours, at("10.0.0.1", 1)).await.is(201).await;
    assert_eq!(ids(&stream.event().await.1), ["10.0.0.1:1", "127.0.0.1:9001", "127.0.0.1:9002"]);
    let node = zk.get("/go_servers/10.0.0.1:1").unwrap();
    assert!(node.data.is_empty() && node.stat.owner.is_some());
    let again = gateway.call("PUT", &ours, at("10.0.0.1", 1)).await.is(200).await;
    assert_eq!((&again["took_over"], &again["state"]), (&json!(true), &json!("registered")));
    assert!(
        begin.elapsed() < Duration::from_secs(1),
        "nothing was waited for in vain: {:?}",
        begin.elapsed()
    );
    let one = gateway.get(&ours).await.is(200).await;
    assert_eq!((&one["ours"], &one["instance"]["server_port"]), (&json!(true), &json!(1)));
    let pick = format!("{SERVERS}/pick?algorithm=ip-hash&key=192.0.2.7");
    let picked = gateway.get(&pick).await.is(200).await["picked"]["id"].clone();
    assert!(ids(&gateway.get(SERVERS).await.is(200).await).contains(&picked.as_str().unwrap()));

    assert_eq!(gateway.call("DELETE", &ours, "").await.status, 204);
    assert_eq!(zk.get("/go_servers/10.0.0.1:1"), None);
    assert_eq!(ids(&stream.event().await.1), ["127.0.0.1:9001", "127.0.0.1:9002"]);
    zk.remove("/go_servers/127.0.0.1:9001");
    assert_eq!(ids(&stream.event().await.1), ["127.0.0.1:9002"]);
    let theirs = format!("{SERVERS}/instances/127.0.0.1:9002");
    gateway.call("DELETE", &theirs, "").await.problem(409, "not-ours").await;
}

#[tokio::test(start_paused = true)]
async fn what_the_flat_layout_cannot_store_is_refused() {
    let zk = FakeZk::default();
    let gateway = flat(&zk, &[]);
    let ours = format!("{SERVERS}/instances/10.0.0.1:1");
    for (body, told) in [
        (json!({"server_ip": "10.0.0.1", "server_port": 1, "weight": 2}), "cannot store weight 2"),
        (json!({"server_ip": "10.0.0.1", "server_port": 1, "metadata": {"zone": "b"}}), "the metadata"),
        (json!({"server_unique_code": "c"}), "has no address"),
        (json!({"server_ip": "10.0.0.2", "server_port": 1}), "in the flat layout the id is the address"),
    ] {
        let detail = gateway.call("PUT", &ours, &body).await.problem(400, "not-storable").await;
        assert!(detail.contains(told), "{body}: {detail}");
    }
    assert!(zk.children("/go_servers").is_empty());
    gateway.call("PUT", &ours, at("10.0.0.1", 1)).await.is(201).await;
    let detail = gateway.call("PATCH", &ours, json!({"weight": 7})).await.problem(400, "not-storable").await;
    assert!(detail.contains("cannot store weight 7"), "{detail}");
    gateway.call("PATCH", &ours, json!({"drain": true})).await.problem(400, "not-storable").await;
}

#[tokio::test(start_paused = true)]
async fn the_flat_layout_has_one_service_by_one_name() {
    let zk = FakeZk::default();
    old_server(&zk, "127.0.0.1:9001");
    for (gateway, name, other) in
        [(flat(&zk, &[]), "go_servers", "time"), (flat(&zk, &["time"]), "time", "go_servers")]
    {
        let services = gateway.get("/v1/services").await.is(200).await;
        assert_eq!(services["services"], json!([{"name": name, "instances": 1}]));
        assert_eq!(
            ids(&gateway.get(&format!("/v1/services/{name}")).await.is(200).await),
            ["127.0.0.1:9001"]
        );
        let told = format!(
            "the flat layout has one service, and \"{other}\" is not what it is called here; accepted: \"{name}\""
        );
        let refused = async |answer: Answer| assert_eq!(answer.problem(404, "another-name").await, told);
        for path in ["", "/watch", "/pick", "/instances/127.0.0.1:9001"] {
            refused(gateway.get(&format!("/v1/services/{other}{path}")).await).await;
        }
        let path = format!("/v1/services/{other}/instances/10.0.0.1:1");
        refused(gateway.call("PUT", &path, at("10.0.0.1", 1)).await).await;
        assert_eq!(zk.children("/go_servers"), ["127.0.0.1:9001"]);
        assert_eq!(gateway.fleet.all_followed().len(), 1);
    }
}

fn master_normal(zk: &FakeZk) -> Gateway {
    let elections =
        leader::Layout::MasterNormal { root: Root::default(), credentials: Credentials::default() };
    let options = Options { roles: true, ..Options::default() };
    Gateway::laid_out(zk, MasterNormal::default(), Some(elections), &[], options)
}

/// Registers as the old framework does.
fn old_instance(zk: &FakeZk, name: &str, port: u16) {
    let value = format!(
        r#"{{"serverip":"127.0.0.1","serverport":{port},"username":"admin","userpwd":"secret","serveruniquecode":"code-{port}","weight":2}}"#
    );
    zk.put_ephemeral(&format!("/headkeeper/time/{name}"), value, zk.stranger());
}

#[tokio::test(start_paused = true)]
async fn in_the_master_normal_layout_old_instances_are_listed_watched_and_picked() {
    let zk = FakeZk::default();
    old_instance(&zk, "master", 50_000);
    old_instance(&zk, "normal0000000001", 50_001);
    zk.put("/headkeeper/time/normal0000000002", "{\"serverport\":\"secret\"}");
    let gateway = master_normal(&zk);
    let services = gateway.get("/v1/services").await.is(200).await;
    assert_eq!(services["services"], json!([{"name": "time", "instances": 3}]));

    let service = gateway.get("/v1/services/time").await.is(200).await;
    assert_eq!(ids(&service), ["master", "normal0000000001"]);
    assert_eq!(service["master_is_spared"], true, "whoever shows shares has to know");
    let normal = &service["instances"][1];
    assert_eq!(
        (&normal["server_port"], &normal["server_unique_code"], &normal["weight"], &normal["metadata"]),
        (&json!(50_001), &json!("code-50001"), &json!(2), &json!({}))
    );
    assert_eq!(service["unusable"][0]["path"], "/headkeeper/time/normal0000000002");
    assert!(!service.to_string().contains("secret"), "{service:#}");
    let master = gateway.get("/v1/services/time/master").await.is(200).await;
    assert_eq!(
        (&master["master"]["data"]["server_port"], &master["source"]),
        (&json!(50_000), &json!("live"))
    );
    assert_eq!(master["master"]["term"], zk.get("/headkeeper/time/master").unwrap().stat.czxid);
    for _ in 0..4 {
        // Whoever is the master takes no requests that others may answer.
        let pick = gateway.get("/v1/services/time/pick").await.is(200).await;
        assert_eq!(pick["picked"]["id"], "normal0000000001");
    }
    let targets = gateway.get("/v1/prometheus/targets").await.is(200).await;
    let masters: Vec<_> = targets
        .as_array()
        .unwrap()
        .iter()
        .map(|group| &group["labels"]["__meta_headkeeper_master"])
        .collect();
    assert_eq!(masters, ["true", "false"]);

    // The normal instance becomes the master.
    let mut stream = gateway.get("/v1/services/time/watch").await;
    stream.event().await;
    zk.remove("/headkeeper/time/master");
    old_instance(&zk, "master", 50_001);
    zk.remove("/headkeeper/time/normal0000000001");
    let promoted = loop {
        let (_, service) = stream.event().await;
        if ids(&service) == ["master"] && service["master"]["data"]["server_port"] == 50_001 {
            break service;
        }
    };
    assert_eq!(promoted["instances"][0]["server_port"], 50_001);
}

#[tokio::test(start_paused = true)]
async fn in_the_master_normal_layout_nothing_is_registered_or_withdrawn_over_http() {
    let zk = FakeZk::default();
    old_instance(&zk, "master", 50_000);
    let gateway = master_normal(&zk);
    let path = "/v1/services/time/instances/a";
    let detail = gateway.call("PUT", path, at("10.0.0.1", 1)).await.problem(400, "not-storable").await;
    assert!(detail.contains("an instance is registered by standing for election"), "{detail}");
    let master = "/v1/services/time/instances/master";
    gateway.call("DELETE", master, "").await.problem(409, "not-ours").await;
    gateway.call("PATCH", master, json!({"drain": true})).await.problem(409, "not-ours").await;
    assert_eq!(zk.children("/headkeeper/time"), ["master"]);
    assert_eq!(gateway.app.leases().len(), 0);
}
