//! The client of `registry` over HTTP, beside the one of ZooKeeper, on gateways that are served on real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod certificates;
mod serving_it;

use std::time::Duration;

use gateway::Guard;
use gateway::guard::Tokens;
use loadbalance::{Balancer, PickError, Request, RoundRobin};
use registry::http::{Discovery, Gateways, Problem, Registration, Status, Tls};
use registry::{Instances, Native, Registry, Source, View};
use serving_it::{LIMIT, Served, becomes, data, list, pass, register, time};
use tokio::time::{Instant, sleep, timeout};
use zk_local::{Direction, Proxy};
use zk_session::Keeper;
use zk_session::fake::FakeZk;

const WRITE: &str = "write-write-write-write";

/// The time to live of instances here: so long that a busy machine renews them in time, and passed by the tests.
const TTL: Duration = Duration::from_secs(60);

async fn is_stale(discovery: &Discovery, stale: bool) -> View {
    let is_so =
        |view: &Option<View>| view.as_ref().is_some_and(|view| (view.source != Source::Live) == stale);
    becomes(&mut discovery.view(), is_so).await.unwrap()
}

#[tokio::test]
async fn a_balancer_works_on_it_as_on_zookeeper_itself() {
    let zk = FakeZk::default();
    register(&zk, "a", &data(1));
    register(&zk, "b", &data(2).with_weight(3).with_metadata("zone", "ü"));
    let gateway = Served::start(&zk).await;
    let gateways = Gateways::builder(&gateway.url()).build().unwrap();
    let discovery = gateways.follow(&time());
    let keeper = Keeper::start(zk.client());
    let direct = Registry::new(keeper.sessions(), Native::default()).follow(&time());
    assert_eq!(list(&discovery, &["a", "b"]).await, direct.ready().await.unwrap());

    let balancer = Balancer::follow(discovery.instances(), RoundRobin::default());
    timeout(LIMIT, balancer.ready()).await.unwrap().unwrap();
    let mut picked: Vec<_> =
        (0..4).map(|_| balancer.pick(&Request::default()).unwrap().id.to_string()).collect();
    picked.sort();
    assert_eq!(picked, ["a", "a", "b", "b"]);
    register(&zk, "c", &data(3));
    zk.remove("/headkeeper/time/instances/a");
    list(&discovery, &["b", "c"]).await;
    let follows = async {
        while balancer.pick(&Request::default()).unwrap().id.as_str() != "c" {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, follows).await.unwrap();
    zk.put("/headkeeper/time/instances/d", "nonsense");
    let view =
        becomes(&mut discovery.view(), |view| view.as_ref().is_some_and(|view| !view.bad.is_empty())).await;
    assert_eq!(view.unwrap().bad[0].path, "/headkeeper/time/instances/d");
    keeper.close().await;
}

#[tokio::test]
async fn what_the_gateway_is_not_sure_of_nobody_is() {
    let zk = FakeZk::with_timeout(Duration::from_secs(2));
    register(&zk, "a", &data(1));
    let gateway = Served::start(&zk).await;
    let discovery = Gateways::builder(&gateway.url()).build().unwrap().follow(&time());
    list(&discovery, &["a"]).await;
    let before = Instant::now();
    zk.stop();
    let view = is_stale(&discovery, true).await;
    assert!(
        matches!(view.source, Source::Stale { since } if since + LIMIT > before && since <= Instant::now())
    );
    assert_eq!(view.entries.len(), 1);
    assert!(discovery.problem().borrow().is_none(), "the gateway is there");
    zk.start();
    is_stale(&discovery, false).await;
}

#[tokio::test]
async fn a_network_that_breaks_costs_nothing_but_time() {
    let zk = FakeZk::default();
    register(&zk, "a", &data(1));
    let gateway = Served::start(&zk).await;
    let proxy = Proxy::start(gateway.address).await.unwrap();
    let gateways = Gateways::builder(&format!("http://{}", proxy.address()));
    let silence = Duration::from_secs(20);
    let discovery = gateways.silence(silence).answer_within(silence).build().unwrap().follow(&time());
    list(&discovery, &["a"]).await;
    let mut lists = discovery.instances();
    lists.mark_unchanged();

    // Cut: it is resumed, and not even told anew.
    proxy.cut();
    is_stale(&discovery, true).await;
    is_stale(&discovery, false).await;
    assert!(!lists.has_changed().unwrap());

    // Gone: what happens meanwhile is known when it is back.
    proxy.refuse(true);
    proxy.cut();
    assert_eq!(is_stale(&discovery, true).await.entries.len(), 1);
    register(&zk, "b", &data(2));
    zk.remove("/headkeeper/time/instances/a");
    becomes(&mut discovery.problem(), Option::is_some).await;
    assert!(!lists.has_changed().unwrap(), "nothing was emptied");
    proxy.refuse(false);
    list(&discovery, &["b"]).await;
    is_stale(&discovery, false).await;

    // Silent: found out by that alone.
    proxy.stall(Direction::ToClient);
    pass(silence).await;
    is_stale(&discovery, true).await;
    register(&zk, "c", &data(3));
    proxy.flow();
    list(&discovery, &["b", "c"]).await;
}

#[tokio::test]
async fn another_gateway_takes_over() {
    let zk = FakeZk::default();
    register(&zk, "a", &data(1));
    let (one, two) = (Served::start(&zk).await, Served::start(&zk).await);
    let gateways = Gateways::builder(&format!("{},{}", one.url(), two.url())).build().unwrap();
    let all: Vec<_> = (0..8).map(|_| gateways.follow(&time())).collect();
    for discovery in &all {
        list(discovery, &["a"]).await;
    }
    one.stop().await;
    register(&zk, "b", &data(2));
    for discovery in &all {
        list(discovery, &["a", "b"]).await;
        is_stale(discovery, false).await;
    }
    two.stop().await;
    for discovery in &all {
        assert_eq!(is_stale(discovery, true).await.entries.len(), 2);
        // While it ends it may still answer.
        let is_gone = |problem: &Option<Problem>| {
            !matches!(problem, None | Some(Problem::Refused { .. } | Problem::Unusable { .. }))
        };
        becomes(&mut discovery.problem(), is_gone).await;
    }
}

#[tokio::test]
async fn a_token_is_shown_and_a_wrong_one_is_told_of() {
    let zk = FakeZk::default();
    register(&zk, "a", &data(1));
    let tokens = Tokens::parse(&format!("write {WRITE}\nread read-read-read-read")).unwrap();
    let gateway = Served::guarded(&zk, Guard { tokens: Some(tokens), ..Guard::default() }).await;
    for (token, told) in [(None, "401"), (Some("wrong-wrong-wrong-wrong"), "none that this gateway accepts")]
    {
        let builder = Gateways::builder(&gateway.url());
        let gateways = token.map_or(builder.clone(), |token| builder.token(token)).build().unwrap();
        let discovery = gateways.follow(&time());
        let is_told =
            |problem: &Option<Problem>| problem.as_ref().is_some_and(|it| it.to_string().contains(told));
        becomes(&mut discovery.problem(), is_told).await;
    }
    let read = Gateways::builder(&gateway.url()).token("read-read-read-read").build().unwrap();
    list(&read.follow(&time()), &["a"]).await;
    let refused = read.announce_as(&time(), "b".parse().unwrap(), data(2)).unwrap();
    let is_told = |status: &Status| {
        matches!(status, Status::Registering { problem: Some(Problem::Refused { status: 403, .. }) })
    };
    becomes(&mut refused.status(), is_told).await;
    let write = Gateways::builder(&gateway.url()).token(WRITE).build().unwrap();
    let here = write.announce_as(&time(), "c".parse().unwrap(), data(3)).unwrap();
    timeout(LIMIT, here.registered()).await.unwrap().unwrap();
}

#[tokio::test]
async fn tls_is_spoken_with_whom_we_trust_alone() {
    let zk = FakeZk::default();
    register(&zk, "a", &data(1));
    let (gateway, authority) = Served::with_tls(&zk).await;
    let url = format!("https://localhost:{}", gateway.address.port());
    let trusting = |ca_pem: String| {
        Gateways::builder(&url).tls(Tls { ca_pem, identity: Some(authority.sign_pem()) }).build().unwrap()
    };
    list(&trusting(authority.pem()).follow(&time()), &["a"]).await;
    // Of the same name, but nobody we know.
    let stranger = certificates::Authority::new().pem();
    for gateways in [
        trusting(stranger),
        Gateways::builder(&url).tls(Tls { ca_pem: authority.pem(), identity: None }).build().unwrap(),
        Gateways::builder(&url.replace("https", "http")).build().unwrap(),
    ] {
        let discovery = gateways.follow(&time());
        becomes(&mut discovery.problem(), Option::is_some).await;
        assert!(discovery.view().borrow().is_none());
    }
}

fn stored(zk: &FakeZk, name: &str) -> Option<proto::NodeData> {
    zk.get(&format!("/headkeeper/time/instances/{name}")).map(|node| proto::decode(&node.data).unwrap())
}

async fn until(zk: &FakeZk, reached: impl Fn(&FakeZk) -> bool) {
    timeout(LIMIT, zk.until(reached)).await.expect("it becomes so in time");
}

#[tokio::test]
async fn an_instance_is_registered_renewed_changed_and_withdrawn() {
    let zk = FakeZk::default();
    let gateway = Served::start(&zk).await;
    let gateways = Gateways::builder(&gateway.url()).ttl(TTL).build().unwrap();
    let here = gateways.announce(&time(), data(7).with_metadata("zone", "b")).unwrap();
    timeout(LIMIT, here.registered()).await.unwrap().unwrap();
    let id = here.id().to_string();
    assert_eq!(stored(&zk, &id), Some(here.data()));
    let node = zk.get(&format!("/headkeeper/time/instances/{id}")).unwrap().stat.czxid;

    // For longer than the time to live, which has to pass for that.
    let first = gateway.keeps_until(&id).await;
    for _ in 0..9 {
        pass(TTL / 3).await;
        // It is told by the time that is left, and the clock of people has not moved.
        let renewed = async {
            while gateway.keeps_until(&id).await < first - 5_000 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LIMIT, renewed).await.expect("it is renewed");
    }
    here.set_weight(5).unwrap();
    until(&zk, |zk| stored(zk, &id).is_some_and(|data| data.weight == 5)).await;
    assert!(here.update(|data| data.address = None).is_err(), "it would be nobody");
    here.update(|data| data.registered_at = 1).unwrap();
    assert_eq!(stored(&zk, &id), Some(here.data()));
    let same = zk.get(&format!("/headkeeper/time/instances/{id}")).unwrap().stat.czxid;
    assert_eq!(same, node, "it was there all the time");
    let mut status = here.status();
    timeout(LIMIT, here.withdraw()).await.unwrap();
    assert_eq!(stored(&zk, &id), None);
    assert!(matches!(*status.borrow_and_update(), Status::Withdrawn));

    // Dropped: in the background.
    let there = gateways.announce(&time(), data(8)).unwrap();
    timeout(LIMIT, there.registered()).await.unwrap().unwrap();
    let id = there.id().to_string();
    drop(there);
    until(&zk, |zk| stored(zk, &id).is_none()).await;
}

#[tokio::test]
async fn what_a_gateway_forgot_is_registered_again_and_elsewhere() {
    let zk = FakeZk::default();
    let (one, two) = (Served::start(&zk).await, Served::start(&zk).await);
    let proxy = Proxy::start(one.address).await.unwrap();
    let gateways = Gateways::builder(&format!("http://{}", proxy.address())).ttl(TTL).build().unwrap();
    let here = gateways.announce_as(&time(), "a".parse().unwrap(), data(1)).unwrap();
    timeout(LIMIT, here.registered()).await.unwrap().unwrap();
    // Another one behind the same address knows nothing of it, as it is told when it renews.
    proxy.refuse(true);
    one.stop().await;
    until(&zk, |zk| stored(zk, "a").is_none()).await;
    proxy.set_upstream(two.address);
    proxy.refuse(false);
    pass(TTL / 3).await;
    until(&zk, |zk| stored(zk, "a").is_some()).await;
    assert_eq!(stored(&zk, "a"), Some(here.data()), "since when it is registered included");

    // Unreachable for longer than the time to live; told, and back.
    becomes(&mut here.status(), |status| matches!(status, Status::Registered { .. })).await;
    proxy.refuse(true);
    pass(TTL / 3).await;
    becomes(&mut here.status(), |status| matches!(status, Status::Registering { problem: Some(_) })).await;
    pass(TTL).await;
    until(&zk, |zk| stored(zk, "a").is_none()).await;
    here.set_weight(9).unwrap();
    proxy.refuse(false);
    until(&zk, |zk| stored(zk, "a").is_some_and(|data| data.weight == 9)).await;

    // Nobody is there to be told: it is over when its time is.
    becomes(&mut here.status(), |status| matches!(status, Status::Registered { .. })).await;
    proxy.refuse(true);
    let (withdrawn, ()) = tokio::join!(timeout(TTL + LIMIT, here.withdraw()), pass(TTL));
    withdrawn.unwrap();
    until(&zk, |zk| stored(zk, "a").is_none()).await;
}

/// Waits until it is told that it was replaced, which it is when it renews.
async fn is_replaced(registration: &Registration) {
    let mut status = registration.status();
    for _ in 0..30 {
        pass(TTL / 3).await;
        let told = status.wait_for(|status| matches!(status, Status::Replaced));
        // Its gateway may not have heard of it then.
        if timeout(TTL / 12, told).await.is_ok() {
            return;
        }
    }
    panic!("it is not told: {:?}", *status.borrow());
}

#[tokio::test]
async fn the_newest_of_an_id_has_it() {
    let zk = FakeZk::default();
    let (one, two) = (Served::start(&zk).await, Served::start(&zk).await);
    let announce = |gateway: &Served, port| {
        let gateways = Gateways::builder(&gateway.url()).ttl(TTL).build().unwrap();
        gateways.announce_as(&time(), "a".parse().unwrap(), data(port)).unwrap()
    };
    let first = announce(&one, 1);
    timeout(LIMIT, first.registered()).await.unwrap().unwrap();
    // With the same gateway, and with another one.
    let second = announce(&one, 2);
    timeout(LIMIT, second.registered()).await.unwrap().unwrap();
    is_replaced(&first).await;
    assert!(matches!(first.set_weight(3), Err(registry::Error::Replaced)));
    let third = announce(&two, 3);
    timeout(LIMIT, third.registered()).await.unwrap().unwrap();
    is_replaced(&second).await;
    for replaced in [first, second] {
        timeout(LIMIT, replaced.withdraw()).await.unwrap();
    }
    assert_eq!(stored(&zk, "a"), Some(third.data()));
}

/// Data of a process that was first registered then.
fn since(registered_at: u64, port: u16) -> proto::NodeData {
    proto::NodeData { registered_at, ..data(port) }
}

/// Registers an instance with a gateway; renewed within the time to live.
async fn is_registered_at(urls: &str, data: proto::NodeData) -> Registration {
    let gateways = Gateways::builder(urls).ttl(TTL).build().unwrap();
    let here = gateways.announce_as(&time(), "a".parse().unwrap(), data).unwrap();
    timeout(LIMIT, here.registered()).await.unwrap().unwrap();
    here
}

/// Waits until it is told that it was replaced, without a renewal.
async fn is_told_at_once(older: &Registration) {
    becomes(&mut older.status(), |status| matches!(status, Status::Replaced)).await;
}

/// The newer one has the id, and goes on to have it when the older one ends.
async fn keeps_it(zk: &FakeZk, newer: Registration, older: Registration) {
    timeout(LIMIT, older.withdraw()).await.unwrap();
    pass(TTL / 3).await;
    newer.set_weight(7).unwrap();
    until(zk, |zk| stored(zk, "a").is_some_and(|data| data.weight == 7)).await;
    assert_eq!(stored(zk, "a"), Some(newer.data()));
    assert!(matches!(*newer.status().borrow(), Status::Registered { .. }), "{:?}", newer.status());
}

#[tokio::test]
async fn an_older_process_that_says_something_new_does_not_take_the_id_back() {
    let zk = FakeZk::default();
    let gateway = Served::start(&zk).await;
    let older = is_registered_at(&gateway.url(), since(10, 1)).await;
    let newer = is_registered_at(&gateway.url(), since(20, 2)).await;
    older.set_weight(5).unwrap();
    is_told_at_once(&older).await;
    keeps_it(&zk, newer, older).await;
}

#[tokio::test]
async fn an_older_process_that_turns_to_another_gateway_does_not_take_the_id_back() {
    let zk = FakeZk::default();
    let (one, two) = (Served::start(&zk).await, Served::start(&zk).await);
    for newer_at in [&one, &two] {
        let (to_one, to_two) =
            (Proxy::start(one.address).await.unwrap(), Proxy::start(two.address).await.unwrap());
        to_two.refuse(true);
        let urls = format!("http://{},http://{}", to_one.address(), to_two.address());
        let older = is_registered_at(&urls, since(10, 1)).await;
        let newer = is_registered_at(&newer_at.url(), since(20, 1)).await;
        to_two.refuse(false);
        to_one.refuse(true);
        pass(TTL / 3).await;
        is_told_at_once(&older).await;
        keeps_it(&zk, newer, older).await;
        until(&zk, |zk| stored(zk, "a").is_none()).await;
    }
}

#[tokio::test]
async fn who_turns_to_another_gateway_takes_with_it_what_is_its_own() {
    let zk = FakeZk::default();
    let (one, two) = (Served::start(&zk).await, Served::start(&zk).await);
    let (to_one, to_two) =
        (Proxy::start(one.address).await.unwrap(), Proxy::start(two.address).await.unwrap());
    to_two.refuse(true);
    let urls = format!("http://{},http://{}", to_one.address(), to_two.address());
    let here = is_registered_at(&urls, data(1)).await;
    // There and back: what either still holds of it is no newer one.
    for (from, to, other) in [(&to_one, &to_two, &two), (&to_two, &to_one, &one)] {
        to.refuse(false);
        from.refuse(true);
        pass(TTL / 3).await;
        let is_there = |status: &Status| matches!(status, Status::Registered { gateway } if **gateway == format!("http://{}", to.address()));
        becomes(&mut here.status(), is_there).await;
        assert!(other.leases().0 == 1 && stored(&zk, "a") == Some(here.data()));
    }
}

#[tokio::test]
async fn an_older_process_that_a_gateway_forgot_does_not_take_the_id_back() {
    for says_something in [false, true] {
        let zk = FakeZk::default();
        let (one, two, three) =
            (Served::start(&zk).await, Served::start(&zk).await, Served::start(&zk).await);
        let proxy = Proxy::start(one.address).await.unwrap();
        let older = is_registered_at(&format!("http://{}", proxy.address()), since(10, 1)).await;
        // Its gateway is started anew, and a newer one has come meanwhile.
        proxy.refuse(true);
        one.stop().await;
        let newer = is_registered_at(&two.url(), since(20, 1)).await;
        proxy.set_upstream(three.address);
        proxy.refuse(false);
        if says_something {
            older.set_weight(5).unwrap();
        } else {
            pass(TTL / 3).await;
        }
        is_told_at_once(&older).await;
        keeps_it(&zk, newer, older).await;
    }
}

#[tokio::test]
async fn without_zookeeper_it_is_said_and_made_up_for() {
    let zk = FakeZk::with_timeout(Duration::from_secs(2));
    zk.stop();
    let gateway = Served::start(&zk).await;
    let gateways = Gateways::builder(&gateway.url()).build().unwrap();
    let here = gateways.announce_as(&time(), "a".parse().unwrap(), data(1)).unwrap();
    let is_waiting =
        |status: &Status| matches!(status, Status::Registering { problem: Some(Problem::Waiting { .. }) });
    becomes(&mut here.status(), is_waiting).await;
    let discovery = gateways.follow(&time());
    // Nobody can tell yet whether there is such a service.
    becomes(&mut discovery.problem(), |it| matches!(it, Some(Problem::Refused { status: 503, .. }))).await;
    zk.start();
    timeout(LIMIT, here.registered()).await.unwrap().unwrap();
    let found: Instances = list(&discovery, &["a"]).await;
    assert_eq!(found[0].data, here.data());
}

/// Two gateways, and somebody who speaks with both. That they are without ZooKeeper they say after 2 s.
async fn on_two(zk: &FakeZk) -> (Served, Served, Gateways) {
    let (one, two) = (Served::start(zk).await, Served::start(zk).await);
    let both = Gateways::builder(&format!("{},{}", one.url(), two.url()));
    let both = both.answer_within(Duration::from_secs(4)).ttl(Duration::from_secs(9));
    (one, two, both.build().unwrap())
}

/// So many that each gateway gets some.
fn announce_some(gateways: &Gateways) -> Vec<Registration> {
    let announce =
        |port| gateways.announce_as(&time(), format!("i-{port}").parse().unwrap(), data(port)).unwrap();
    (1..=16).map(announce).collect()
}

async fn are_registered(all: &[Registration]) {
    for here in all {
        timeout(LIMIT, here.registered()).await.expect("it is registered in time").unwrap();
    }
}

#[tokio::test]
async fn who_comes_to_a_gateway_without_zookeeper_is_registered_by_another_one() {
    let zk = FakeZk::default();
    let (one, two, gateways) = on_two(&zk).await;
    one.client.set_reachable(false);
    let all = announce_some(&gateways);
    are_registered(&all).await;
    assert_eq!((one.leases().0, two.leases().0), (0, 16), "nothing is left where it may come back");
}

#[tokio::test]
async fn who_is_at_a_gateway_that_loses_zookeeper_is_registered_by_another_one() {
    let zk = FakeZk::with_timeout(Duration::from_secs(2));
    let (one, two, gateways) = on_two(&zk).await;
    let all = announce_some(&gateways);
    are_registered(&all).await;
    let (at_one, _) = one.leases();
    assert!(0 < at_one && at_one < 16, "{at_one}");
    one.client.set_reachable(false);
    let all_went = async {
        while two.leases().0 < 16 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, all_went).await.expect("none stays");
    are_registered(&all).await;
    until(&zk, |zk| zk.children("/headkeeper/time/instances").len() == 16).await;

    // Neither is in the other's way when it is back.
    one.client.set_reachable(true);
    let has_nothing = async {
        while one.leases() != (0, 0) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, has_nothing).await.expect("nothing of them is left there");
    assert_eq!(zk.children("/headkeeper/time/instances").len(), 16);
    for here in &all {
        assert!(matches!(*here.status().borrow(), Status::Registered { .. }), "{:?}", here.status());
    }
}

/// Waits until it is told that there is no such service.
async fn is_nowhere(discovery: &Discovery) {
    let is_it = |problem: &Option<Problem>| matches!(problem, Some(Problem::Refused { status: 404, .. }));
    becomes(&mut discovery.problem(), is_it).await;
}

#[tokio::test]
async fn a_service_that_is_not_there_is_an_empty_list_as_on_zookeeper() {
    let zk = FakeZk::default();
    let gateway = Served::start(&zk).await;
    let proxy = Proxy::start(gateway.address).await.unwrap();
    let gateways = Gateways::builder(&format!("http://{}", proxy.address())).build().unwrap();
    let keeper = Keeper::start(zk.client());
    let direct = Registry::new(keeper.sessions(), Native::default()).follow(&time());
    let discovery = gateways.follow(&time());
    for ready in [timeout(LIMIT, direct.ready()).await, timeout(LIMIT, discovery.ready()).await] {
        assert!(ready.expect("nobody is waited for").unwrap().is_empty());
    }
    is_nowhere(&discovery).await;
    let balancer = Balancer::follow(discovery.instances(), RoundRobin::default());
    timeout(LIMIT, balancer.ready()).await.unwrap().unwrap();
    let picked = balancer.pick(&Request::default());
    assert!(matches!(picked, Err(PickError::Empty)), "{picked:?}");
    register(&zk, "a", &data(1));
    list(&discovery, &["a"]).await;
    is_stale(&discovery, false).await;

    // All of them leave while nobody can be asked, and the server takes their directory away.
    proxy.refuse(true);
    proxy.cut();
    is_stale(&discovery, true).await;
    gateway.stop().await;
    assert!(zk.remove("/headkeeper/time"));
    assert_eq!(discovery.instances().borrow().as_ref().unwrap().len(), 1, "nobody has said so yet");
    let gateway = Served::start(&zk).await;
    proxy.set_upstream(gateway.address);
    proxy.refuse(false);
    list(&discovery, &[]).await;
    is_nowhere(&discovery).await;
    is_stale(&discovery, true).await;

    register(&zk, "a", &data(1));
    list(&discovery, &["a"]).await;
    is_stale(&discovery, false).await;
    becomes(&mut discovery.problem(), Option::is_none).await;
    keeper.close().await;
}
