//! What holds for presences that were wanted together, on the fake with paused time: all that does for one, and few requests.

mod common;

use std::time::Duration;

use common::{LIMIT, Process, Told, eventually, held, pending, until};
use tokio::runtime::Handle;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};
use zk_session::fake::FakeZk;
use zk_session::{Error, Kind, MAX_DATA, Name, Presence, SessionId, Spec, State, Status};

/// Enough of them to be watched together, and for several transactions.
const N: usize = 1_200;

fn hold_all(process: &Process, count: usize, data: &[u8]) -> Vec<Presence> {
    let spec = |number| Spec {
        directory: "/services/a".to_owned(),
        name: Name::Own(format!("n{number}")),
        data: data.to_vec(),
        parents: Kind::Container,
    };
    Presence::hold_all(&process.sessions(), (0..count).map(spec).collect()).expect("all are good")
}

fn path(number: usize) -> String {
    format!("/services/a/n{number}")
}

fn data(zk: &FakeZk, number: usize) -> Option<String> {
    zk.get(&path(number)).map(|node| String::from_utf8(node.data).expect("text"))
}

fn czxids(zk: &FakeZk) -> Vec<Option<i64>> {
    (0..N).map(|number| zk.get(&path(number)).map(|node| node.stat.czxid)).collect()
}

async fn all_held(all: &[Presence]) -> SessionId {
    for presence in all {
        held(presence).await;
    }
    held(&all[0]).await.session()
}

async fn another_session(process: &Process, before: SessionId) {
    let another = |now: &State| matches!(now, State::Connected { id, .. } if *id != before);
    until(&mut process.sessions().state(), "in another session", another).await;
}

#[tokio::test(start_paused = true)]
async fn they_are_made_found_again_and_made_anew_in_few_requests() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let all = hold_all(&process, N, b"v1");
    let session = all_held(&all).await;
    let asked = zk.requests();
    assert_eq!((asked.creates, asked.multis, asked.watches), (2, 3, 1), "{asked:?}");
    assert!(asked.total() <= 12, "{asked:?}");

    let made = czxids(&zk);
    zk.reset_requests();
    zk.disconnect(session);
    pending(&all[N - 1]).await;
    assert_eq!(all_held(&all).await, session);
    let asked = zk.requests();
    assert_eq!((asked.writes(), asked.syncs), (0, 1), "no look before the server has caught up: {asked:?}");
    assert!(asked.total() <= N as u64 / 100 + 5, "{asked:?}");
    assert_eq!(czxids(&zk), made);

    zk.reset_requests();
    zk.expire(session);
    another_session(&process, session).await;
    assert_ne!(all_held(&all).await, session);
    let asked = zk.requests();
    assert_eq!((asked.multis, asked.batches, asked.gets, asked.syncs), (3, 0, 0, 0), "{asked:?}");
    assert!(czxids(&zk).iter().all(|czxid| czxid.is_some() && !made.contains(czxid)));
}

#[tokio::test(start_paused = true)]
async fn those_that_are_well_take_no_task_each() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    process.sessions().next().await.expect("connected");
    let before = Handle::current().metrics().num_alive_tasks();
    let all = hold_all(&process, N, b"v1");
    all_held(&all).await;
    let tasks = Handle::current().metrics().num_alive_tasks() - before;
    assert!(tasks <= 2, "{tasks} tasks");
    drop(all);
    eventually("all are gone", || zk.children("/services/a").is_empty()).await;
    eventually("so are the tasks", || Handle::current().metrics().num_alive_tasks() <= before + 2).await;
}

#[tokio::test(start_paused = true)]
async fn what_happens_to_one_is_seen_to_and_no_other_is_touched() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let mut all = hold_all(&process, N, b"v1");
    let session = all_held(&all).await;
    let before = czxids(&zk);

    zk.set_mute(true);
    zk.remove(&path(1));
    until(&mut all[1].status(), "missing", |now| matches!(now, Status::Missing)).await;
    zk.set_mute(false);
    eventually("it is restored", || data(&zk, 1).as_deref() == Some("v1")).await;
    zk.put(&path(2), "vandal");
    eventually("it is ours again", || data(&zk, 2).as_deref() == Some("v1")).await;
    all[3].update(b"v2".to_vec()).expect("it is wanted");
    eventually("it is written in place", || data(&zk, 3).as_deref() == Some("v2")).await;
    let (dropped, withdrawn) = (all.remove(5), all.remove(4));
    drop(dropped);
    timeout(LIMIT, withdrawn.withdraw()).await.expect("in time");
    eventually("both are gone", || [4, 5].iter().all(|number| data(&zk, *number).is_none())).await;
    let after = czxids(&zk);
    let touched: Vec<_> = (0..N).filter(|number| after[*number] != before[*number]).collect();
    assert_eq!(touched, [1, 4, 5]);

    // What came of that is what there is in the next session, too.
    zk.expire(session);
    another_session(&process, session).await;
    all_held(&all).await;
    sleep(LIMIT).await;
    for (number, expected) in [(1, Some("v1")), (3, Some("v2")), (4, None), (5, None), (N - 1, Some("v1"))] {
        assert_eq!(data(&zk, number).as_deref(), expected, "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_whose_place_a_newer_process_took_is_replaced_alone() {
    for while_away in [false, true] {
        let zk = FakeZk::default();
        let process = Process::start(&zk);
        let all = hold_all(&process, N, b"older");
        let session = all_held(&all).await;
        if while_away {
            process.client.set_reachable(false);
            zk.expire(session);
        }
        let newer = Process::start(&zk);
        let one = newer.hold(Name::Own("n700".to_owned()), "newer");
        held(&one).await;
        process.client.set_reachable(true);
        until(&mut all[700].status(), "it is told", |now| matches!(now, Status::Replaced)).await;
        for number in (0..N).filter(|number| *number != 700) {
            held(&all[number]).await;
        }
        sleep(LIMIT).await;
        assert_eq!(data(&zk, 700).as_deref(), Some("newer"));
        assert_eq!(zk.children("/services/a").len(), N);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_process_that_is_back_with_an_older_state_of_the_servers_replaces_none() {
    let zk = FakeZk::default();
    let old = Process::start(&zk);
    let before = hold_all(&old, N, b"old");
    let session = all_held(&before).await;
    let earlier = zk.snapshot();
    old.client.set_reachable(false);
    zk.expire(session);
    let new = Process::start(&zk);
    let all = hold_all(&new, N, b"new");
    let lost = all_held(&all).await;
    zk.restore(&earlier);
    another_session(&new, lost).await;
    sleep(Duration::from_secs(12)).await;
    assert_ne!(all_held(&all).await, lost);
    for number in 0..N {
        assert_eq!(data(&zk, number).as_deref(), Some("new"), "{number}");
        assert_eq!(zk.owner(&path(number)), new.client.session(), "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_be_made_harms_only_itself() {
    let zk = FakeZk::default();
    zk.put("/services/a/n500/child", "");
    let process = Process::start(&zk);
    let started = Instant::now();
    let all = hold_all(&process, N, b"v1");
    for number in (0..N).filter(|number| *number != 500) {
        held(&all[number]).await;
    }
    assert!(
        started.elapsed() <= Duration::from_millis(1),
        "nobody had to try again: {:?}",
        started.elapsed()
    );
    let told = |now: &Status| matches!(now, Status::Pending { problem: Some(Error::Rejected { .. }) });
    until(&mut all[500].status(), "it is told", told).await;
    zk.remove("/services/a/n500");
    held(&all[500]).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_process_left_is_replaced() {
    let zk = FakeZk::default();
    let dead = zk.stranger();
    (0..N).step_by(3).for_each(|number| zk.put_ephemeral(&path(number), "dead", dead));
    let process = Process::start(&zk);
    let all = hold_all(&process, N, b"v1");
    let session = all_held(&all).await;
    zk.expire(dead);
    sleep(LIMIT).await;
    assert!((0..N).all(|number| zk.owner(&path(number)) == Some(session)));
}

#[tokio::test(start_paused = true)]
async fn lost_answers_leave_each_once() {
    for lost in 1..=3 {
        let zk = FakeZk::default();
        zk.put("/services/a", "");
        let process = Process::start(&zk);
        (0..lost).for_each(|_| zk.lose_next_reply());
        let all = hold_all(&process, N, b"v1");
        all_held(&all).await;
        assert_eq!(zk.children("/services/a").len(), N);
        assert_eq!(zk.requests().multis, 3, "those that were made are found: {:?}", zk.requests());
    }
}

#[tokio::test(start_paused = true)]
async fn those_whose_making_did_not_arrive_are_made_and_nobody_is_said_to_have_deleted_them() {
    let zk = FakeZk::default();
    zk.put("/services/a", "");
    let process = Process::start(&zk);
    zk.drop_next_request();
    let all = hold_all(&process, N, b"v1");
    let mut deleted = all[0].status();
    let told = tokio::spawn(async move {
        deleted.wait_for(|now| matches!(now, Status::Missing)).await.map(|_| ()).is_ok()
    });
    all_held(&all).await;
    assert_eq!(zk.children("/services/a").len(), N);
    assert!(zk.requests().connects >= 2, "{:?}", zk.requests());
    drop(all);
    assert!(!told.await.expect("no panic"), "it was said to be missing");
}

#[tokio::test(start_paused = true)]
async fn whatever_is_wanted_of_one_at_any_moment_is_done() {
    for yields in 0..60 {
        let zk = FakeZk::default().with_seed(yields);
        let process = Process::start(&zk);
        let mut all = hold_all(&process, 30, b"v1");
        for _ in 0..yields {
            yield_now().await;
        }
        drop(all.remove(9));
        all[8].update(b"v2".to_vec()).expect("it is wanted");
        timeout(LIMIT, all.remove(7).withdraw()).await.expect("withdrawn in time");
        assert_eq!(zk.get(&path(7)), None, "after {yields} steps");
        eventually("it is written", || data(&zk, 8).as_deref() == Some("v2")).await;
        all_held(&all).await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(zk.children("/services/a").len(), 28, "after {yields} steps and a second");
        assert_eq!([7, 9].map(|number| data(&zk, number)), [None, None]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_wanted_of_one_while_the_server_does_not_answer_is_done_when_it_does() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    process.sessions().next().await.expect("connected");
    zk.set_mute(true);
    let mut all = hold_all(&process, N, b"v1");
    sleep(Duration::from_millis(1)).await;
    all[1].update(b"v2".to_vec()).expect("it is wanted");
    drop(all.remove(0));
    zk.set_mute(false);
    all_held(&all).await;
    eventually("it is written", || data(&zk, 1).as_deref() == Some("v2")).await;
    eventually("it is gone", || data(&zk, 0).is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn the_latest_data_wins_and_what_was_withdrawn_stays_away_also_while_cut_off() {
    for away in [Duration::from_secs(1), Duration::from_secs(30)] {
        let zk = FakeZk::default();
        let process = Process::start(&zk);
        let mut all = hold_all(&process, N, b"v1");
        all_held(&all).await;
        process.client.set_reachable(false);
        pending(&all[0]).await;
        for version in ["v3", "v4", "v5"] {
            all[1].update(version.as_bytes().to_vec()).expect("it is wanted");
        }
        let withdrawal = tokio::spawn(all.remove(0).withdraw());
        sleep(away).await;
        process.client.set_reachable(true);
        timeout(LIMIT, withdrawal).await.expect("in time").expect("no panic");
        all_held(&all).await;
        eventually("the latest is there", || data(&zk, 1).as_deref() == Some("v5")).await;
        sleep(LIMIT).await;
        assert_eq!(data(&zk, 0), None);
        assert_eq!(zk.children("/services/a").len(), N - 1);
    }
}

#[tokio::test(start_paused = true)]
async fn those_that_come_after_others_under_the_same_names_wait_for_their_end() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let first = hold_all(&process, N, b"first");
    all_held(&first).await;
    process.client.set_reachable(false);
    drop(first);
    let second = hold_all(&process, N, b"second");
    process.client.set_reachable(true);
    all_held(&second).await;
    sleep(LIMIT).await;
    assert_eq!(zk.children("/services/a").len(), N);
    assert!((0..N).all(|number| data(&zk, number).as_deref() == Some("second")));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_to_all_and_asked_for_once() {
    let zk = FakeZk::default();
    zk.refuse("/services", true);
    let process = Process::start(&zk);
    let all = hold_all(&process, N, b"v1");
    let told = |now: &Status| matches!(now, Status::Pending { problem: Some(Error::Rejected { .. }) });
    for presence in &all {
        until(&mut presence.status(), "the refusal is told", told).await;
    }
    zk.reset_requests();
    sleep(Duration::from_secs(10)).await;
    assert!((1..=50).contains(&zk.requests().creates), "{:?}", zk.requests());
    zk.refuse("/services", false);
    let allowed = Instant::now();
    all_held(&all).await;
    assert!(allowed.elapsed() <= Duration::from_secs(2), "took {:?}", allowed.elapsed());
}

#[tokio::test(start_paused = true)]
async fn some_among_many_others_are_not_told_of_them() {
    const SOME: usize = 40;
    let zk = FakeZk::default();
    let other = |number: usize| format!("/services/a/other{number}");
    (0..30 * SOME).for_each(|number| zk.put(&other(number), ""));
    let process = Process::start(&zk);
    let all = hold_all(&process, SOME, b"v1");
    all_held(&all).await;
    eventually("each is watched", || zk.requests().watches == SOME as u64).await;
    zk.reset_requests();
    (0..30 * SOME).for_each(|number| assert!(zk.remove(&other(number))));
    assert!(zk.remove(&path(39)));
    eventually("it is restored", || zk.get(&path(39)).is_some()).await;
    assert!(zk.requests().events <= 2, "{:?}", zk.requests());
}

#[tokio::test(start_paused = true)]
async fn large_ones_share_no_request_that_is_too_large() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let started = Instant::now();
    let all = hold_all(&process, 600, &[b'x'; MAX_DATA / 2]);
    all_held(&all).await;
    assert!(
        started.elapsed() <= Duration::from_millis(1),
        "nobody had to try again: {:?}",
        started.elapsed()
    );
    assert_eq!(zk.requests().creates, 2, "the parents alone one by one");
}

#[tokio::test(start_paused = true)]
async fn when_the_keeper_is_closed_all_are_told() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let all = hold_all(&process, N, b"v1");
    all_held(&all).await;
    process.keeper.close().await;
    for presence in all {
        timeout(LIMIT, presence.gone()).await.expect("told in time");
        assert!(matches!(*presence.status().borrow(), Status::Gone));
        assert!(presence.update(Vec::new()).is_ok(), "nobody withdrew it");
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_withdrawn_does_not_wait_until_the_others_can_be_made() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let mut all = hold_all(&process, 40, b"v1");
    let session = all_held(&all).await;
    process.client.set_reachable(false);
    zk.expire(session);
    assert!(zk.remove("/services/a"));
    zk.refuse("/services", true);
    process.client.set_reachable(true);
    let told = |now: &Status| matches!(now, Status::Pending { problem: Some(Error::Rejected { .. }) });
    until(&mut all[0].status(), "the refusal is told", told).await;
    timeout(LIMIT, all.remove(0).withdraw()).await.expect("withdrawn in time");
}

#[tokio::test(start_paused = true)]
async fn no_directory_is_made_for_those_that_are_not_wanted_any_more() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    process.client.set_reachable(false);
    drop(hold_all(&process, 40, b"v1"));
    process.client.set_reachable(true);
    let connected = |now: &State| matches!(now, State::Connected { .. });
    until(&mut process.sessions().state(), "connected", connected).await;
    sleep(LIMIT).await;
    assert_eq!((zk.get("/services"), zk.requests().creates), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn of_whom_something_else_is_wanted_as_the_connection_goes_is_not_said_to_be_held() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let all = hold_all(&process, 40, b"v1");
    all_held(&all).await;
    for one in &all[..20] {
        one.update(b"v2".to_vec()).expect("it is wanted");
    }
    process.client.set_reachable(false);
    for one in &all {
        pending(one).await;
    }
    process.client.set_reachable(true);
    all_held(&all).await;
    eventually("what is wanted is there", || data(&zk, 19).as_deref() == Some("v2")).await;
}

#[tokio::test(start_paused = true)]
async fn who_is_withdrawn_while_others_are_made_does_not_wait_for_them() {
    const MANY: usize = 20_000;
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let mut all = hold_all(&process, MANY, b"v1");
    held(&all[0]).await;
    drop(all.remove(0));
    while zk.get(&path(0)).is_some() {
        yield_now().await;
    }
    assert!(zk.children("/services/a").len() < MANY - 1, "others are made still");
    all_held(&all).await;
}

#[tokio::test(start_paused = true)]
async fn what_happens_to_them_is_taken_in_at_once_however_busy_those_are_who_keep_them() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let mut all = hold_all(&process, 40, b"v1");
    let (directory, parents) = ("/services/a".to_owned(), Kind::Container);
    let spec = Spec { directory, name: Name::Own("n40".to_owned()), data: b"v1".to_vec(), parents };
    all.push(Presence::hold(process.sessions(), spec).expect("it is good"));
    all_held(&all).await;
    // Nobody who keeps one has a turn meanwhile.
    for number in 0..10_000 {
        zk.put(&path(number % 50), "vandal");
        assert_eq!(zk.events_waiting(), 0, "after {number}");
    }
    eventually("all are ours again", || (0..=40).all(|number| data(&zk, number).as_deref() == Some("v1")))
        .await;
    all_held(&all).await;
}

#[tokio::test(start_paused = true)]
async fn those_that_are_there_are_held_all_the_time_while_others_are_refused() {
    const REFUSED: usize = 700;
    let directory = "/services/a";
    for may_look in [true, false] {
        let zk = FakeZk::default();
        let refuse = |refused| match may_look {
            true => zk.refuse(directory, refused),
            // To make sure that it is there is refused, too.
            false => zk.refuse_reads_at(directory, refused),
        };
        let process = Process::start(&zk);
        let mut all = hold_all(&process, N, b"v1");
        let session = all_held(&all).await;
        let tasks = Handle::current().metrics().num_alive_tasks();
        process.client.set_reachable(false);
        pending(&all[0]).await;
        (0..REFUSED).for_each(|number| assert!(zk.remove(&path(number))));
        refuse(true);
        process.client.set_reachable(true);
        let refused = |now: &Status| matches!(now, Status::Pending { problem: Some(Error::Rejected { .. }) });
        for one in &all[..REFUSED] {
            until(&mut one.status(), "the refusal is told", refused).await;
        }
        for one in &all[REFUSED..] {
            assert_eq!(held(one).await.session(), session);
        }
        let lost: Vec<_> =
            all[REFUSED..].iter().map(|one| Told::of(one, |now| !matches!(now, Status::Held(_)))).collect();
        let wavers = Told::of(&all[1], move |now| !refused(now));
        zk.reset_requests();
        sleep(Duration::from_secs(10)).await;
        assert!(!lost.iter().any(Told::ever) && !wavers.ever());
        let asked = zk.requests();
        assert!((5..=50).contains(&asked.total()), "it is tried again, and politely: {asked:?}");

        // Who is withdrawn does not wait for the others, nor for his turn.
        let begun = Instant::now();
        all.remove(0).withdraw().await;
        assert!(begun.elapsed() <= Duration::from_millis(1), "took {:?}", begun.elapsed());
        drop((lost, wavers));
        eventually("no task is left of that", || Handle::current().metrics().num_alive_tasks() <= tasks)
            .await;

        refuse(false);
        let allowed = Instant::now();
        assert_eq!(all_held(&all).await, session);
        assert!(allowed.elapsed() <= Duration::from_secs(2), "took {:?}", allowed.elapsed());
        assert_eq!(zk.children(directory).len(), N - 1);
    }
}

#[tokio::test(start_paused = true)]
async fn where_some_are_refused_the_others_are_soon_there() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let refused = [3, 700, 701];
    refused.iter().for_each(|number| zk.refuse(&path(*number), true));
    let begun = Instant::now();
    let all = hold_all(&process, N, b"v1");
    for number in (0..N).filter(|number| !refused.contains(number)) {
        held(&all[number]).await;
    }
    assert!(begun.elapsed() <= Duration::from_secs(20), "took {:?}", begun.elapsed());
    let told = |now: &Status| matches!(now, Status::Pending { problem: Some(Error::Rejected { .. }) });
    for number in refused {
        until(&mut all[number].status(), "the refusal is told", told).await;
    }
    assert_eq!(zk.children("/services/a").len(), N - refused.len());
    refused.iter().for_each(|number| zk.refuse(&path(*number), false));
    all_held(&all).await;
}

#[tokio::test(start_paused = true)]
async fn what_goes_of_others_before_ours_are_on_their_way_is_no_loss_of_ours() {
    const MANY: usize = 4_000;
    let zk = FakeZk::default();
    let dead = zk.stranger();
    (0..MANY).for_each(|number| zk.put_ephemeral(&path(number), "dead", dead));
    let process = Process::start(&zk);
    process.sessions().next().await.expect("connected");
    let tasks = Handle::current().metrics().num_alive_tasks();
    let all = hold_all(&process, MANY, b"v1");
    let deleted: Vec<_> = all.iter().map(Told::missing).collect();
    // The directory is watched, and whether it is there is asked.
    while zk.requests().watches == 0 {
        yield_now().await;
    }
    zk.set_mute(true);
    sleep(Duration::from_millis(1)).await;
    zk.expire(dead);
    zk.set_mute(false);
    let session = all_held(&all).await;
    sleep(Duration::from_secs(1)).await;
    assert!(!deleted.iter().any(Told::ever), "nobody deleted anything of ours");
    assert!((0..MANY).all(|number| zk.owner(&path(number)) == Some(session)));
    assert_eq!((zk.requests().multis, zk.requests().creates), (8, 0), "{:?}", zk.requests());
    drop(deleted);
    sleep(Duration::from_secs(1)).await;
    let tasks = Handle::current().metrics().num_alive_tasks() - tasks;
    assert!(tasks <= 2, "{tasks} tasks");
}

#[tokio::test(start_paused = true)]
async fn what_goes_of_others_while_ours_are_on_their_way_is_no_loss_of_ours() {
    for round in 0..20 {
        let zk = FakeZk::default();
        let dead = zk.stranger();
        (0..40).for_each(|number| zk.put_ephemeral(&path(number), "dead", dead));
        let process = Process::start(&zk);
        process.sessions().next().await.expect("connected");
        let all = hold_all(&process, 40, b"v1");
        let deleted: Vec<_> = all.iter().map(Told::missing).collect();
        // Whether the directory is there is asked when it is watched, and once more before they are made.
        while zk.requests().exists < 2 {
            yield_now().await;
        }
        zk.set_mute(true);
        sleep(Duration::from_millis(1)).await;
        // What is told of it comes before the answer, and is found with it.
        zk.hold_watches(true);
        zk.expire(dead);
        zk.set_mute(false);
        yield_now().await;
        zk.hold_watches(false);
        let session = all_held(&all).await;
        sleep(Duration::from_secs(1)).await;
        assert!(!deleted.iter().any(Told::ever), "nobody deleted anything of ours, round {round}");
        assert!((0..40).all(|number| zk.owner(&path(number)) == Some(session)));
    }
}

#[tokio::test(start_paused = true)]
async fn when_the_directory_goes_before_they_are_made_all_are_made_and_still_take_no_task_each() {
    let zk = FakeZk::default();
    zk.put("/services/a", "");
    let process = Process::start(&zk);
    process.sessions().next().await.expect("connected");
    let tasks = Handle::current().metrics().num_alive_tasks();
    let all = hold_all(&process, N, b"v1");
    while zk.requests().exists == 0 {
        yield_now().await;
    }
    zk.set_mute(true);
    sleep(Duration::from_millis(1)).await;
    assert!(zk.remove("/services/a"));
    zk.set_mute(false);
    all_held(&all).await;
    let tasks = Handle::current().metrics().num_alive_tasks() - tasks;
    assert!(tasks <= 2, "{tasks} tasks");
}
