//! The lists and the masters that the proxy gets from the fleet.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Gateway, LIMIT, data, register};
use gateway::proxy::{Proxy, Rules, Upstreams};
use gateway::{Fleet, fleet};
use leader::{Credentials, Election, Layout};
use proto::{Instance, Root, ServiceName};
use registry::{Instances, MasterNormal, Registry};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use zk_session::Keeper;
use zk_session::fake::FakeZk;

fn name(text: &str) -> ServiceName {
    ServiceName::parse(text).unwrap()
}

/// Waits until a list has exactly these.
async fn has(lists: &mut watch::Receiver<Option<Instances>>, ids: &[&str]) {
    let is = |list: &Option<Instances>| {
        list.as_ref().is_some_and(|list| list.iter().map(|it| it.id.as_str()).eq(ids.iter().copied()))
    };
    if timeout(LIMIT, lists.wait_for(is)).await.is_err() {
        panic!("waited in vain for {ids:?}: {:?}", lists.borrow());
    }
}

/// Waits until this one is the master, at this port; `None`: nobody.
async fn leads(master: &mut watch::Receiver<Option<Arc<Instance>>>, wished: Option<(&str, u16)>) {
    let is = |now: &Option<Arc<Instance>>| {
        let now = now.as_ref().map(|it| (it.id.as_str(), it.data.address.as_ref().unwrap().port()));
        now == wished
    };
    if timeout(LIMIT, master.wait_for(is)).await.is_err() {
        panic!("waited in vain for {wished:?}: {:?}", master.borrow());
    }
}

fn stand(zk: &FakeZk, id: &str, turn: u32, value: Vec<u8>) -> String {
    let path = format!("/headkeeper/time/election/{id}-{turn:010}");
    zk.put_ephemeral(&path, value, zk.stranger());
    path
}

#[tokio::test(start_paused = true)]
async fn what_rules_name_is_followed_though_no_more_services_may_be() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    let options = fleet::Options { most: 1, ..fleet::Options::default() };
    let gateway = Gateway::with(&zk, &["other"], options);
    assert!(gateway.fleet.follow(&name("time")).is_err());
    let mut lists = gateway.fleet.instances(&name("time"));
    has(&mut lists, &["a"]).await;
    register(&zk, "time", "b", &data(2));
    has(&mut lists, &["a", "b"]).await;
}

#[tokio::test(start_paused = true)]
async fn the_master_is_told_with_its_address_or_not_at_all() {
    let zk = FakeZk::default();
    let gateway = Gateway::start(&zk);
    let mut master = gateway.fleet.master(&name("time"));
    let first = stand(&zk, "a", 1, proto::encode(&data(7)).unwrap());
    let second = stand(&zk, "b", 2, b"what nobody can read".to_vec());
    leads(&mut master, Some(("a", 7))).await;
    zk.remove(&first);
    leads(&mut master, None).await;
    stand(&zk, "c", 3, proto::encode(&data(9)).unwrap());
    zk.remove(&second);
    leads(&mut master, Some(("c", 9))).await;
}

#[tokio::test(start_paused = true)]
async fn a_service_is_followed_as_long_as_a_rule_names_it() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    let idle = Duration::from_secs(60);
    let gateway = Gateway::with(&zk, &[], fleet::Options { idle, ..fleet::Options::default() });
    let rules = |service| Rules::read(&format!("[[rule]]\npath = \"/\"\nservice = \"{service}\"")).unwrap();
    let proxy = Proxy::new(Arc::new(gateway.fleet.clone()), rules("time"));
    let followed = || -> Vec<String> {
        gateway.fleet.all_followed().iter().map(|followed| followed.service().to_string()).collect()
    };
    for _ in 0..10 {
        sleep(idle).await;
    }
    assert_eq!(followed(), ["time"]);
    proxy.replace(rules("other"));
    assert_eq!(followed(), ["other", "time"]);
    let gone = async {
        while followed() != ["other"] {
            sleep(idle / 4).await;
        }
    };
    timeout(idle * 3, gone).await.expect("it is let go");
}

#[tokio::test(start_paused = true)]
async fn it_is_ready_with_a_list_of_each_service_that_a_rule_names() {
    let zk = FakeZk::default();
    zk.set_reachable(false);
    let gateway = Gateway::start(&zk);
    gateway.get("/readyz").await.is(200).await;
    let rules = Rules::read("[[rule]]\npath = \"/\"\nservice = \"time\"").unwrap();
    gateway.app.tell_of(Proxy::new(Arc::new(gateway.fleet.clone()), rules));
    let detail = gateway.get("/readyz").await.problem(503, "not-ready").await;
    assert!(detail.contains("time"), "{detail}");
    zk.set_reachable(true);
    let ready = gateway.becomes("/readyz", |ready| ready["status"] == "ready").await;
    assert_eq!(ready["services"][0]["name"], "time");
}

#[tokio::test(start_paused = true)]
async fn in_the_old_layout_the_master_gets_what_is_for_it_and_nothing_else() {
    let zk = FakeZk::default();
    let node = |name: &str, port: u16| {
        let value = proto::master_normal::encode(&data(port), &Credentials::default());
        zk.put_ephemeral(&format!("/headkeeper/time/{name}"), value.unwrap(), zk.stranger());
    };
    node("master", 1);
    let keeper = Keeper::start(zk.client());
    let registry = Registry::new(keeper.sessions(), MasterNormal::default());
    let layout = Layout::MasterNormal { root: Root::default(), credentials: Credentials::default() };
    let election = Election::with_layout(keeper.sessions(), layout);
    let options = fleet::Options { roles: true, ..fleet::Options::default() };
    let fleet = Fleet::start(registry, Some(election), [], options);
    let (mut lists, mut master) = (fleet.instances(&name("time")), fleet.master(&name("time")));
    leads(&mut master, Some(("master", 1))).await;
    // Alone it takes everything.
    has(&mut lists, &["master"]).await;
    node("normal0000000001", 2);
    has(&mut lists, &["normal0000000001"]).await;
    leads(&mut master, Some(("master", 1))).await;
}
