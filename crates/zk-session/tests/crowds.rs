//! What holds for many presences in one process, on the fake with paused time.

mod common;

use std::time::Duration;

use common::{Process, Told, data, eventually, held, until};
use tokio::time::{Instant, sleep};
use zk_session::fake::FakeZk;
use zk_session::{Error, Kind, MAX_DATA, Name, Presence, Spec, State, Status};

/// So many presences in one directory, named by their numbers.
fn many(process: &Process, count: usize, data: &str) -> Vec<Presence> {
    (0..count).map(|number| process.hold(Name::Own(format!("n{number}")), data)).collect()
}

async fn all_held(all: &[Presence]) {
    for presence in all {
        held(presence).await;
    }
}

/// Somebody deletes a node, and its presence makes it again.
async fn comes_back(zk: &FakeZk, path: &str) {
    assert!(zk.remove(path));
    eventually("it is restored", || zk.get(path).is_some()).await;
}

fn assert_few_requests(zk: &FakeZk, presences: usize) {
    assert!(zk.requests().total() <= presences as u64 / 100 + 10, "{:?}", zk.requests());
}

/// Before a try is repeated there is a pause.
fn assert_nobody_tried_again(since: Instant) {
    assert!(since.elapsed() <= Duration::from_millis(1), "{:?}", since.elapsed());
}

fn is_refused(now: &Status) -> bool {
    matches!(now, Status::Pending { problem: Some(Error::Rejected { .. }) })
}

#[tokio::test(start_paused = true)]
async fn many_are_made_in_few_requests_and_each_is_watched() {
    const N: usize = 2000;
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let all = many(&process, N, "v1");
    all_held(&all).await;
    assert_few_requests(&zk, N);

    comes_back(&zk, "/services/a/n1234").await;
    zk.put("/services/a/n1234", "vandal");
    eventually("it is ours again", || data(&zk, "/services/a/n1234") == "v1").await;

    zk.reset_requests();
    let session = held(&all[0]).await.session();
    zk.disconnect(session);
    for presence in &all {
        until(&mut presence.status(), "suspended", |now| matches!(now, Status::Pending { .. })).await;
    }
    all_held(&all).await;
    assert_eq!(zk.requests().writes(), 0);
    assert_eq!(zk.requests().syncs, 1, "no look before the server has caught up");
    assert_few_requests(&zk, N);
}

#[tokio::test(start_paused = true)]
async fn those_of_one_directory_are_watched_together_where_they_are_more_than_a_few() {
    const N: usize = 100;
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let all = many(&process, N, "v1");
    all_held(&all).await;
    assert_few_requests(&zk, N);
    comes_back(&zk, "/services/a/n42").await;

    zk.reset_requests();
    zk.disconnect(held(&all[0]).await.session());
    until(&mut all[0].status(), "suspended", |now| matches!(now, Status::Pending { .. })).await;
    all_held(&all).await;
    assert_eq!(zk.requests().writes(), 0);
    assert_few_requests(&zk, N);
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
        comes_back(&zk, &format!("/services/a/{name}")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn some_among_many_others_are_not_told_of_them() {
    const N: usize = 40;
    let zk = FakeZk::default();
    let other = |i: usize| format!("/services/a/other{i}");
    (0..30 * N).for_each(|i| zk.put(&other(i), ""));
    let process = Process::start(&zk);
    let all = many(&process, N, "v1");
    all_held(&all).await;
    eventually("each is watched", || zk.requests().watches == N as u64).await;
    zk.reset_requests();
    (0..30 * N).for_each(|i| assert!(zk.remove(&other(i))));
    comes_back(&zk, "/services/a/n39").await;
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
    all_held(&all).await;
    eventually("each is watched", || zk.requests().watches == N as u64).await;
    zk.reset_requests();
    (0..N).for_each(|i| zk.put(&format!("/services/s{i}/other"), ""));
    comes_back(&zk, "/services/s42/one").await;
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
    all_held(&all).await;
    for name in ["n0", "n499", "n500", "n999"] {
        comes_back(&zk, &format!("/services/a/{name}")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_of_many_that_cannot_be_made_harms_only_itself() {
    const N: usize = 1000;
    let zk = FakeZk::default();
    zk.put("/services/a/n500/child", "");
    let process = Process::start(&zk);
    let all = many(&process, N, "v1");
    let started = Instant::now();
    for (i, presence) in all.iter().enumerate() {
        if i != 500 {
            held(presence).await;
        }
    }
    assert_nobody_tried_again(started);
    until(&mut all[500].status(), "it is told", is_refused).await;
}

#[tokio::test(start_paused = true)]
async fn many_large_ones_share_no_request_that_is_too_large() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let large = "x".repeat(MAX_DATA / 2);
    let all = many(&process, 600, &large);
    let started = Instant::now();
    all_held(&all).await;
    assert_nobody_tried_again(started);
    assert_eq!(zk.requests().creates, 3, "only the parents and the first one by one");
}

#[tokio::test(start_paused = true)]
async fn however_many_are_refused_a_server_is_asked_politely() {
    const N: usize = 1_000;
    // A directory that may not be made is asked for once for all of them.
    for (there, most) in [(false, 5), (true, 3 * N as u64)] {
        let zk = FakeZk::default();
        if there {
            zk.put("/services/a", "");
        }
        zk.refuse("/services", true);
        let process = Process::start(&zk);
        let all = many(&process, N, "v1");
        for presence in &all {
            until(&mut presence.status(), "the refusal is told", is_refused).await;
        }
        sleep(Duration::from_secs(1)).await;
        for _ in 0..10 {
            zk.reset_requests();
            sleep(Duration::from_secs(1)).await;
            let asked = zk.requests();
            assert!((1..=most).contains(&asked.writes()), "{there}: {asked:?}");
        }
        zk.refuse("/services", false);
        let allowed = Instant::now();
        all_held(&all).await;
        assert!(allowed.elapsed() <= Duration::from_secs(2), "took {:?}", allowed.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn who_may_be_made_does_not_wait_because_others_may_not() {
    const REFUSED: usize = 100;
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    (0..=REFUSED).for_each(|number| zk.refuse(&format!("/services/a/n{number}"), true));
    let mut all = many(&process, REFUSED + 1, "v1");
    for presence in &all {
        until(&mut presence.status(), "the refusal is told", is_refused).await;
    }
    // Singly and with others, one that was never refused and one that was.
    for round in 0..20 {
        let begun = Instant::now();
        let one = process.hold(Name::Own(format!("one{round}")), "v1");
        let spec = |number: usize| Spec {
            directory: "/services/a".to_owned(),
            name: Name::Own(format!("many{round}-{number}")),
            data: b"v1".to_vec(),
            parents: Kind::Container,
        };
        let some = (0..20).map(spec).collect();
        let some = Presence::hold_all(&process.sessions(), some).expect("all are good");
        held(&one).await;
        all_held(&some).await;
        assert!(begun.elapsed() <= Duration::from_millis(1), "took {:?}", begun.elapsed());
        sleep(Duration::from_millis(70)).await;
    }
    zk.refuse(&format!("/services/a/n{REFUSED}"), false);
    let allowed = Instant::now();
    held(&all.remove(REFUSED)).await;
    assert!(allowed.elapsed() <= Duration::from_secs(1), "took {:?}", allowed.elapsed());
    let refused = all.iter().filter(|one| is_refused(&one.status().borrow())).count();
    assert_eq!(refused, REFUSED);
}

#[tokio::test(start_paused = true)]
async fn what_another_had_there_until_ours_was_made_is_no_loss_of_ours() {
    const N: usize = 600;
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let all = many(&process, N, "v1");
    all_held(&all).await;
    let dead = zk.stranger();
    zk.put_ephemeral("/services/a/late", "dead", dead);
    zk.set_mute(true);
    let late = process.hold(Name::Own("late".to_owned()), "v1");
    let deleted = Told::missing(&late);
    // It is on its way when the other one goes.
    sleep(Duration::from_millis(1)).await;
    zk.expire(dead);
    zk.set_mute(false);
    held(&late).await;
    sleep(Duration::from_secs(1)).await;
    assert!(!deleted.ever(), "nobody deleted ours");
    comes_back(&zk, "/services/a/late").await;
    assert!(deleted.ever());
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_again_and_again_is_told_once() {
    const N: usize = 60;
    for together in [false, true] {
        let zk = FakeZk::default();
        zk.put("/services/a", "");
        zk.refuse("/services/a", true);
        let process = Process::start(&zk);
        let spec = |number: usize| Spec {
            directory: "/services/a".to_owned(),
            name: Name::Own(format!("n{number}")),
            data: b"v1".to_vec(),
            parents: Kind::Container,
        };
        let all = match together {
            true => {
                Presence::hold_all(&process.sessions(), (0..N).map(spec).collect()).expect("all are good")
            }
            false => many(&process, N, "v1"),
        };
        let mut told: Vec<_> = all.iter().map(Presence::status).collect();
        for (number, status) in told.iter_mut().enumerate() {
            let Status::Pending { problem: Some(problem) } = until(status, "it is told", is_refused).await
            else {
                panic!("{status:?}")
            };
            let what =
                if together { "a node in /services/a".to_owned() } else { format!("/services/a/n{number}") };
            assert!(problem.to_string().ends_with(&format!("not authorized to create {what}")), "{problem}");
            status.mark_unchanged();
        }
        zk.reset_requests();
        sleep(Duration::from_secs(10)).await;
        assert!(zk.requests().writes() >= 5, "it is tried again: {:?}", zk.requests());
        let changed = told.iter().filter(|status| status.has_changed().expect("it is kept")).count();
        assert_eq!(changed, 0, "{together}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_directory_is_watched_no_longer_than_something_is_kept_in_it() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    zk.put("/services/a", "");
    for _ in 0..3 {
        let mut all = many(&process, 40, "v1");
        all_held(&all).await;
        let heard = || {
            zk.reset_requests();
            zk.put("/services/a/other", "");
            zk.put("/services/a/other", "changed");
            zk.requests().events
        };
        let last = all.pop();
        drop(all);
        eventually("one is left", || {
            zk.children("/services/a").iter().filter(|name| **name != "other").count() == 1
        })
        .await;
        sleep(Duration::from_secs(1)).await;
        assert!(heard() > 0, "it is watched for that one");
        drop(last);
        eventually("all are gone", || zk.children("/services/a") == ["other"]).await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(heard(), 0, "nobody is told");
    }
}
