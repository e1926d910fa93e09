//! What is followed is the truth, and the last known good list while that cannot be known.

mod common;

use std::time::Duration;

use common::{LIMIT, Process, T, at, lists, names, others, path, reached, registered, shows, until, value};
use proto::NodeData;
use registry::{Discovery, Error, InstanceChange, Options, Source};
use tokio::time::{Instant, sleep, timeout};
use zk_session::fake::FakeZk;

/// For a time no list may be shorter than `least`.
async fn never_shorter(discovery: &Discovery, least: usize, during: Duration) {
    let mut lists = discovery.instances();
    let short = lists.wait_for(|list| list.as_ref().is_some_and(|list| list.len() < least));
    if let Ok(list) = timeout(during, short).await {
        panic!("the list shrank: {:?}", *list.expect("the sender is there"));
    };
}

#[tokio::test(start_paused = true)]
async fn nothing_is_published_before_the_first_whole_list() {
    let zk = FakeZk::default();
    zk.set_reachable(false);
    let process = Process::start(&zk);
    let discovery = process.follow();
    assert!(timeout(T, discovery.ready()).await.is_err());
    assert!(discovery.instances().borrow().is_none() && discovery.view().borrow().is_none());
    others(&zk, &["a", "b"]);
    zk.set_reachable(true);
    let list = timeout(LIMIT, discovery.ready()).await.expect("in time").expect("the keeper runs");
    assert_eq!(names(&list), ["a", "b"]);
    assert_eq!((discovery.service(), discovery.path()), (&common::time(), common::DIR));
}

#[tokio::test(start_paused = true)]
async fn what_one_process_announces_another_one_finds() {
    let zk = FakeZk::default();
    let (server, client) = (Process::start(&zk), Process::start(&zk));
    let discovery = client.follow();
    shows(&discovery, true, &[]).await;

    let registration = server.announce("a");
    let list = lists(&discovery, &["a"]).await;
    assert_eq!(list[0].data, registration.data());

    registration.drain().unwrap();
    let drained =
        |list: &Option<registry::Instances>| list.as_ref().is_some_and(|list| list[0].data.weight == 0);
    until(&mut discovery.instances(), "the update is here", drained).await;

    registration.withdraw().await;
    shows(&discovery, true, &[]).await;
}

#[tokio::test(start_paused = true)]
async fn a_change_costs_one_notification_and_one_read_at_most_and_a_deletion_no_read() {
    let zk = FakeZk::default();
    others(&zk, &["a", "b", "c"]);
    let client = Process::start(&zk);
    let discovery = client.follow();
    shows(&discovery, true, &["a", "b", "c"]).await;

    zk.reset_requests();
    zk.put(&path("b"), value(9));
    let changed = |list: &Option<registry::Instances>| list.as_ref().is_some_and(|l| l[1].data.weight == 9);
    until(&mut discovery.instances(), "the change is here", changed).await;
    assert_eq!((zk.requests().events, zk.requests().total(), zk.requests().gets), (1, 1, 1));

    zk.reset_requests();
    zk.remove(&path("b"));
    lists(&discovery, &["a", "c"]).await;
    assert_eq!((zk.requests().events, zk.requests().total()), (1, 0));

    zk.reset_requests();
    others(&zk, &["d"]);
    lists(&discovery, &["a", "c", "d"]).await;
    assert_eq!((zk.requests().events, zk.requests().total()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_cold_start_reads_in_batches() {
    const MANY: usize = 1_000;
    let zk = FakeZk::default();
    for index in 0..MANY {
        zk.put(&path(&format!("{index:04}")), value(1));
    }
    let client = Process::start(&zk);
    let discovery = client.follow();
    let list = timeout(LIMIT, discovery.ready()).await.expect("in time").unwrap();
    assert_eq!(list.len(), MANY);
    assert!(list.iter().is_sorted_by_key(|instance| instance.id.clone()));
    assert!(zk.requests().total() <= MANY as u64 / 100 + 10, "{:?}", zk.requests());
}

#[tokio::test(start_paused = true)]
async fn while_zookeeper_is_away_the_last_list_stays_and_is_marked() {
    let zk = FakeZk::default();
    others(&zk, &["a", "b"]);
    let client = Process::start(&zk);
    let discovery = client.follow();
    shows(&discovery, true, &["a", "b"]).await;
    let mut changed = discovery.instances();
    changed.mark_unchanged();

    zk.stop();
    let stopped = Instant::now();
    let view = shows(&discovery, false, &["a", "b"]).await;
    assert_eq!(view.source, Source::Stale { since: stopped });
    never_shorter(&discovery, 2, 100 * T).await;
    assert_eq!(discovery.view().borrow().as_ref().unwrap().source, Source::Stale { since: stopped });

    zk.start();
    shows(&discovery, true, &["a", "b"]).await;
    assert!(!changed.has_changed().unwrap(), "callers get the same list all the time");
}

#[tokio::test(start_paused = true)]
async fn the_same_session_gives_the_truth_at_once_after_the_reconnect() {
    let zk = FakeZk::default();
    others(&zk, &["a", "b", "c"]);
    let client = Process::start(&zk);
    let discovery = client.follow();
    shows(&discovery, true, &["a", "b", "c"]).await;
    client.client.set_reachable(false);
    shows(&discovery, false, &["a", "b", "c"]).await;
    zk.remove(&path("b"));
    others(&zk, &["d"]);
    zk.put(&path("c"), value(7));
    // The same name, another node.
    zk.remove(&path("a"));
    zk.put(&path("a"), value(8));

    client.client.set_reachable(true);
    let back = Instant::now();
    let view = shows(&discovery, true, &["a", "c", "d"]).await;
    assert!(back.elapsed() <= Duration::from_secs(1) + T / 4, "took {:?}", back.elapsed());
    assert_eq!((view.entries[0].data.weight, view.entries[1].data.weight), (8, 7));
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_that_ended_all_sessions_nobody_is_missed_while_they_come_back() {
    let zk = FakeZk::default();
    let servers = ["a", "b", "c"].map(|name| {
        let process = Process::start(&zk);
        let registration = process.announce(name);
        (process, registration)
    });
    let client = Process::start(&zk);
    let discovery = client.follow();
    shows(&discovery, true, &["a", "b", "c"]).await;

    zk.set_reachable(false);
    sleep(2 * T).await;
    assert!(zk.children(common::DIR).is_empty());

    // The client is back first, then a and b; c never.
    servers.iter().for_each(|(server, _)| server.client.set_reachable(false));
    zk.set_reachable(true);
    reached(&zk, "the client is back", |_| client.client.session().is_some()).await;
    let reconnected = Instant::now();
    never_shorter(&discovery, 3, T / 4).await;
    for (server, registration) in &servers[..2] {
        server.client.set_reachable(true);
        registered(registration).await;
    }
    never_shorter(&discovery, 3, reconnected + T - Instant::now() - Duration::from_millis(10)).await;
    assert!(matches!(discovery.view().borrow().as_ref().unwrap().source, Source::Stale { .. }));

    shows(&discovery, true, &["a", "b"]).await;
    assert!(reconnected.elapsed() <= T + Duration::from_millis(100), "took {:?}", reconnected.elapsed());
}

#[tokio::test(start_paused = true)]
async fn in_a_new_session_the_view_is_live_as_soon_as_nobody_is_missing() {
    let zk = FakeZk::default();
    others(&zk, &["a", "b"]);
    let client = Process::start(&zk);
    let discovery = client.follow();
    shows(&discovery, true, &["a", "b"]).await;
    zk.expire(client.session());
    shows(&discovery, false, &["a", "b"]).await;
    let lost = Instant::now();
    shows(&discovery, true, &["a", "b"]).await;
    assert!(lost.elapsed() < T / 2);
}

#[tokio::test(start_paused = true)]
async fn everything_vanishing_at_once_is_doubted_only_after_a_disturbance_of_our_own() {
    let zk = FakeZk::default();
    others(&zk, &["a", "b", "c"]);
    let client = Process::start(&zk);
    let grace = Duration::from_secs(6);
    let options = Options { empty_grace: Some(grace), ..Options::default() };
    let discovery = client.registry.follow_with(&common::time(), options);
    shows(&discovery, true, &["a", "b", "c"]).await;

    // Calm: believed.
    zk.remove(common::DIR);
    timeout(Duration::from_secs(1), shows(&discovery, true, &[])).await.expect("at once");

    // Disturbed: kept and marked for the grace; who is new is there at once.
    others(&zk, &["a", "b", "c"]);
    shows(&discovery, true, &["a", "b", "c"]).await;
    zk.disconnect(client.session());
    shows(&discovery, false, &["a", "b", "c"]).await;
    shows(&discovery, true, &["a", "b", "c"]).await;
    zk.remove(common::DIR);
    let vanished = Instant::now();
    shows(&discovery, false, &["a", "b", "c"]).await;
    others(&zk, &["d"]);
    timeout(Duration::from_secs(1), shows(&discovery, false, &["a", "b", "c", "d"])).await.expect("at once");
    never_shorter(&discovery, 4, grace - vanished.elapsed() - Duration::from_millis(10)).await;
    shows(&discovery, true, &["d"]).await;
    assert!(vanished.elapsed() <= grace + Duration::from_millis(100), "took {:?}", vanished.elapsed());
}

#[tokio::test(start_paused = true)]
async fn bad_nodes_harm_only_themselves_are_reported_and_come_back_repaired() {
    let long_name = "x".repeat(300);
    let bad: [(&str, Vec<u8>, &str); 13] = [
        ("empty", Vec::new(), "is empty"),
        ("text", b"hello".to_vec(), "begins with 68 65 6C 6C 6F"),
        ("magic", vec![0xC1], "begins with C1"),
        ("cut", value(1)[..5].to_vec(), "ends inside it"),
        ("longer", [value(1), vec![0]].concat(), "1 bytes are left"),
        ("newer", vec![0xC1, 0x9D, 2, 0], "version 2"),
        ("greedy", vec![0xC1, 0x9D, 1, 1, 0xFD, 255, 255, 255, 255, 255, 255, 255, 255], "server_ip"),
        ("half", b"{\"server_ip\":\"127.0.0.1\",".to_vec(), "JSON"),
        ("types", b"{\"server_ip\":7}".to_vec(), "server_ip"),
        ("nobody", b"{}".to_vec(), "neither an address"),
        ("deep", [vec![b'{'], b"\"metadata\":".to_vec(), vec![b'['; 60_000]].concat(), "metadata"),
        ("huge", vec![b'{'; 900_000], "at most 65536"),
        (&long_name, value(1), "300 bytes"),
    ];
    let zk = FakeZk::default();
    others(&zk, &["a", "z"]);
    for (name, value, _) in &bad[..7] {
        zk.put(&path(name), value);
    }
    let client = Process::start(&zk);
    let discovery = client.follow();
    lists(&discovery, &["a", "z"]).await;
    for (name, value, _) in &bad[7..] {
        zk.put(&path(name), value);
    }
    let all = |view: &Option<registry::View>| view.as_ref().is_some_and(|view| view.bad.len() == bad.len());
    let view = until(&mut discovery.view(), "all are reported", all).await.unwrap();
    assert_eq!(names(&view.entries), ["a", "z"]);
    assert_eq!(view.source, Source::Live);
    for (name, _, reason) in &bad {
        let node = view.bad.iter().find(|node| node.path == path(name)).expect("it is reported");
        assert!(node.reason.contains(reason), "{name}: {}", node.reason);
        assert!(node.reason.len() < 600, "{name}: a reason is for people: {}", node.reason);
        assert_eq!(Some(node.mzxid), zk.get(&node.path).map(|node| node.stat.mzxid));
    }

    // A good one that goes bad is left out like the others.
    zk.put(&path("z"), "oops");
    lists(&discovery, &["a"]).await;
    for name in ["z", "huge", "deep", "text"] {
        zk.put(&path(name), value(1));
    }
    let repaired = shows(&discovery, true, &["a", "deep", "huge", "text", "z"]);
    let view = timeout(Duration::from_secs(3), repaired).await.expect("in three seconds");
    assert_eq!(view.bad.len(), bad.len() - 3);
}

#[tokio::test(start_paused = true)]
async fn an_oversize_service_is_told_keeps_its_last_list_and_recovers() {
    let zk = FakeZk::default();
    others(&zk, &["a", "b", "c"]);
    let client = Process::start(&zk);
    let options = Options { max_entries: 3, ..Options::default() };
    let discovery = client.registry.follow_with(&common::time(), options);
    shows(&discovery, true, &["a", "b", "c"]).await;

    let owner = zk.stranger();
    for index in 0..50 {
        zk.put_ephemeral(&path(&format!("x{index}")), value(1), owner);
    }
    let told = |problem: &Option<zk_session::Error>| {
        matches!(problem, Some(zk_session::Error::Oversize { found: 53, most: 3, .. }))
    };
    until(&mut discovery.problem(), "it is told", told).await;
    shows(&discovery, false, &["a", "b", "c"]).await;
    zk.reset_requests();
    sleep(Duration::from_secs(10)).await;
    assert_eq!(zk.requests().connects, 0);
    assert!(zk.requests().total() <= 50, "{:?}", zk.requests());
    assert_eq!(zk.requests().lists + zk.requests().batches, 0, "what is too long is not asked for");

    // It fits again at the worst moment: right after somebody has looked.
    let looked = zk.requests().exists;
    reached(&zk, "it is looked at", |zk| zk.requests().exists > looked).await;
    sleep(Duration::from_millis(1)).await;
    zk.expire(owner);
    timeout(Duration::from_secs(3), shows(&discovery, true, &["a", "b", "c"])).await.expect("in time");
    until(&mut discovery.problem(), "all is well", Option::is_none).await;
}

#[tokio::test(start_paused = true)]
async fn typed_changes_begin_with_all_that_is_there_and_end_with_the_discovery() {
    let zk = FakeZk::default();
    others(&zk, &["a", "b"]);
    let client = Process::start(&zk);
    let discovery = client.follow();
    discovery.ready().await.unwrap();
    let mut changes = discovery.changes();
    let first = changes.next().await.unwrap();
    let said = |changes: &[InstanceChange]| -> Vec<String> {
        changes
            .iter()
            .map(|change| match change {
                InstanceChange::Added(new) => format!("+{}", new.id),
                InstanceChange::Removed(old) => format!("-{}", old.id),
                InstanceChange::Updated { before, after } => {
                    format!("{} {} {}", after.id, before.data.weight, after.data.weight)
                }
            })
            .collect()
    };
    assert_eq!(said(&first), ["+a", "+b"]);

    zk.put(&path("a"), value(6));
    assert_eq!(said(&changes.next().await.unwrap()), ["a 1 6"]);
    zk.remove(&path("b"));
    assert_eq!(said(&changes.next().await.unwrap()), ["-b"]);

    // Written again, the same: a new list, and no change.
    let before = discovery.instances();
    zk.put(&path("a"), value(6));
    timeout(LIMIT, async { before.clone().changed().await }).await.expect("a new list").unwrap();
    assert!(timeout(T, changes.next()).await.is_err());

    others(&zk, &["c"]);
    lists(&discovery, &["a", "c"]).await;
    drop(discovery);
    assert_eq!(said(&changes.next().await.unwrap()), ["+c"], "the last change is still told");
    assert_eq!(timeout(LIMIT, changes.next()).await.expect("it ends"), None);
}

#[tokio::test(start_paused = true)]
async fn when_the_keeper_is_closed_followers_keep_what_they_have_and_are_told() {
    let zk = FakeZk::default();
    others(&zk, &["a"]);
    let client = Process::start(&zk);
    let discovery = client.follow();
    shows(&discovery, true, &["a"]).await;
    let registry = client.registry.clone();
    client.keeper.close().await;

    shows_stale_after_the_end(&discovery).await;
    assert_eq!(names(&discovery.ready().await.unwrap()), ["a"]);
    let late = registry.follow(&common::time());
    let ready = timeout(LIMIT, late.ready()).await.expect("it does not wait for ever");
    assert!(matches!(ready, Err(Error::Closed)));
    assert_eq!(timeout(LIMIT, late.changes().next()).await.expect("nor does this"), None);
}

async fn shows_stale_after_the_end(discovery: &Discovery) {
    let mut view = discovery.view();
    while view.changed().await.is_ok() {}
    let last = view.borrow().clone().expect("a view");
    assert_eq!(names(&last.entries), ["a"]);
    assert!(matches!(last.source, Source::Stale { .. }));
}

#[tokio::test(start_paused = true)]
async fn an_instance_of_any_language_is_read_from_json() {
    let zk = FakeZk::default();
    let client = Process::start(&zk);
    let discovery = client.follow();
    zk.put(&path("go-1"), r#"{"server_ip":"10.0.0.7","server_port":80,"weight":3,"color":"red"}"#);
    let list = lists(&discovery, &["go-1"]).await;
    assert_eq!(list[0].data, NodeData::at("10.0.0.7:80".parse().unwrap()).with_weight(3));
    assert_ne!(list[0].data, at(80));
}
