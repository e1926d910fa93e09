//! What a directory promises, on the fake with paused time.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{LIMIT, Process, eventually, until};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use zk_session::fake::FakeZk;
use zk_session::{Directory, Error, Options, SessionId, Source, State, View};

const DIR: &str = "/services/a";
const T: Duration = Duration::from_secs(4);

/// Entries are texts; "bad" cannot be read, and "hidden" is left out.
fn follow(process: &Process, options: Options) -> Directory<String> {
    let read = Arc::new(|name: &str, node: &zk_session::Node| match &*node.data {
        b"bad" => Err("it says so".to_owned()),
        b"hidden" => Ok(None),
        data => Ok(Some(format!("{name}={}", String::from_utf8_lossy(data)))),
    });
    Directory::follow(process.sessions(), DIR.to_owned(), options, read)
}

fn put(zk: &FakeZk, names: &[&str]) {
    for name in names {
        zk.put(&format!("{DIR}/{name}"), "1");
    }
}

fn remove(zk: &FakeZk, names: &[&str]) {
    for name in names {
        assert!(zk.remove(&format!("{DIR}/{name}")));
    }
}

fn names(view: &View<String>) -> Vec<&str> {
    view.entries.iter().map(|entry| entry.split('=').next().unwrap_or_default()).collect()
}

type Views = watch::Receiver<Option<View<String>>>;

async fn shows(views: &mut Views, live: bool, expected: &[&str]) {
    let what = format!("{} {expected:?}", if live { "live" } else { "stale" });
    until(views, &what, |view| {
        view.as_ref().is_some_and(|view| names(view) == expected && (view.source == Source::Live) == live)
    })
    .await;
}

fn session(process: &Process) -> SessionId {
    process.client.session().expect("connected")
}

/// Cuts a process off until its session is over, and lets it back.
async fn lose_session(zk: &FakeZk, process: &Process) {
    let before = session(process);
    process.client.set_reachable(false);
    eventually("the session expires", || !zk.sessions().contains(&before)).await;
    process.client.set_reachable(true);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_published_before_the_first_whole_list() {
    let zk = FakeZk::default();
    put(&zk, &["x", "y"]);
    zk.set_reachable(false);
    let process = Process::start(&zk);
    let directory = follow(&process, Options::default());
    sleep(Duration::from_secs(60)).await;
    assert!(directory.view().borrow().is_none());
    assert!(directory.entries().borrow().is_none());
    zk.set_reachable(true);
    let mut views = directory.view();
    let first = until(&mut views, "the first list", Option::is_some).await.unwrap();
    assert_eq!(names(&first), ["x", "y"]);
    assert_eq!(first.source, Source::Live);
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_does_not_exist_is_empty_and_may_come() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let directory = follow(&process, Options::default());
    let mut views = directory.view();
    shows(&mut views, true, &[]).await;
    put(&zk, &["x"]);
    shows(&mut views, true, &["x"]).await;
    zk.remove("/services");
    shows(&mut views, true, &[]).await;
    put(&zk, &["y"]);
    shows(&mut views, true, &["y"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_change_costs_one_notification_and_one_read_and_a_deletion_no_read() {
    let zk = FakeZk::default();
    put(&zk, &["x", "y", "z"]);
    let process = Process::start(&zk);
    let directory = follow(&process, Options::default());
    let mut views = directory.view();
    shows(&mut views, true, &["x", "y", "z"]).await;

    zk.reset_requests();
    put(&zk, &["w"]);
    shows(&mut views, true, &["w", "x", "y", "z"]).await;
    assert_eq!((zk.requests().total(), zk.requests().events), (1, 1), "one more: {:?}", zk.requests());

    zk.reset_requests();
    zk.put(&format!("{DIR}/w"), "2");
    until(&mut views, "the new data", |view| view.as_ref().unwrap().entries[0].as_str() == "w=2").await;
    assert_eq!((zk.requests().total(), zk.requests().events), (1, 1), "changed: {:?}", zk.requests());

    zk.reset_requests();
    remove(&zk, &["w"]);
    shows(&mut views, true, &["x", "y", "z"]).await;
    assert_eq!((zk.requests().total(), zk.requests().events), (0, 1), "deleted: {:?}", zk.requests());
}

#[tokio::test(start_paused = true)]
async fn a_cold_start_and_a_burst_are_read_in_batches() {
    const N: usize = 5000;
    let zk = FakeZk::default();
    for i in 0..N {
        zk.put(&format!("{DIR}/n{i:05}"), "1");
    }
    let process = Process::start(&zk);
    let directory = follow(&process, Options::default());
    let mut views = directory.view();
    until(&mut views, "all are there", |view| view.as_ref().is_some_and(|view| view.entries.len() == N))
        .await;
    assert!(zk.requests().total() <= N as u64 / 100 + 10, "{:?}", zk.requests());

    zk.reset_requests();
    zk.hold_watches(true);
    for i in 0..1000 {
        zk.put(&format!("{DIR}/n{i:05}"), "2");
    }
    zk.hold_watches(false);
    until(&mut views, "all are new", |view| view.as_ref().unwrap().entries[999].as_str() == "n00999=2").await;
    assert!(zk.requests().total() <= 20, "{:?}", zk.requests());
}

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
    process.client.set_reachable(true);
    let back = Instant::now();
    shows(&mut views, true, &["y"]).await;
    assert!(back.elapsed() < Duration::from_secs(1) + T / 4, "took {:?}", back.elapsed());
    assert_eq!(views.borrow().as_ref().unwrap().entries[0].as_str(), "y=2");
    assert_eq!(session(&process), before);
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
async fn dropped_it_asks_for_nothing_any_more() {
    let zk = FakeZk::default();
    put(&zk, &["x"]);
    let process = Process::start(&zk);
    let directory = follow(&process, Options::default());
    let mut views = directory.view();
    shows(&mut views, true, &["x"]).await;
    drop(directory);
    let closed = async { while views.changed().await.is_ok() {} };
    timeout(LIMIT, closed).await.expect("the channel is closed");
    zk.reset_requests();
    put(&zk, &["y"]);
    zk.disconnect_all();
    sleep(Duration::from_secs(10)).await;
    assert_eq!((zk.requests().total(), zk.requests().events), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_replaced_node_leaves_no_gap() {
    let zk = FakeZk::default();
    put(&zk, &["x", "y"]);
    let (process, other) = (Process::start(&zk), Process::start(&zk));
    let directory = follow(&process, Options::default());
    let mut views = directory.view();
    shows(&mut views, true, &["x", "y"]).await;
    let watching = tokio::spawn({
        let mut entries = directory.entries();
        async move {
            let mut lists = Vec::new();
            while entries.changed().await.is_ok() {
                let list = entries.borrow_and_update().clone().unwrap();
                lists.push(list.len());
                if list[0].as_str() == "x=50" {
                    return lists;
                }
            }
            lists
        }
    });
    let link = other.sessions().next().await.unwrap();
    for i in 1..=50 {
        let path = format!("{DIR}/x");
        let ops = [
            zk_session::Op::Delete { path: path.clone(), version: None },
            zk_session::Op::Create { path, data: i.to_string().into(), kind: zk_session::Kind::Ephemeral },
        ];
        link.commit(&ops).await.unwrap();
    }
    let lists = timeout(LIMIT, watching).await.unwrap().unwrap();
    assert!(lists.iter().all(|&len| len == 2), "{lists:?}");
}

#[tokio::test(start_paused = true)]
async fn a_bad_node_harms_only_itself_and_is_reported_once_for_each_version() {
    let zk = FakeZk::default();
    put(&zk, &["x", "y"]);
    zk.put(&format!("{DIR}/z"), "bad");
    let process = Process::start(&zk);
    let directory = follow(&process, Options::default());
    let mut views = directory.view();
    shows(&mut views, true, &["x", "y"]).await;
    let bad = views.borrow().as_ref().unwrap().bad.clone();
    assert_eq!((bad.len(), &*bad[0].path, &*bad[0].reason), (1, "/services/a/z", "it says so"));

    zk.disconnect(session(&process));
    shows(&mut views, false, &["x", "y"]).await;
    shows(&mut views, true, &["x", "y"]).await;
    assert_eq!(views.borrow().as_ref().unwrap().bad, bad, "the same version is the same report");

    zk.put(&format!("{DIR}/x"), "bad");
    shows(&mut views, true, &["y"]).await;
    zk.put(&format!("{DIR}/x"), "hidden");
    zk.put(&format!("{DIR}/z"), "good");
    shows(&mut views, true, &["y", "z"]).await;
    until(&mut views, "none is bad", |view| view.as_ref().unwrap().bad.is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_may_not_be_read_is_a_bad_node() {
    let zk = FakeZk::default();
    put(&zk, &["x", "y"]);
    zk.refuse_reads(&format!("{DIR}/x"), true);
    let process = Process::start(&zk);
    let directory = follow(&process, Options::default());
    let mut views = directory.view();
    shows(&mut views, true, &["y"]).await;
    assert_eq!(views.borrow().as_ref().unwrap().bad.len(), 1);
    zk.put(&format!("{DIR}/y"), "2");
    until(&mut views, "y goes on", |view| view.as_ref().unwrap().entries[0].as_str() == "y=2").await;

    // No watch tells that an ACL was changed.
    zk.reset_requests();
    sleep(Duration::from_secs(60)).await;
    assert!(zk.requests().total() <= 60, "{:?}", zk.requests());
    zk.refuse_reads(&format!("{DIR}/x"), false);
    let allowed = Instant::now();
    shows(&mut views, true, &["x", "y"]).await;
    assert!(allowed.elapsed() <= Duration::from_secs(3), "took {:?}", allowed.elapsed());
    assert!(views.borrow().as_ref().unwrap().bad.is_empty());
    zk.reset_requests();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(zk.requests().total(), 0, "nothing is looked at any more");
}

#[tokio::test(start_paused = true)]
async fn an_oversize_directory_is_told_and_the_last_list_stays_until_it_fits() {
    let zk = FakeZk::default();
    put(&zk, &["x", "y"]);
    let process = Process::start(&zk);
    let directory = follow(&process, Options { max_entries: 3, ..Options::default() });
    let (mut views, mut problem) = (directory.view(), directory.problem());
    shows(&mut views, true, &["x", "y"]).await;

    zk.hold_watches(true);
    put(&zk, &["a", "b", "c"]);
    zk.hold_watches(false);
    let oversize = |now: &Option<Error>| matches!(now, Some(Error::Oversize { found: 5, most: 3, .. }));
    until(&mut problem, "it is told", oversize).await;
    shows(&mut views, false, &["x", "y"]).await;
    zk.reset_requests();
    sleep(Duration::from_secs(60)).await;
    assert!(zk.requests().total() <= 200, "{:?}", zk.requests());
    assert_eq!(zk.requests().connects, 0);

    remove(&zk, &["a", "b"]);
    let fits = Instant::now();
    shows(&mut views, true, &["c", "x", "y"]).await;
    assert!(fits.elapsed() <= Duration::from_secs(3), "took {:?}", fits.elapsed());
    until(&mut problem, "the problem is over", Option::is_none).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_directory_is_told_and_retried_politely() {
    let zk = FakeZk::default();
    put(&zk, &["x"]);
    zk.refuse_reads(DIR, true);
    let process = Process::start(&zk);
    let directory = follow(&process, Options::default());
    until(&mut directory.problem(), "it is told", |now| matches!(now, Some(Error::Rejected { .. }))).await;
    zk.reset_requests();
    sleep(Duration::from_secs(60)).await;
    assert!(zk.requests().total() <= 5 * 120, "{:?}", zk.requests());
    zk.refuse_reads(DIR, false);
    shows(&mut directory.view(), true, &["x"]).await;
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
async fn grandchildren_are_not_children() {
    let zk = FakeZk::default();
    put(&zk, &["x"]);
    let process = Process::start(&zk);
    let directory = follow(&process, Options::default());
    let mut views = directory.view();
    shows(&mut views, true, &["x"]).await;
    put(&zk, &["x/below"]);
    put(&zk, &["y"]);
    shows(&mut views, true, &["x", "y"]).await;
}

#[tokio::test(start_paused = true)]
async fn the_top_of_the_tree_is_a_directory_too() {
    let zk = FakeZk::default();
    zk.put("/x", "good");
    zk.put("/y", "bad");
    let process = Process::start(&zk);
    let read = Arc::new(|name: &str, node: &zk_session::Node| match &*node.data {
        b"good" => Ok(Some(name.to_owned())),
        b"bad" => Err("it says so".to_owned()),
        _ => Ok(None),
    });
    let directory = Directory::follow(process.sessions(), "/".to_owned(), Options::default(), read);
    let mut views = directory.view();
    shows(&mut views, true, &["x"]).await;
    assert_eq!(views.borrow().as_ref().unwrap().bad[0].path, "/y");
    zk.put("/z", "good");
    shows(&mut views, true, &["x", "z"]).await;
}

#[tokio::test(start_paused = true)]
async fn notifications_of_a_replaced_node_that_arrive_apart_leave_no_gap_either() {
    let zk = FakeZk::default();
    put(&zk, &["x", "y"]);
    let process = Process::start(&zk);
    let directory = follow(&process, Options::default());
    let mut views = directory.view();
    shows(&mut views, true, &["x", "y"]).await;
    let mut entries = directory.entries();
    entries.mark_unchanged();
    remove(&zk, &["x"]);
    // Everybody runs until there is nothing left to do; only the time stands still.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    zk.put(&format!("{DIR}/x"), "2");
    let list = until(&mut entries, "the next list", |list| list.as_ref().unwrap()[0].as_str() != "x=1").await;
    assert_eq!(list.unwrap().iter().map(|entry| entry.as_str()).collect::<Vec<_>>(), ["x=2", "y=1"]);
}

#[tokio::test(start_paused = true)]
async fn the_last_one_is_missed_only_when_it_does_not_come_back_for_a_moment() {
    let zk = FakeZk::default();
    put(&zk, &["x"]);
    let process = Process::start(&zk);
    let directory = follow(&process, Options::default());
    let mut views = directory.view();
    shows(&mut views, true, &["x"]).await;
    let mut entries = directory.entries();
    entries.mark_unchanged();
    remove(&zk, &["x"]);
    sleep(Duration::from_millis(15)).await;
    zk.put(&format!("{DIR}/x"), "2");
    let list = until(&mut entries, "the next list", |list| {
        list.as_ref().unwrap().iter().all(|entry| *entry.as_str() != *"x=1")
    })
    .await;
    assert_eq!(list.unwrap().len(), 1, "no list was empty");
    remove(&zk, &["x"]);
    let gone = Instant::now();
    shows(&mut views, true, &[]).await;
    assert!(gone.elapsed() <= Duration::from_millis(25), "took {:?}", gone.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_deletion_among_others_is_not_held_up() {
    let zk = FakeZk::default();
    put(&zk, &["x", "y"]);
    let process = Process::start(&zk);
    let directory = follow(&process, Options::default());
    let mut views = directory.view();
    shows(&mut views, true, &["x", "y"]).await;
    remove(&zk, &["x"]);
    let gone = Instant::now();
    shows(&mut views, true, &["y"]).await;
    assert!(gone.elapsed() <= Duration::from_millis(3), "took {:?}", gone.elapsed());
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
