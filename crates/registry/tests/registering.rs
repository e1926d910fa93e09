//! What is announced is registered, whatever happens, until it is withdrawn.

mod common;

use std::time::Duration;

use common::{
    LIMIT, Process, T, at, data, id, never, owned_by, path, reached, registered, stored, time, until,
};
use registry::{Error, Native, Registry, Status};
use tokio::time::{Instant, sleep, timeout};
use zk_session::fake::FakeZk;

#[tokio::test(start_paused = true)]
async fn an_announced_instance_is_stored_as_the_format_says() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let registration = process.registry.announce(&time(), at(80).with_metadata("zone", "b")).unwrap();
    assert_eq!(registration.id().as_str(), "127.0.0.1:80");
    assert_eq!(registration.path(), "/headkeeper/time/instances/127.0.0.1:80");
    registered(&registration).await;

    assert_eq!(stored(&zk, registration.path()), registration.data());
    assert_eq!(zk.owner(registration.path()), Some(process.session()));
}

#[tokio::test(start_paused = true)]
async fn after_expiry_it_is_registered_again_within_a_second_and_once() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let registration = process.announce("a");
    registered(&registration).await;
    let before = process.session();

    // Cut off for so long that the server ends the session.
    process.client.set_reachable(false);
    sleep(2 * T).await;
    assert_eq!(zk.get(registration.path()), None);
    zk.reset_requests();
    process.client.set_reachable(true);
    reached(&zk, "it reconnects", |_| process.client.session().is_some()).await;
    let reconnected = Instant::now();
    let session = process.session();
    until(&mut registration.status(), "it is registered again", |now| owned_by(now, session)).await;

    assert!(reconnected.elapsed() <= Duration::from_secs(1));
    assert_ne!(session, before);
    assert_eq!(zk.owner(registration.path()), Some(session));
    sleep(2 * T).await;
    assert_eq!(zk.children(common::DIR), ["a"]);
    let requests = zk.requests();
    assert_eq!((requests.creates, requests.deletes, requests.multis), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn after_a_sudden_expiry_it_is_registered_again_too() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let registration = process.announce("a");
    registered(&registration).await;
    let before = process.session();
    zk.reset_requests();
    zk.expire(before);
    let anew = |now: &Status| matches!(now, Status::Registered { session, .. } if *session != before);
    until(&mut registration.status(), "it is registered again", anew).await;
    assert_eq!((zk.requests().creates, zk.requests().deletes), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn flaps_inside_a_session_touch_nothing() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let registration = process.announce("a");
    registered(&registration).await;
    let (session, node) = (process.session(), zk.get(registration.path()));
    zk.reset_requests();

    let mut status = registration.status();
    for _ in 0..10 {
        zk.disconnect(session);
        until(&mut status, "it is told", |now| matches!(now, Status::Registering { .. })).await;
        until(&mut status, "it is back", |now| owned_by(now, session)).await;
        sleep(T / 4).await;
    }
    assert!(zk.requests().connects >= 10);
    assert_eq!(zk.requests().writes(), 0, "{:?}", zk.requests());
    assert_eq!(zk.get(registration.path()), node);
}

#[tokio::test(start_paused = true)]
async fn a_restart_under_the_same_id_survives_the_end_of_the_dead_session() {
    // The dead session ends at any time between the restart and long after it.
    for left_ms in (0..=4_000).step_by(250) {
        let zk = FakeZk::default();
        let dead = Process::start(&zk);
        let before = dead.announce("a");
        registered(&before).await;
        dead.kill();
        sleep(T - Duration::from_millis(left_ms)).await;

        let process = Process::start(&zk);
        let registration = process.announce("a");
        registered(&registration).await;
        let session = process.session();
        let lost = |zk: &FakeZk| zk.owner(registration.path()) != Some(session);
        never(&zk, 3 * T, &format!("lost with {left_ms} ms left"), lost).await;
    }
}

#[tokio::test(start_paused = true)]
async fn withdrawn_at_any_moment_it_leaves_nothing() {
    for (yields, lost) in (0..40).flat_map(|yields| (0..=4).map(move |lost| (yields, lost))) {
        let zk = FakeZk::default().with_seed(yields);
        let process = Process::start(&zk);
        let registration = process.announce("a");
        for _ in 0..yields {
            tokio::task::yield_now().await;
        }
        // Answers that never come leave open what was done: of a directory, the node, its deletion.
        (0..lost).for_each(|_| zk.lose_next_reply());
        timeout(Duration::from_secs(2), registration.withdraw()).await.expect("it takes no time");
        assert_eq!(zk.get(&path("a")), None, "after {yields} yields, {lost} answers lost");
        let back = |zk: &FakeZk| zk.get(&path("a")).is_some();
        never(&zk, 2 * T, &format!("came back after {yields} yields, {lost} answers lost"), back).await;
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_at_any_moment_it_leaves_nothing() {
    for yields in 0..40 {
        let zk = FakeZk::default().with_seed(yields);
        let process = Process::start(&zk);
        let registration = process.announce("a");
        let mut status = registration.status();
        for _ in 0..yields {
            tokio::task::yield_now().await;
        }
        drop(registration);
        until(&mut status, "it is withdrawn", |now| matches!(now, Status::Withdrawn)).await;
        assert_eq!(zk.get(&path("a")), None, "after {yields} yields");
    }
}

#[tokio::test(start_paused = true)]
async fn withdrawn_while_cut_off_it_never_comes_back() {
    for away in [T / 4, 2 * T] {
        let zk = FakeZk::default();
        let process = Process::start(&zk);
        let registration = process.announce("a");
        registered(&registration).await;
        // Long enough for the node to be looked at once more, and watched.
        sleep(T).await;

        process.client.set_reachable(false);
        let mut status = registration.status();
        let withdrawn = tokio::spawn(registration.withdraw());
        sleep(away).await;
        assert_eq!(zk.get(&path("a")).is_some(), away < T);
        zk.reset_requests();
        process.client.set_reachable(true);
        timeout(LIMIT, withdrawn).await.expect("in time").unwrap();
        until(&mut status, "it is told", |now| matches!(now, Status::Withdrawn)).await;
        assert_eq!(zk.get(&path("a")), None);
        never(&zk, 2 * T, "it came back", |zk| zk.get(&path("a")).is_some()).await;

        // Nor in the next session.
        zk.expire(process.session());
        never(&zk, 2 * T, "it came back", |zk| zk.get(&path("a")).is_some()).await;
        assert_eq!((zk.requests().creates, zk.requests().multis), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn the_latest_data_wins_when_updated_while_cut_off() {
    for away in [T / 4, 2 * T] {
        let zk = FakeZk::default();
        let process = Process::start(&zk);
        let registration = process.announce("a");
        registered(&registration).await;
        process.client.set_reachable(false);
        for weight in [7, 8, 9] {
            registration.set_weight(weight).unwrap();
        }
        registration.update(|data| _ = data.metadata.insert("zone", "b")).unwrap();
        sleep(away).await;
        zk.reset_requests();
        process.client.set_reachable(true);

        let there = |zk: &FakeZk| zk.get(registration.path()).is_some();
        reached(&zk, "it is back", there).await;
        reached(&zk, "the latest is there", |zk| stored(zk, registration.path()) == registration.data())
            .await;
        let written = stored(&zk, registration.path());
        assert_eq!((written.weight, &written.metadata["zone"]), (9, "b"));
        sleep(T).await;
        assert_eq!(zk.requests().writes(), 1, "the ones before were not written: {:?}", zk.requests());
    }
}

#[tokio::test(start_paused = true)]
async fn an_update_keeps_the_node_its_id_and_its_path() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let registration = process.registry.announce(&time(), at(80)).unwrap();
    registered(&registration).await;
    let made = zk.get(registration.path()).unwrap().stat.czxid;

    registration.update(|data| data.address = at(81).address).unwrap();
    reached(&zk, "the address changes", |zk| stored(zk, registration.path()).address == at(81).address).await;
    assert_eq!(zk.get(registration.path()).unwrap().stat.czxid, made);
    assert_eq!(registration.id().as_str(), "127.0.0.1:80");

    registration.drain().unwrap();
    reached(&zk, "it is drained", |zk| stored(zk, registration.path()).weight == 0).await;
    registration.set_weight(3).unwrap();
    reached(&zk, "it is not", |zk| stored(zk, registration.path()).weight == 3).await;
    assert_eq!(zk.get(registration.path()).unwrap().stat.czxid, made);
}

#[tokio::test(start_paused = true)]
async fn when_it_was_registered_is_kept_and_decides_nothing() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let registration = process.announce("a");
    let first = registration.data().registered_at;
    assert_ne!(first, 0);
    registered(&registration).await;
    assert_eq!(stored(&zk, registration.path()).registered_at, first);

    registration.update(|data| (data.registered_at, data.weight) = (0, 2)).unwrap();
    zk.expire(process.session());
    reached(&zk, "it is back with the update", |zk| {
        zk.get(registration.path()).is_some() && stored(zk, registration.path()).weight == 2
    })
    .await;
    assert_eq!(stored(&zk, registration.path()).registered_at, first);

    // A wall clock that is an hour off, or ages: all are registered and listed.
    let discovery = process.follow();
    let mut all = Vec::new();
    for (name, at) in [("b", 1), ("c", first - 3_600_000), ("d", first + 3_600_000), ("e", u64::MAX)] {
        let mut data = data(1);
        data.registered_at = at;
        let registration = process.registry.announce_as(&time(), id(name), data).unwrap();
        registered(&registration).await;
        assert_eq!(stored(&zk, registration.path()).registered_at, at);
        all.push(registration);
    }
    common::shows(&discovery, true, &["a", "b", "c", "d", "e"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_others_delete_is_restored() {
    let deleted = [path("a"), common::DIR.to_owned(), "/headkeeper".to_owned()];
    // It is known to be registered before it is watched: what goes in between is another matter.
    for (deleted, watched) in deleted.iter().flat_map(|it| [(it, false), (it, true)]) {
        let zk = FakeZk::default();
        let process = Process::start(&zk);
        let registration = process.announce("a");
        registered(&registration).await;
        if watched {
            reached(&zk, "it is watched", |zk| zk.requests().watches == 1).await;
            sleep(T).await;
        }
        assert!(zk.remove(deleted));
        let back = |zk: &FakeZk| zk.owner(&path("a")) == Some(process.session());
        let restored = timeout(Duration::from_secs(2), zk.until(back)).await;
        assert!(restored.is_ok(), "not within two seconds: {deleted}, watched: {watched}");
        registered(&registration).await;
    }
}

#[tokio::test(start_paused = true)]
async fn it_starts_without_zookeeper_and_asks_politely() {
    let zk = FakeZk::default();
    zk.set_reachable(false);
    let process = Process::start(&zk);
    let registration = process.announce("a");
    assert!(timeout(Duration::from_secs(10), registration.registered()).await.is_err());
    assert!(zk.requests().connects <= 100, "{:?}", zk.requests());
    assert!(zk.requests().connects >= 5, "it goes on trying: {:?}", zk.requests());

    zk.set_reachable(true);
    timeout(Duration::from_secs(2), registration.registered()).await.expect("in two seconds").unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_acl_that_refuses_is_told_and_asked_politely() {
    let zk = FakeZk::default();
    zk.put("/headkeeper", "");
    zk.refuse("/headkeeper", true);
    let process = Process::start(&zk);
    let registration = process.announce("a");
    let told = |now: &Status| match now {
        Status::Registering { problem: Some(Error::ZooKeeper(zk_session::Error::Rejected { what })) } => {
            what.contains("/headkeeper/time")
        }
        _ => false,
    };
    until(&mut registration.status(), "the reason is told", told).await;
    for _ in 0..10 {
        zk.reset_requests();
        sleep(Duration::from_secs(1)).await;
        assert!(zk.requests().writes() <= 5, "{:?}", zk.requests());
    }
    zk.refuse("/headkeeper", false);
    timeout(Duration::from_secs(2), registration.registered()).await.expect("in two seconds").unwrap();
}

#[tokio::test(start_paused = true)]
async fn of_two_with_one_id_the_newer_wins_and_the_older_stops_and_says_so() {
    let zk = FakeZk::default();
    let (old, new) = (Process::start(&zk), Process::start(&zk));
    let older = old.announce("a");
    registered(&older).await;
    let newer = new.registry.announce_as(&time(), id("a"), data(5)).unwrap();
    registered(&newer).await;

    until(&mut older.status(), "the older stops", |now| matches!(now, Status::Replaced)).await;
    assert!(matches!(older.registered().await, Err(Error::Replaced)));
    assert!(matches!(older.set_weight(9), Err(Error::Replaced)));
    assert_eq!(zk.owner(&path("a")), Some(new.session()));
    assert_eq!(stored(&zk, &path("a")).weight, 5);

    // Neither fights, and the older one's leaving takes nothing away.
    zk.reset_requests();
    older.withdraw().await;
    zk.expire(old.session());
    sleep(2 * T).await;
    assert_eq!(zk.requests().writes(), 0);
    assert_eq!(zk.owner(&path("a")), Some(new.session()));
}

#[tokio::test(start_paused = true)]
async fn one_process_keeps_a_node_only_once() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let first = process.announce("a");
    let another = Registry::new(process.keeper.sessions(), Native::default());
    let twice = another.announce_as(&time(), id("a"), data(2));
    let Err(Error::Invalid(what)) = twice else { panic!("{twice:?}") };
    assert!(what.contains("is kept by this process already"), "{what}");
    registered(&first).await;

    first.withdraw().await;
    let second = process.registry.announce_as(&time(), id("a"), data(2)).unwrap();
    registered(&second).await;

    // Dropped and announced again at once: whatever the order of deletion and creation, it ends well.
    drop(second);
    let third = process.registry.announce_as(&time(), id("a"), data(3)).unwrap();
    registered(&third).await;
    sleep(T).await;
    assert_eq!(stored(&zk, &path("a")).weight, 3);
    assert_eq!(zk.owner(&path("a")), Some(process.session()));
}

#[tokio::test(start_paused = true)]
async fn of_many_none_is_announced_when_one_is_bad() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    for bad in [
        at(3).with_code(""),
        at(3).with_metadata("k", "x".repeat(70_000)),
        at(1),
        proto::NodeData::behind_broker("a/b"),
    ] {
        let all = process.registry.announce_all(&time(), [at(1), at(2), bad.clone()]);
        assert!(matches!(all, Err(Error::Invalid(_))), "{bad:?}");
    }
    sleep(T).await;
    assert_eq!(zk.children("/"), ["zookeeper"], "nothing was sent");

    let all = process.registry.announce_all(&time(), (1..=1_000).map(at)).expect("nothing is left of before");
    for registration in &all {
        registered(registration).await;
    }
    assert_eq!(zk.children(common::DIR).len(), 1_000);
    assert!(zk.requests().total() < 100, "they share requests: {:?}", zk.requests());
}

/// The first tasks run while the last ones are being started, which paused time on one thread never shows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_are_watched_together_from_the_first_one_on() {
    const MANY: u16 = 3_000;
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    process.registry.sessions().next().await.expect("it is connected");

    let all = process.registry.announce_all(&time(), (1..=MANY).map(at)).expect("all are good");
    for registration in &all {
        registered(registration).await;
    }
    assert_eq!(zk.children(common::DIR).len(), usize::from(MANY));
    assert_eq!(zk.requests().watches, 1, "{:?}", zk.requests());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_stored_is_refused_before_anything_is_sent() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let neither = proto::NodeData { address: None, ..data(1) };
    let large = data(1).with_metadata("k", "x".repeat(64 * 1024));
    for (bad, says) in [(neither, "neither an address"), (large.clone(), "at most 65536")] {
        let refused = process.registry.announce_as(&time(), id("a"), bad);
        let Err(Error::Invalid(what)) = refused else { panic!("{refused:?}") };
        assert!(what.contains(says), "{what}");
    }
    sleep(T).await;
    assert_eq!(zk.requests().total(), 0);

    // An update that is refused changes nothing.
    let registration = process.announce("a");
    registered(&registration).await;
    let before = registration.data();
    assert!(matches!(registration.update(|data| *data = large), Err(Error::Invalid(_))));
    assert!(matches!(registration.update(|data| data.address = None), Err(Error::Invalid(_))));
    sleep(T).await;
    assert_eq!(registration.data(), before);
    assert_eq!(stored(&zk, registration.path()), before);
}

#[tokio::test(start_paused = true)]
async fn closing_the_keeper_ends_everything_and_says_so() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let registration = process.announce("a");
    registered(&registration).await;
    let mut status = registration.status();
    process.keeper.close().await;
    until(&mut status, "it is told", |now| matches!(now, Status::Withdrawn)).await;
    assert!(matches!(registration.registered().await, Err(Error::Withdrawn)));
    assert!(matches!(registration.drain(), Err(Error::Withdrawn)));
    assert_eq!(zk.get(&path("a")), None);
    timeout(LIMIT, registration.withdraw()).await.expect("there is nothing to wait for");
}

#[tokio::test(start_paused = true)]
async fn a_registry_can_be_made_of_a_layout_chosen_at_run_time() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let root = proto::Root::parse("/other").unwrap();
    let registry = Registry::with_layout(process.keeper.sessions(), std::sync::Arc::new(Native { root }));
    let registration = registry.announce_as(&time(), id("a"), data(1)).unwrap();
    registered(&registration).await;
    assert_eq!(zk.children("/other/time/instances"), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_handed_over_says_what_its_next_process_says_and_stays_registered() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let registration = process.announce("a");
    registered(&registration).await;
    let (node, first) = (zk.get(registration.path()).unwrap().stat.czxid, registration.data());
    for at in [first.registered_at + 1, 7, 0] {
        let next = proto::NodeData { registered_at: at, ..data(5) };
        registration.hand_over(next.clone()).unwrap();
        let now = registration.data();
        assert!(if at == 0 { now.registered_at >= first.registered_at } else { now == next }, "{now:?}");
        reached(&zk, "it is written", |zk| stored(zk, registration.path()) == now).await;
    }
    assert_eq!(zk.get(registration.path()).unwrap().stat.czxid, node, "it was there all the time");
}

#[tokio::test(start_paused = true)]
async fn the_time_of_the_first_registration_survives_updates_and_expiry() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let registration = process.announce("a");
    registered(&registration).await;
    let path = path("a");
    let first = stored(&zk, &path).registered_at;
    assert!(first > 1_700_000_000_000, "Unix milliseconds, not {first}");
    let weighs = async |weight| {
        let is = |zk: &FakeZk| {
            zk.get(&path)
                .is_some_and(|node| proto::decode(&node.data).is_ok_and(|data| data.weight == weight))
        };
        reached(&zk, "the update is stored", is).await;
        assert_eq!(stored(&zk, &path).registered_at, first);
    };
    registration.set_weight(7).unwrap();
    weighs(7).await;
    zk.expire(process.session());
    registration.set_weight(8).unwrap();
    weighs(8).await;
    registration
        .update(|data| {
            data.registered_at = 5;
            data.weight = 9;
        })
        .unwrap();
    weighs(9).await;
}
