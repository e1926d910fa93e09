//! Who leads, and who comes next, on the fake with paused time.

mod common;

use std::time::Duration;

use common::{DIR, LIMIT, Process, T, in_line, leads, line, lost, path, settled, until};
use leader::{Lost, Status};
use tokio::time::{Instant, sleep, timeout};
use zk_session::State;
use zk_session::fake::FakeZk;

#[tokio::test(start_paused = true)]
async fn the_first_to_stand_leads_and_the_others_wait_for_the_one_ahead() {
    let zk = FakeZk::default();
    let (one, first) = in_line(&zk, "z").await;
    let leadership = leads(&first).await;
    assert!(leadership.holds());
    assert_eq!(leadership.path(), path("z-0000000000"));
    assert_eq!(leadership.session(), one.session());
    assert_eq!(leadership.term().0, zk.get(leadership.path()).unwrap().stat.czxid);
    assert!(leadership.left() <= T * 4 / 5 && !leadership.left().is_zero());

    let (_two, second) = in_line(&zk, "y").await;
    let (_three, third) = in_line(&zk, "x").await;
    for (candidacy, expected) in [(&second, "z-0000000000"), (&third, "y-0000000001")] {
        let waits = candidacy.status().borrow().clone();
        assert!(matches!(&waits, Status::Waiting { ahead } if *ahead == path(expected)), "{waits:?}");
    }
    sleep(10 * T).await;
    assert!(leadership.holds());
    assert_eq!(leads(&first).await.term(), leadership.term());
}

#[tokio::test(start_paused = true)]
async fn in_a_new_session_the_first_leads_after_three_answers() {
    let zk = FakeZk::default();
    zk.put("/headkeeper/time/election", "");
    let begun = Instant::now();
    let (_process, candidacy) = in_line(&zk, "a").await;
    leads(&candidacy).await;
    assert_eq!(begun.elapsed(), Duration::ZERO, "nothing but answers was waited for");
}

#[tokio::test(start_paused = true)]
async fn a_hand_over_takes_three_requests_at_any_number_of_candidates() {
    for count in [2, 3, 10, 50] {
        let zk = FakeZk::default();
        let mut all = Vec::new();
        for index in 0..count {
            all.push(in_line(&zk, &format!("c{index}")).await);
        }
        let (_process, first) = all.remove(0);
        leads(&first).await;
        // Each process reads, and the leader writes, ten times in each T; that goes on beside it.
        sleep(T / 2 + T / 100).await;
        zk.reset_requests();
        let begun = Instant::now();
        first.resign().await;
        let next = leads(&all[0].1).await;
        assert_eq!(begun.elapsed(), Duration::ZERO, "nothing but answers was waited for");
        let requests = zk.requests();
        let (deletes, lists, checks) = (requests.deletes, requests.lists, requests.multis);
        assert_eq!((deletes, lists, checks, requests.total()), (1, 1, 1, 3), "{count}: {requests:?}");
        assert_eq!(requests.events, 2, "one is woken, and the one that left is told that its node is gone");
        assert!(next.holds());

        // And nothing comes after it but what everybody does when nothing happens.
        sleep(T).await;
        let requests = zk.requests();
        assert_eq!(requests.total(), requests.exists + requests.multis + 2, "{count}: {requests:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_closed_looks_at_the_line_no_more() {
    let zk = FakeZk::default();
    let (process, first) = in_line(&zk, "a").await;
    let (_next, second) = in_line(&zk, "b").await;
    leads(&first).await;
    sleep(T / 2 + T / 100).await;
    zk.reset_requests();
    process.keeper.close().await;
    leads(&second).await;
    until(&mut first.status(), "it is over", |now| matches!(now, Status::Over { .. })).await;
    let requests = zk.requests();
    assert_eq!((requests.lists, requests.deletes), (1, 0), "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn one_who_leaves_the_middle_of_the_line_wakes_only_the_next_and_changes_nothing() {
    let zk = FakeZk::default();
    let (_a, first) = in_line(&zk, "a").await;
    let (_b, second) = in_line(&zk, "b").await;
    let (_c, third) = in_line(&zk, "c").await;
    let (_d, fourth) = in_line(&zk, "d").await;
    let leadership = leads(&first).await;
    sleep(T / 100).await;
    zk.reset_requests();
    second.resign().await;
    let behind = |now: &Status| matches!(now, Status::Waiting { ahead } if *ahead == path("a-0000000000"));
    until(&mut third.status(), "it waits for the leader", behind).await;
    timeout(LIMIT, zk.until(|zk| zk.requests().watches > 0)).await.unwrap();
    let requests = zk.requests();
    // The one that left is told, too, that its node is gone.
    assert_eq!((requests.deletes, requests.lists, requests.watches, requests.events), (1, 1, 1, 2));
    assert!(leadership.holds());
    assert!(
        matches!(&*fourth.status().borrow(), Status::Waiting { ahead } if *ahead == path("c-0000000002"))
    );
}

#[tokio::test(start_paused = true)]
async fn when_the_leader_dies_the_next_leads_as_soon_as_its_session_is_over() {
    let zk = FakeZk::default();
    let (dead, first) = in_line(&zk, "a").await;
    let (_alive, second) = in_line(&zk, "b").await;
    let before = leads(&first).await;
    sleep(3 * T).await;
    let (died, session) = (Instant::now(), dead.session());
    dead.kill();
    assert_eq!(lost(&before).await, Lost::LeaseEnded);
    assert!(died.elapsed() < T / 2, "{:?}", died.elapsed());
    assert!(zk.sessions().contains(&session), "it steps down before ZooKeeper ends its session");
    let after = leads(&second).await;
    assert_eq!(died.elapsed(), T);
    assert!(after.term() > before.term());
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_session_expired_stands_again_behind_the_others() {
    let zk = FakeZk::default();
    let (one, first) = in_line(&zk, "a").await;
    let (_two, second) = in_line(&zk, "b").await;
    let before = leads(&first).await;
    zk.expire(one.session());
    let after = leads(&second).await;
    assert!(after.term() > before.term());
    assert!(matches!(lost(&before).await, Lost::SessionEnded));
    settled(&first).await;
    assert_eq!(line(&zk), ["b-0000000001", "a-0000000002"]);
    second.resign().await;
    assert!(leads(&first).await.term() > after.term());
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_the_create_leaves_one_node_that_leads() {
    for dropped in [false, true] {
        let zk = FakeZk::default();
        zk.put(DIR, "");
        let process = Process::start(&zk);
        let mut state = process.keeper.sessions().state();
        until(&mut state, "connected", |now| matches!(now, State::Connected { .. })).await;
        if dropped {
            zk.drop_next_request();
        } else {
            zk.lose_next_reply();
        }
        let candidacy = process.campaign("a");
        let leadership = leads(&candidacy).await;
        assert_eq!(line(&zk).len(), 1);
        assert_eq!(leadership.path(), path(&line(&zk)[0]));
        assert_eq!(leadership.term().0, zk.get(leadership.path()).unwrap().stat.czxid);
    }
}

#[tokio::test(start_paused = true)]
async fn two_elections_in_one_process_share_the_proof_and_nothing_else() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let other = leader::ServiceName::parse("other").unwrap();
    let one = process.campaign("a");
    let two = process.election.campaign_as(&other, common::id("a"), common::data("a")).unwrap();
    let (in_time, in_other) = (leads(&one).await, leads(&two).await);
    sleep(T).await;
    zk.reset_requests();
    sleep(10 * T).await;
    let requests = zk.requests();
    assert!(requests.multis <= 100 && requests.multis == requests.total(), "{requests:?}");

    zk.remove(in_time.path());
    assert_eq!(lost(&in_time).await, Lost::NodeDeleted);
    assert!(in_other.holds());
    leads(&one).await;
    two.resign().await;
    assert!(leads(&one).await.holds());
}

#[tokio::test(start_paused = true)]
async fn one_who_joins_on_an_old_session_leads_when_that_is_proved() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let mut state = process.keeper.sessions().state();
    until(&mut state, "connected", |now| matches!(now, State::Connected { .. })).await;
    sleep(5 * T).await;
    let begun = Instant::now();
    let candidacy = process.campaign("a");
    until(&mut candidacy.status(), "first", |now| matches!(now, Status::First { .. })).await;
    leads(&candidacy).await;
    assert!((T / 3..T / 2).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}
