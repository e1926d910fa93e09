//! What a directory promises after an outage, on the fake with paused time.

mod common;

use std::time::Duration;

use common::following::{DIR, T, follow, lose_session, names, put, remove, session, shows};
use common::{Process, until};
use tokio::time::{Instant, sleep};
use zk_session::fake::FakeZk;
use zk_session::{Options, Source, State, View};

#[tokio::test(start_paused = true)]
async fn what_was_missed_while_cut_off_in_the_same_session_is_the_truth_at_once() {
    let zk = FakeZk::with_timeout(T);
    put(&zk, &["x", "y"]);
    let process = Process::start(&zk);
    let directory = follow(&process, Options::default());
    let mut views = directory.view();
    shows(&mut views, true, &["x", "y"]).await;
    let before = session(&process);

    process.client.set_reachable(false);
    shows(&mut views, false, &["x", "y"]).await;
    remove(&zk, &["x"]);
    // The same name, another node: only its transaction tells.
    remove(&zk, &["y"]);
    zk.put(&format!("{DIR}/y"), "2");
    zk.reset_requests();
    process.client.set_reachable(true);
    let back = Instant::now();
    shows(&mut views, true, &["y"]).await;
    assert!(back.elapsed() < Duration::from_secs(1) + T / 4, "took {:?}", back.elapsed());
    assert_eq!(views.borrow().as_ref().unwrap().entries[0].as_str(), "y=2");
    assert_eq!(session(&process), before);
    assert_eq!(zk.requests().syncs, 1, "nothing is believed before the server has caught up");
}

#[tokio::test(start_paused = true)]
async fn without_zookeeper_the_last_list_stays_marked_stale_since_then() {
    let zk = FakeZk::default();
    put(&zk, &["x", "y"]);
    let process = Process::start(&zk);
    let directory = follow(&process, Options::default());
    let mut views = directory.view();
    shows(&mut views, true, &["x", "y"]).await;
    let mut entries = directory.entries();
    entries.mark_unchanged();
    let cut = Instant::now();
    zk.stop();
    shows(&mut views, false, &["x", "y"]).await;
    sleep(Duration::from_secs(3600)).await;
    let view = views.borrow().clone().unwrap();
    assert_eq!(view.source, Source::Stale { since: cut });
    assert_eq!(names(&view), ["x", "y"]);
    zk.start();
    shows(&mut views, true, &["x", "y"]).await;
    assert!(!entries.has_changed().unwrap(), "the same list is not sent again");
}

#[tokio::test(start_paused = true)]
async fn in_a_new_session_nobody_is_missed_before_the_timeout_has_passed() {
    let zk = FakeZk::with_timeout(T);
    put(&zk, &["x", "y", "z"]);
    let process = Process::start(&zk);
    let directory = follow(&process, Options::default());
    let mut views = directory.view();
    shows(&mut views, true, &["x", "y", "z"]).await;

    // All the other sessions are over as well, and come back one after the other.
    process.client.set_reachable(false);
    shows(&mut views, false, &["x", "y", "z"]).await;
    remove(&zk, &["x", "y", "z"]);
    let watching = tokio::spawn({
        let mut views = directory.view();
        async move {
            let mut smallest = usize::MAX;
            while views.borrow_and_update().as_ref().unwrap().source != Source::Live {
                smallest = smallest.min(views.borrow().as_ref().unwrap().entries.len());
                views.changed().await.unwrap();
            }
            smallest
        }
    });
    lose_session(&zk, &process).await;
    sleep(T / 2).await;
    zk.put(&format!("{DIR}/x"), "2");
    put(&zk, &["new"]);
    shows(&mut views, false, &["new", "x", "y", "z"]).await;
    until(&mut views, "x as it is now", |view| view.as_ref().unwrap().entries[1].as_str() == "x=2").await;
    // A replaced node is deleted and made again; one that is deleted now may be such a one.
    remove(&zk, &["x"]);
    sleep(T / 8).await;
    shows(&mut views, false, &["new", "x", "y", "z"]).await;
    put(&zk, &["x"]);
    shows(&mut views, true, &["new", "x"]).await;
    assert_eq!(watching.await.unwrap(), 3, "the list never shrank before");
}

#[tokio::test(start_paused = true)]
async fn an_entry_whose_change_could_not_be_read_is_not_missed_in_a_new_session() {
    let zk = FakeZk::with_timeout(T);
    let other = zk.stranger();
    for name in ["x", "y"] {
        zk.put_ephemeral(&format!("{DIR}/{name}"), "1", other);
    }
    let process = Process::start(&zk);
    let directory = follow(&process, Options::default());
    let mut views = directory.view();
    shows(&mut views, true, &["x", "y"]).await;

    // The change is told, and the session ends before it is read; so does that of the others.
    zk.put(&format!("{DIR}/x"), "2");
    zk.expire(session(&process));
    zk.expire(other);
    until(&mut process.sessions().state(), "connected", |now| matches!(now, State::Connected { .. })).await;
    shows(&mut views, false, &["x", "y"]).await;
    sleep(T / 2).await;
    shows(&mut views, false, &["x", "y"]).await;
    sleep(T).await;
    shows(&mut views, true, &[]).await;
}

#[tokio::test(start_paused = true)]
async fn the_list_converges_one_timeout_after_the_reconnect() {
    let zk = FakeZk::with_timeout(T);
    put(&zk, &["x", "y", "z"]);
    let process = Process::start(&zk);
    let directory = follow(&process, Options::default());
    let mut views = directory.view();
    shows(&mut views, true, &["x", "y", "z"]).await;
    process.client.set_reachable(false);
    shows(&mut views, false, &["x", "y", "z"]).await;
    remove(&zk, &["y"]);
    lose_session(&zk, &process).await;
    let mut state = process.sessions().state();
    until(&mut state, "reconnected", |now| matches!(now, State::Connected { .. })).await;
    let back = Instant::now();
    shows(&mut views, true, &["x", "z"]).await;
    assert!(back.elapsed() >= T - Duration::from_millis(100), "too early: {:?}", back.elapsed());
    assert!(back.elapsed() <= T + Duration::from_millis(100), "too late: {:?}", back.elapsed());
}

#[tokio::test(start_paused = true)]
async fn when_nobody_comes_back_the_list_is_empty_one_timeout_after_the_reconnect() {
    let zk = FakeZk::with_timeout(T);
    put(&zk, &["x", "y", "z"]);
    let process = Process::start(&zk);
    let directory = follow(&process, Options::default());
    let mut views = directory.view();
    shows(&mut views, true, &["x", "y", "z"]).await;
    process.client.set_reachable(false);
    shows(&mut views, false, &["x", "y", "z"]).await;
    remove(&zk, &["x", "y", "z"]);
    lose_session(&zk, &process).await;
    let mut state = process.sessions().state();
    until(&mut state, "reconnected", |now| matches!(now, State::Connected { .. })).await;
    let back = Instant::now();
    shows(&mut views, true, &[]).await;
    assert!(back.elapsed() >= T - Duration::from_millis(100), "too early: {:?}", back.elapsed());
    assert!(back.elapsed() <= T + Duration::from_millis(100), "too late: {:?}", back.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_grace_of_a_new_session_outlives_a_blip() {
    let zk = FakeZk::with_timeout(T);
    put(&zk, &["x", "y", "z"]);
    let process = Process::start(&zk);
    let directory = follow(&process, Options::default());
    let mut views = directory.view();
    shows(&mut views, true, &["x", "y", "z"]).await;
    process.client.set_reachable(false);
    shows(&mut views, false, &["x", "y", "z"]).await;
    remove(&zk, &["y"]);
    lose_session(&zk, &process).await;
    let mut state = process.sessions().state();
    until(&mut state, "reconnected", |now| matches!(now, State::Connected { .. })).await;
    sleep(T / 4).await;
    zk.disconnect(session(&process));
    let back = Instant::now();
    shows(&mut views, true, &["x", "z"]).await;
    assert!(back.elapsed() >= T / 2, "too early: {:?}", back.elapsed());
}

#[tokio::test(start_paused = true)]
async fn everything_vanishing_at_once_is_believed_only_in_a_calm_session() {
    let zk = FakeZk::with_timeout(T);
    put(&zk, &["x", "y"]);
    let process = Process::start(&zk);
    let directory = follow(&process, Options::default());
    let mut views = directory.view();
    shows(&mut views, true, &["x", "y"]).await;

    zk.disconnect(session(&process));
    shows(&mut views, false, &["x", "y"]).await;
    shows(&mut views, true, &["x", "y"]).await;
    zk.remove(DIR);
    let vanished = Instant::now();
    shows(&mut views, false, &["x", "y"]).await;
    put(&zk, &["new"]);
    shows(&mut views, false, &["new", "x", "y"]).await;
    assert!(vanished.elapsed() < Duration::from_secs(1), "a new one is there at once");
    shows(&mut views, true, &["new"]).await;
    assert!(vanished.elapsed() >= T / 2, "kept for the grace time, not {:?}", vanished.elapsed());
    assert!(vanished.elapsed() < T, "not for longer: {:?}", vanished.elapsed());

    // And again, should it happen again.
    put(&zk, &["x", "y"]);
    shows(&mut views, true, &["new", "x", "y"]).await;
    zk.disconnect(session(&process));
    shows(&mut views, false, &["new", "x", "y"]).await;
    shows(&mut views, true, &["new", "x", "y"]).await;
    zk.remove(DIR);
    shows(&mut views, false, &["new", "x", "y"]).await;
    shows(&mut views, true, &[]).await;

    put(&zk, &["x", "y"]);
    shows(&mut views, true, &["x", "y"]).await;
    sleep(2 * T).await;
    zk.remove(DIR);
    let vanished = Instant::now();
    shows(&mut views, true, &[]).await;
    assert!(vanished.elapsed() < Duration::from_secs(1));
}

/// One transaction is told in as many notifications as it deletes nodes, and a busy server sends them one by one.
#[tokio::test(start_paused = true)]
async fn what_vanishes_one_after_the_other_within_a_moment_vanishes_at_once() {
    for apart in [0, 1, 5, 30, 80].map(Duration::from_millis) {
        let zk = FakeZk::with_timeout(T);
        put(&zk, &["x", "y", "z"]);
        let process = Process::start(&zk);
        let directory = follow(&process, Options::default());
        let mut views = directory.view();
        shows(&mut views, true, &["x", "y", "z"]).await;
        zk.disconnect(session(&process));
        shows(&mut views, false, &["x", "y", "z"]).await;
        shows(&mut views, true, &["x", "y", "z"]).await;

        remove(&zk, &["x"]);
        sleep(apart).await;
        remove(&zk, &["y", "z"]);
        let vanished = Instant::now();
        let mut less = directory.entries();
        less.mark_unchanged();
        let shrinks = less.wait_for(|list| list.as_ref().is_some_and(|list| list.len() < 3));
        drop(shrinks.await.unwrap());
        assert!(vanished.elapsed() >= T / 2 - apart, "{apart:?} apart: {:?}", vanished.elapsed());
        shows(&mut views, true, &[]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_of_doubt_begins_with_the_session_and_not_with_each_try_to_read() {
    let zk = FakeZk::with_timeout(T);
    put(&zk, &["x", "y"]);
    let process = Process::start(&zk);
    let directory = follow(&process, Options::default());
    let mut views = directory.view();
    shows(&mut views, true, &["x", "y"]).await;
    zk.refuse_reads(DIR, true);
    lose_session(&zk, &process).await;
    until(&mut process.sessions().state(), "connected", |now| matches!(now, State::Connected { .. })).await;
    let back = Instant::now();
    remove(&zk, &["x"]);
    sleep(T * 3 / 4).await;
    zk.refuse_reads(DIR, false);
    shows(&mut views, true, &["y"]).await;
    let took = back.elapsed();
    assert!((T * 3 / 4..T + Duration::from_millis(50)).contains(&took), "took {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_restored_snapshot_is_followed() {
    let zk = FakeZk::with_timeout(T);
    put(&zk, &["x", "y"]);
    let snapshot = zk.snapshot();
    let process = Process::start(&zk);
    let directory = follow(&process, Options::default());
    let mut views = directory.view();
    shows(&mut views, true, &["x", "y"]).await;
    put(&zk, &["z"]);
    remove(&zk, &["x"]);
    shows(&mut views, true, &["y", "z"]).await;
    let rolled_back = Instant::now();
    zk.restore(&snapshot);
    shows(&mut views, true, &["x", "y"]).await;
    assert!(rolled_back.elapsed() <= T + Duration::from_secs(1), "took {:?}", rolled_back.elapsed());
}

#[tokio::test(start_paused = true)]
async fn after_a_rollback_a_node_with_an_old_transaction_number_is_read_anew() {
    let zk = FakeZk::with_timeout(T);
    put(&zk, &["x"]);
    let process = Process::start(&zk);
    let directory = follow(&process, Options::default());
    let mut views = directory.view();
    shows(&mut views, true, &["x"]).await;
    let snapshot = zk.snapshot();
    let write = |data: &str| {
        zk.put("/services/a/x", data);
        zk.get("/services/a/x").unwrap().stat
    };
    let before = write("before");
    let says = |expected: &'static str| {
        move |view: &Option<View<String>>| view.as_ref().is_some_and(|view| *view.entries[0] == expected)
    };
    until(&mut views, "the first write is here", says("x=before")).await;
    zk.restore(&snapshot);
    let after = write("after");
    assert_eq!((before.czxid, before.mzxid), (after.czxid, after.mzxid), "the numbers are given again");
    until(&mut views, "the second write is here", says("x=after")).await;
}
