//! What holds for many presences in one process, on the fake with paused time.

mod common;

use std::time::Duration;

use common::{Process, eventually, held, until};
use tokio::time::{Instant, sleep};
use zk_session::fake::FakeZk;
use zk_session::{Error, Kind, MAX_DATA, Name, Presence, Spec, State, Status};

fn data(zk: &FakeZk, path: &str) -> String {
    zk.get(path).map(|node| String::from_utf8(node.data).expect("text")).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn many_are_made_in_few_requests_and_each_is_watched() {
    const N: usize = 2000;
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let all: Vec<_> = (0..N).map(|i| process.hold(Name::Own(format!("n{i}")), "v1")).collect();
    for presence in &all {
        held(presence).await;
    }
    assert!(zk.requests().total() <= N as u64 / 100 + 10, "{:?}", zk.requests());

    zk.remove("/services/a/n1234");
    eventually("it is restored", || zk.get("/services/a/n1234").is_some()).await;
    zk.put("/services/a/n1234", "vandal");
    eventually("it is ours again", || data(&zk, "/services/a/n1234") == "v1").await;

    zk.reset_requests();
    let session = held(&all[0]).await.session();
    zk.disconnect(session);
    for presence in &all {
        until(&mut presence.status(), "suspended", |now| matches!(now, Status::Pending { .. })).await;
    }
    for presence in &all {
        held(presence).await;
    }
    assert_eq!(zk.requests().writes(), 0);
    assert_eq!(zk.requests().syncs, 1, "no look before the server has caught up");
    assert!(zk.requests().total() <= N as u64 / 100 + 10, "{:?}", zk.requests());
}

#[tokio::test(start_paused = true)]
async fn those_of_one_directory_are_watched_together_where_they_are_more_than_a_few() {
    const N: usize = 100;
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let all: Vec<_> = (0..N).map(|i| process.hold(Name::Own(format!("n{i}")), "v1")).collect();
    for presence in &all {
        held(presence).await;
    }
    assert!(zk.requests().total() <= N as u64 / 100 + 10, "{:?}", zk.requests());
    assert!(zk.remove("/services/a/n42"));
    eventually("it is restored", || zk.get("/services/a/n42").is_some()).await;

    zk.reset_requests();
    zk.disconnect(held(&all[0]).await.session());
    until(&mut all[0].status(), "suspended", |now| matches!(now, Status::Pending { .. })).await;
    for presence in &all {
        held(presence).await;
    }
    assert_eq!(zk.requests().writes(), 0);
    assert!(zk.requests().total() <= N as u64 / 100 + 10, "{:?}", zk.requests());
}

#[tokio::test(start_paused = true)]
async fn those_of_one_directory_that_come_one_by_one_are_watched_together_too() {
    const N: usize = 100;
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let mut all = Vec::new();
    for i in 0..N {
        all.push(process.hold(Name::Own(format!("n{i}")), "v1"));
        held(&all[i]).await;
    }
    assert_eq!(zk.requests().creates, 2 + N as u64, "the parents, and each by itself");
    assert!(zk.requests().watches <= 11, "{:?}", zk.requests());
    for name in ["n0", "n9", "n10", "n99"] {
        let path = format!("/services/a/{name}");
        assert!(zk.remove(&path));
        eventually("it is restored", || zk.get(&path).is_some()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn some_among_many_others_are_not_told_of_them() {
    const N: usize = 40;
    let zk = FakeZk::default();
    let other = |i: usize| format!("/services/a/other{i}");
    (0..30 * N).for_each(|i| zk.put(&other(i), ""));
    let process = Process::start(&zk);
    let all: Vec<_> = (0..N).map(|i| process.hold(Name::Own(format!("n{i}")), "v1")).collect();
    for presence in &all {
        held(presence).await;
    }
    eventually("each is watched", || zk.requests().watches == N as u64).await;
    zk.reset_requests();
    (0..30 * N).for_each(|i| assert!(zk.remove(&other(i))));
    assert!(zk.remove("/services/a/n39"));
    eventually("it is restored", || zk.get("/services/a/n39").is_some()).await;
    assert!(zk.requests().events <= 2, "{:?}", zk.requests());
}

#[tokio::test(start_paused = true)]
async fn those_in_many_directories_are_not_told_of_others() {
    const N: usize = 100;
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let spec = |i: usize| Spec {
        directory: format!("/services/s{i}"),
        name: Name::Own("one".to_owned()),
        data: b"v1".to_vec(),
        parents: Kind::Container,
    };
    let all = Presence::hold_all(&process.sessions(), (0..N).map(spec).collect()).expect("little data");
    for presence in &all {
        held(presence).await;
    }
    eventually("each is watched", || zk.requests().watches == N as u64).await;
    zk.reset_requests();
    (0..N).for_each(|i| zk.put(&format!("/services/s{i}/other"), ""));
    assert!(zk.remove("/services/s42/one"));
    eventually("it is restored", || zk.get("/services/s42/one").is_some()).await;
    assert!(zk.requests().events <= 2, "{:?}", zk.requests());
}

#[tokio::test(start_paused = true)]
async fn a_node_on_its_way_while_it_gets_crowded_is_watched_too() {
    const FEW: usize = 500;
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    until(&mut process.sessions().state(), "connected", |now| matches!(now, State::Connected { .. })).await;
    zk.set_mute(true);
    let hold = |i: usize| process.hold(Name::Own(format!("n{i}")), "v1");
    let mut all: Vec<_> = (0..FEW).map(hold).collect();
    sleep(Duration::from_millis(1)).await;
    all.extend((FEW..2 * FEW).map(hold));
    zk.set_mute(false);
    for presence in &all {
        held(presence).await;
    }
    for name in ["n0", "n499", "n500", "n999"] {
        let path = format!("/services/a/{name}");
        assert!(zk.remove(&path));
        eventually("it is restored", || zk.get(&path).is_some()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_of_many_that_cannot_be_made_harms_only_itself() {
    const N: usize = 1000;
    let zk = FakeZk::default();
    zk.put("/services/a/n500/child", "");
    let process = Process::start(&zk);
    let all: Vec<_> = (0..N).map(|i| process.hold(Name::Own(format!("n{i}")), "v1")).collect();
    let started = Instant::now();
    for (i, presence) in all.iter().enumerate() {
        if i != 500 {
            held(presence).await;
        }
    }
    assert!(
        started.elapsed() <= Duration::from_millis(1),
        "nobody had to try again: {:?}",
        started.elapsed()
    );
    let told = |now: &Status| matches!(now, Status::Pending { problem: Some(Error::Rejected { .. }) });
    until(&mut all[500].status(), "it is told", told).await;
}

#[tokio::test(start_paused = true)]
async fn many_large_ones_share_no_request_that_is_too_large() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let large = "x".repeat(MAX_DATA / 2);
    let all: Vec<_> = (0..600).map(|i| process.hold(Name::Own(format!("n{i}")), &large)).collect();
    let started = Instant::now();
    for presence in &all {
        held(presence).await;
    }
    assert!(
        started.elapsed() <= Duration::from_millis(1),
        "nobody had to try again: {:?}",
        started.elapsed()
    );
    assert_eq!(zk.requests().creates, 3, "only the parents and the first one by one");
}
