//! What others do to the node of a presence, or put in its place, on the fake with paused time.

mod common;

use std::time::Duration;

use common::{Process, Told, data, eventually, held, until};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};
use zk_session::fake::FakeZk;
use zk_session::{Error, Name, State, Status};

const PATH: &str = "/services/a/one";

/// The session timeout that a fake grants unless told otherwise.
const T: Duration = Duration::from_secs(4);

#[tokio::test(start_paused = true)]
async fn of_two_processes_with_one_id_the_newer_wins_and_the_older_stops() {
    let zk = FakeZk::default();
    let (older, newer) = (Process::start(&zk), Process::start(&zk));
    let first = older.own("older");
    held(&first).await;
    let second = newer.own("newer");
    until(&mut first.status(), "the older is told", |now| matches!(now, Status::Replaced)).await;
    held(&second).await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(data(&zk, PATH), "newer");
    first.withdraw().await;
    assert_eq!(data(&zk, PATH), "newer", "withdrawing what was replaced takes nothing away");
}

#[tokio::test(start_paused = true)]
async fn who_was_away_is_told_of_a_newer_process_once_that_is_known_to_live() {
    let zk = FakeZk::default();
    let (older, newer) = (Process::start(&zk), Process::start(&zk));
    let first = older.own("older");
    let session = held(&first).await.session();
    older.client.set_reachable(false);
    zk.expire(session);
    let second = newer.own("newer");
    let there = held(&second).await.czxid;
    older.client.set_reachable(true);
    let connected = |now: &State| matches!(now, State::Connected { .. });
    until(&mut older.sessions().state(), "connected", connected).await;
    let back = Instant::now();
    until(&mut first.status(), "the older is told", |now| matches!(now, Status::Replaced)).await;
    let took = back.elapsed();
    assert!((T..=2 * T + Duration::from_millis(100)).contains(&took), "took {took:?}");
    assert_eq!(zk.get(PATH).map(|node| node.stat.czxid), there, "nobody touched it");
}

#[tokio::test(start_paused = true)]
async fn a_dead_process_that_is_back_with_an_older_state_of_the_servers_is_no_newer_one() {
    let zk = FakeZk::default();
    let old = Process::start(&zk);
    let before = old.own("old");
    let session = held(&before).await.session();
    let earlier = zk.snapshot();
    old.client.set_reachable(false);
    zk.expire(session);
    let new = Process::start(&zk);
    let presence = new.own("new");
    let lost = held(&presence).await.session();
    let missing = Told::missing(&presence);
    zk.restore(&earlier);
    let another = |now: &State| matches!(now, State::Connected { id, .. } if *id != lost);
    until(&mut new.sessions().state(), "in another session", another).await;
    assert_eq!(zk.owner(PATH), Some(session));
    sleep(3 * T).await;
    assert_eq!(held(&presence).await.session(), new.client.session().expect("it has one"));
    assert_eq!(zk.owner(PATH), new.client.session());
    assert_eq!(data(&zk, PATH), "new");
    assert!(!missing.ever(), "nobody deleted it");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_others_delete_is_restored_with_its_parents() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let presence = process.own("v1");
    held(&presence).await;
    zk.remove(PATH);
    eventually("it is restored", || zk.get(PATH).is_some()).await;
    held(&presence).await;
    zk.remove("/services");
    assert_eq!(zk.get(PATH), None);
    eventually("it is restored with its parents", || zk.get(PATH).is_some()).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_somebody_deletes_is_told_to_be_missing_before_anything_is_asked() {
    for name in [Name::Own("one".to_owned()), Name::Sequential("one-".to_owned())] {
        let zk = FakeZk::default();
        let process = Process::start(&zk);
        let presence = process.hold(name, "v1");
        let before = held(&presence).await;
        eventually("it is watched", || zk.requests().watches == 1).await;
        // Nothing is answered any more: what is told is told because of the notification alone.
        zk.remove(&before.path);
        zk.set_mute(true);
        until(&mut presence.status(), "missing", |now| matches!(now, Status::Missing)).await;
        zk.set_mute(false);
        let after = held(&presence).await;
        assert_ne!(after.czxid, before.czxid);
    }
}

#[tokio::test(start_paused = true)]
async fn data_that_others_write_is_written_over() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let presence = process.own("v1");
    held(&presence).await;
    zk.put(PATH, "vandal");
    eventually("it is ours again", || data(&zk, PATH) == "v1").await;
}

#[tokio::test(start_paused = true)]
async fn what_others_write_again_and_again_is_not_fought_without_pause() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let one = process.own("one");
    held(&one).await;
    let another = tokio::spawn({
        let zk = zk.clone();
        async move {
            loop {
                zk.until(|zk| data(zk, PATH) == "one").await;
                zk.put(PATH, "another's");
            }
        }
    });
    // Without a pause time would not pass: so not by the clock at first.
    for _ in 0..10_000 {
        yield_now().await;
    }
    assert!(zk.requests().sets <= 10, "{:?}", zk.requests());
    zk.reset_requests();
    sleep(Duration::from_secs(10)).await;
    assert!(zk.requests().sets <= 50, "{:?}", zk.requests());

    one.update(b"new".to_vec()).unwrap();
    let updated = Instant::now();
    eventually("an update does not wait for the fight", || data(&zk, PATH) == "new").await;
    assert!(updated.elapsed() <= Duration::from_millis(10), "took {:?}", updated.elapsed());
    another.abort();
    one.withdraw().await;
    assert_eq!(zk.get(PATH), None);
}

#[tokio::test(start_paused = true)]
async fn what_happens_to_a_node_is_heard_while_what_others_wrote_is_left_there() {
    for name in [Name::Own("one".to_owned()), Name::Contended("one".to_owned())] {
        let zk = FakeZk::default();
        let process = Process::start(&zk);
        let presence = process.hold(name, "v1");
        held(&presence).await;
        for _ in 0..3 {
            zk.put(PATH, "another's");
            eventually("it is ours again", || data(&zk, PATH) == "v1").await;
        }
        zk.put(PATH, "another's");
        sleep(Duration::from_millis(50)).await;
        zk.put(PATH, "and again");
        sleep(Duration::from_millis(50)).await;
        assert_eq!(data(&zk, PATH), "and again", "the pause goes on");
        let gone = Instant::now();
        let missing = Told::missing(&presence);
        yield_now().await;
        zk.remove(PATH);
        let session = process.client.session();
        eventually("it is restored", || zk.owner(PATH) == session).await;
        assert!(gone.elapsed() <= Duration::from_millis(5), "took {:?}", gone.elapsed());
        assert!(missing.ever());
        assert_eq!(data(&zk, PATH), "v1");
    }
}

#[tokio::test(start_paused = true)]
async fn an_update_that_is_never_seen_in_the_node_is_not_written_without_pause() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let one = process.own("v1");
    held(&one).await;
    // Before we can look.
    let another = tokio::spawn({
        let zk = zk.clone();
        async move {
            loop {
                zk.until(|zk| data(zk, PATH) == "v2").await;
                zk.put(PATH, "another's");
            }
        }
    });
    zk.reset_requests();
    one.update(b"v2".to_vec()).unwrap();
    for _ in 0..10_000 {
        yield_now().await;
    }
    assert!((1..=10).contains(&zk.requests().sets), "{:?}", zk.requests());
    sleep(Duration::from_secs(10)).await;
    assert!((10..=50).contains(&zk.requests().sets), "{:?}", zk.requests());
    one.update(b"v3".to_vec()).unwrap();
    let updated = Instant::now();
    eventually("another update does not wait", || data(&zk, PATH) == "v3").await;
    assert!(updated.elapsed() <= Duration::from_millis(10), "took {:?}", updated.elapsed());
    another.abort();
}

#[tokio::test(start_paused = true)]
async fn what_happens_to_a_node_is_heard_while_an_update_is_refused() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let presence = process.own("v1");
    held(&presence).await;
    zk.refuse(PATH, true);
    zk.reset_requests();
    presence.update(b"v2".to_vec()).unwrap();
    let told = |now: &Status| matches!(now, Status::Held(held) if matches!(held.problem, Some(Error::Rejected { .. })));
    until(&mut presence.status(), "the refusal is told", told).await;
    sleep(Duration::from_secs(10)).await;
    assert!((2..=50).contains(&zk.requests().sets), "{:?}", zk.requests());
    for part in 0..20 {
        sleep(Duration::from_millis(part * 37)).await;
        let gone = Instant::now();
        zk.remove(PATH);
        zk.refuse(PATH, false);
        let session = process.client.session();
        eventually("it is restored", || zk.owner(PATH) == session).await;
        assert!(gone.elapsed() <= Duration::from_millis(5), "took {:?}", gone.elapsed());
        zk.refuse(PATH, true);
        presence.update(part.to_string().into_bytes()).unwrap();
        until(&mut presence.status(), "the refusal is told", told).await;
    }
    zk.disconnect(process.client.session().unwrap());
    let lost = |now: &Status| matches!(now, Status::Pending { .. });
    until(&mut presence.status(), "the connection is lost", lost).await;
    until(&mut presence.status(), "it is ours on the next one, and the refusal is told", told).await;
    zk.refuse(PATH, false);
    let written = |now: &Status| matches!(now, Status::Held(held) if held.problem.is_none());
    until(&mut presence.status(), "it is written", written).await;
    assert_eq!(data(&zk, PATH), "19");
}

#[tokio::test(start_paused = true)]
async fn however_often_others_write_it_is_written_over_in_the_end() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let presence = process.own("v1");
    held(&presence).await;
    zk.reset_requests();
    // Each time it looks again, and begins no pause anew.
    for count in 0..10_000 {
        zk.put(PATH, count.to_string());
        sleep(Duration::from_millis(1)).await;
    }
    let sets = zk.requests().sets;
    assert!((10..=50).contains(&sets), "{sets}");
}

#[tokio::test(start_paused = true)]
async fn a_node_without_owner_is_replaced_but_not_at_full_speed() {
    let zk = FakeZk::default();
    zk.put(PATH, "a leftover");
    let process = Process::start(&zk);
    let presence = process.own("v1");
    let session = held(&presence).await.session();
    assert_eq!(zk.owner(PATH), Some(session));
    let told = |now: &Status| matches!(now, Status::Pending { problem: Some(Error::Rejected { .. }) });
    for _ in 0..5 {
        let since = Instant::now();
        zk.remove(PATH);
        zk.put(PATH, "again");
        until(&mut presence.status(), "it is told", told).await;
        held(&presence).await;
        assert_eq!(zk.owner(PATH), Some(session));
        let after = since.elapsed();
        assert!((900..=2_000).contains(&after.as_millis()), "replaced after {after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_with_children_in_our_place_is_told_and_left_alone() {
    let zk = FakeZk::default();
    zk.put("/services/a/one/child", "");
    let process = Process::start(&zk);
    let presence = process.own("v1");
    let told = |now: &Status| matches!(now, Status::Pending { problem: Some(Error::Rejected { .. }) });
    until(&mut presence.status(), "it is told", told).await;
    assert!(zk.get("/services/a/one/child").is_some());
    zk.remove("/services/a/one");
    held(&presence).await;
}
