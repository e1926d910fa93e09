//! What a directory promises while all is well, on the fake with paused time.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::following::{DIR, follow, names, put, remove, session, shows};
use common::{LIMIT, Process, eventually, until};
use tokio::time::{Instant, sleep, timeout};
use zk_session::fake::FakeZk;
use zk_session::{Directory, Error, Options, Source};

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
async fn a_node_whose_path_is_too_long_to_be_sent_is_a_bad_node() {
    let zk = FakeZk::default();
    put(&zk, &["one"]);
    let process = Process::start(&zk);
    let directory = follow(&process, Options::default());
    let mut views = directory.view();
    shows(&mut views, true, &["one"]).await;
    let long = format!("{DIR}/{}", "x".repeat(5000));
    zk.put(&long, "1");
    put(&zk, &["two"]);
    remove(&zk, &["one"]);
    shows(&mut views, true, &["two"]).await;
    let bad = views.borrow().as_ref().unwrap().bad.clone();
    assert_eq!(bad.len(), 1);
    assert!(bad[0].path == long && bad[0].reason.contains("it has 5012 bytes"), "{}", bad[0].reason);

    // Whoever comes later reads it among others.
    let late = follow(&process, Options::default());
    shows(&mut late.view(), true, &["two"]).await;
    assert_eq!(late.view().borrow().as_ref().unwrap().bad.len(), 1);

    // It costs nothing while nothing happens.
    zk.reset_requests();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(zk.requests().total(), 0, "{:?}", zk.requests());
    assert!(zk.remove(&long));
    until(&mut views, "none is bad", |view| view.as_ref().unwrap().bad.is_empty()).await;
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

    // Right after somebody has looked.
    let looked = zk.requests().exists;
    eventually("it is looked at", || zk.requests().exists > looked).await;
    sleep(Duration::from_millis(1)).await;
    remove(&zk, &["a", "b"]);
    let fits = Instant::now();
    shows(&mut views, true, &["c", "x", "y"]).await;
    assert!(fits.elapsed() <= Duration::from_secs(3), "took {:?}", fits.elapsed());
    until(&mut problem, "the problem is over", Option::is_none).await;
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_outgrows_its_limit_between_two_looks_is_not_published() {
    let zk = FakeZk::default();
    put(&zk, &["x", "y"]);
    let process = Process::start(&zk);
    let directory = follow(&process, Options { max_entries: 3, ..Options::default() });
    timeout(LIMIT, zk.until(|zk| zk.requests().exists == 1)).await.expect("its size is asked for");
    put(&zk, &["a", "b"]);
    let oversize = |now: &Option<Error>| matches!(now, Some(Error::Oversize { found: 4, most: 3, .. }));
    until(&mut directory.problem(), "it is told", oversize).await;
    assert!(directory.view().borrow().is_none());
    remove(&zk, &["x"]);
    shows(&mut directory.view(), true, &["a", "b", "y"]).await;
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
    assert!(gone.elapsed() <= Duration::from_millis(1), "took {:?}", gone.elapsed());

    // Nor that of the last one when another comes.
    zk.hold_watches(true);
    remove(&zk, &["y"]);
    put(&zk, &["z"]);
    zk.hold_watches(false);
    let replaced = Instant::now();
    shows(&mut views, true, &["z"]).await;
    assert!(replaced.elapsed() <= Duration::from_millis(1), "took {:?}", replaced.elapsed());
}
