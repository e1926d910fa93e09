//! What was given up stays away, also when the server is put back to an older state, on the fake with paused time.

mod common;

use std::time::Duration;

use common::{LIMIT, Process, eventually, held, until};
use tokio::time::{sleep, timeout};
use zk_session::fake::{FakeZk, Requests};
use zk_session::{Name, SessionId, State, Status};

const PATH: &str = "/services/a/one";

/// Whatever is under way is over by then.
const WHILE: Duration = Duration::from_secs(2);

fn session(process: &Process) -> SessionId {
    process.client.session().expect("connected")
}

fn sequential() -> Name {
    Name::Sequential("one-".to_owned())
}

/// What a new connection of this process costs.
async fn costs(zk: &FakeZk, process: &Process) -> Requests {
    sleep(WHILE).await;
    zk.reset_requests();
    zk.disconnect(session(process));
    eventually("it is connected again", || {
        process.client.session().is_some_and(|session| zk.is_connected(session))
    })
    .await;
    sleep(WHILE).await;
    zk.requests()
}

#[tokio::test(start_paused = true)]
async fn a_withdrawn_node_that_is_back_with_an_older_state_goes_on_the_next_connection() {
    for name in [Name::Own("one".to_owned()), Name::Contended("one".to_owned()), sequential()] {
        let zk = FakeZk::default();
        let process = Process::start(&zk);
        let presence = process.hold(name, "");
        let path = held(&presence).await.path;
        let earlier = zk.snapshot();
        presence.withdraw().await;
        // Whoever puts it back once may do it again.
        for _ in 0..3 {
            zk.restore(&earlier);
            assert_eq!(zk.owner(&path), Some(session(&process)), "it is back");
            eventually("it is gone again", || zk.get(&path).is_none()).await;
        }
        sleep(LIMIT).await;
        assert_eq!(zk.children("/services/a"), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_session_of_ours_had_goes_before_that_session_does() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let presence = process.own("");
    let first = held(&presence).await.session();
    let earlier = zk.snapshot();
    zk.expire(first);
    until(
        &mut process.sessions().state(),
        "in another session",
        |state| matches!(state, State::Connected { id, .. } if *id != first),
    )
    .await;
    held(&presence).await;
    presence.withdraw().await;
    zk.restore(&earlier);
    eventually("it is gone", || zk.get(PATH).is_none()).await;
    assert!(zk.sessions().contains(&first), "whose session lives still");
}

#[tokio::test(start_paused = true)]
async fn a_strangers_node_where_ours_was_stays() {
    for owned in [false, true] {
        let zk = FakeZk::default();
        let process = Process::start(&zk);
        let presence = process.own("");
        held(&presence).await;
        presence.withdraw().await;
        match owned {
            true => zk.put_ephemeral(PATH, "theirs", zk.stranger()),
            false => zk.put(PATH, "theirs"),
        }
        let asked = costs(&zk, &process).await;
        assert_eq!((asked.syncs, asked.batches, asked.total()), (1, 1, 2), "it is looked at, no more");
        assert_eq!(zk.get(PATH).expect("it is there").data, b"theirs");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_kept_again_stays() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let presence = process.own("before");
    held(&presence).await;
    presence.withdraw().await;
    let again = process.own("again");
    let made = held(&again).await.czxid;
    let earlier = zk.snapshot();
    zk.restore(&earlier);
    let asked = costs(&zk, &process).await;
    assert_eq!((asked.deletes, asked.batches), (0, 0), "{asked:?}");
    assert_eq!(held(&again).await.czxid, made);
    assert_eq!(zk.get(PATH).map(|node| node.stat.czxid), made);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_wanted_again_while_its_predecessor_is_back_is_one_node_with_the_newest_data() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let presence = process.own("before");
    held(&presence).await;
    let earlier = zk.snapshot();
    presence.withdraw().await;
    process.client.set_reachable(false);
    zk.restore(&earlier);
    let again = process.own("again");
    zk.reset_requests();
    process.client.set_reachable(true);
    held(&again).await;
    sleep(WHILE).await;
    let asked = zk.requests();
    assert_eq!((asked.sets, asked.multis, asked.deletes), (1, 0, 0), "what is back is taken over: {asked:?}");
    assert_eq!(zk.get(PATH).expect("it is there").data, b"again");
    again.withdraw().await;
    zk.restore(&earlier);
    eventually("it is gone", || zk.get(PATH).is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn who_stands_in_a_line_again_is_in_it_once_after_any_rollback() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let mut states = Vec::new();
    let mut presence = process.hold(sequential(), "");
    for _ in 0..3 {
        held(&presence).await;
        states.push(zk.snapshot());
        timeout(LIMIT, presence.withdraw()).await.expect("withdrawn in time");
        states.push(zk.snapshot());
        presence = process.hold(sequential(), "");
    }
    held(&presence).await;
    states.push(zk.snapshot());
    for earlier in states {
        zk.restore(&earlier);
        sleep(LIMIT).await;
        let there = held(&presence).await.path;
        let names = zk.children("/services/a");
        assert_eq!(names.iter().map(|name| format!("/services/a/{name}")).collect::<Vec<_>>(), [there]);
        assert_eq!(costs(&zk, &process).await.deletes, 0, "nothing is left over");
    }
}

#[tokio::test(start_paused = true)]
async fn a_number_that_is_given_a_second_time_is_no_left_over() {
    for seed in 0..100 {
        let zk = FakeZk::default().with_seed(seed);
        zk.put("/services/a", "");
        let process = Process::start(&zk);
        until(&mut process.sessions().state(), "connected", |state| matches!(state, State::Connected { .. }))
            .await;
        let earlier = zk.snapshot();
        let presence = process.hold(sequential(), "");
        let path = held(&presence).await.path;
        presence.withdraw().await;
        process.client.set_reachable(false);
        zk.restore(&earlier);
        let again = process.hold(sequential(), "");
        zk.reset_requests();
        process.client.set_reachable(true);
        assert_eq!(held(&again).await.path, path);
        sleep(WHILE).await;
        let asked = zk.requests();
        assert_eq!((asked.creates, asked.deletes), (1, 0), "seed {seed}: {asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_node_that_a_place_in_the_line_ever_had_stays_away() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let presence = process.hold(sequential(), "");
    let first = held(&presence).await.path;
    let earlier = zk.snapshot();
    zk.remove(&first);
    let another = |status: &Status| matches!(status, Status::Held(held) if held.path != first);
    until(&mut presence.status(), "another one is held", another).await;
    presence.withdraw().await;
    zk.restore(&earlier);
    eventually("all are gone", || zk.children("/services/a").is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_withdrawn_before_it_was_known_to_be_made_stays_away() {
    let zk = FakeZk::default();
    zk.put("/services/a", "");
    let process = Process::start(&zk);
    until(&mut process.sessions().state(), "connected", |state| matches!(state, State::Connected { .. }))
        .await;
    zk.lose_next_reply();
    let presence = process.hold(sequential(), "");
    timeout(LIMIT, zk.until(|zk| zk.children("/services/a").len() == 1)).await.expect("made in time");
    let earlier = zk.snapshot();
    presence.withdraw().await;
    zk.restore(&earlier);
    eventually("it is gone", || zk.children("/services/a").is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn where_nothing_was_given_up_nothing_is_asked() {
    let zk = FakeZk::default();
    let idle = Process::start(&zk);
    until(&mut idle.sessions().state(), "connected", |state| matches!(state, State::Connected { .. })).await;
    assert_eq!(costs(&zk, &idle).await.total(), 0);
    let presence = idle.own("");
    held(&presence).await;
    let asked = costs(&zk, &idle).await;
    assert_eq!((asked.syncs, asked.watches, asked.total()), (1, 1, 2), "its own node alone: {asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_deletion_keeps_nobody_from_his_own_work() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let (one, two) = (process.own(""), process.hold(Name::Own("two".to_owned()), ""));
    held(&one).await;
    held(&two).await;
    let earlier = zk.snapshot();
    one.withdraw().await;
    zk.refuse(PATH, true);
    zk.restore(&earlier);
    zk.remove("/services/a/two");
    eventually("the other one is made", || zk.get("/services/a/two").is_some()).await;
    assert!(zk.get(PATH).is_some());
    zk.refuse(PATH, false);
    zk.disconnect(session(&process));
    eventually("the next connection does it", || zk.get(PATH).is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_the_deletion_is_followed_up() {
    for lose in [FakeZk::lose_next_reply, FakeZk::drop_next_request] {
        let zk = FakeZk::default();
        let process = Process::start(&zk);
        let presence = process.own("");
        held(&presence).await;
        let earlier = zk.snapshot();
        presence.withdraw().await;
        lose(&zk);
        zk.restore(&earlier);
        eventually("it is gone", || zk.get(PATH).is_none()).await;
        sleep(WHILE).await;
        assert_eq!(zk.get(PATH), None);
    }
}
