//! What ends a leadership, what does not, and what comes after, on the fake with paused time.

mod common;

use std::time::Duration;

use common::{DIR, LIMIT, T, in_line, leads, line, lost, path, settled, until};
use leader::{Lost, Status};
use tokio::time::{Instant, sleep, timeout};
use zk_session::State;
use zk_session::fake::FakeZk;

#[tokio::test(start_paused = true)]
async fn outages_of_a_fifth_of_the_session_cost_no_leadership() {
    let zk = FakeZk::default();
    let (one, first) = in_line(&zk, "a").await;
    let (_two, _second) = in_line(&zk, "b").await;
    let leadership = leads(&first).await;
    sleep(T).await;
    let writes = zk.requests().creates + zk.requests().deletes;
    for outage in 0..20 {
        sleep(T + T / 100 * outage).await;
        one.client.set_reachable(false);
        sleep(T / 5).await;
        one.client.set_reachable(true);
        sleep(T / 5).await;
        assert!(leadership.holds(), "outage {outage}");
    }
    assert_eq!(zk.requests().creates + zk.requests().deletes, writes, "no node came or went");
    assert_eq!(leads(&first).await.term(), leadership.term());
}

#[tokio::test(start_paused = true)]
async fn short_cuts_that_follow_each_other_closely_cost_no_leadership() {
    for (cut, between) in [(T / 6, T / 10), (T / 6, T / 4), (T / 6, T * 3 / 10), (T / 6, T * 2 / 5)] {
        let zk = FakeZk::default();
        let (one, first) = in_line(&zk, "a").await;
        let leadership = leads(&first).await;
        sleep(2 * T).await;
        for flap in 0..30 {
            one.client.set_reachable(false);
            sleep(cut).await;
            assert!(leadership.holds(), "{cut:?} {between:?}: in cut {flap}");
            one.client.set_reachable(true);
            let connected = |state: &State| matches!(state, State::Connected { .. });
            until(&mut one.keeper.sessions().state(), "connected", connected).await;
            sleep(between).await;
            assert!(leadership.holds(), "{cut:?} {between:?}: after cut {flap}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_shortened_meanwhile_ends_leadership_before_it_can_expire() {
    let zk = FakeZk::default();
    let (one, first) = in_line(&zk, "a").await;
    let (_two, second) = in_line(&zk, "b").await;
    let leadership = leads(&first).await;
    sleep(2 * T).await;
    zk.set_timeout(T / 4);
    zk.disconnect(one.session());
    let sessions = one.keeper.sessions();
    let link = timeout(LIMIT, sessions.next()).await.unwrap().unwrap();
    zk.mute(link.id());
    leads(&second).await;
    assert!(!leadership.holds());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_became_too_short_for_a_lease_is_refused_and_gives_its_place_up() {
    let zk = FakeZk::default();
    let (one, first) = in_line(&zk, "a").await;
    let leadership = leads(&first).await;
    zk.set_timeout(Duration::from_millis(400));
    zk.disconnect(one.session());
    let over = |now: &Status| matches!(now, Status::Over { refused: Some(_) });
    until(&mut first.status(), "it is refused", over).await;
    assert!(!leadership.holds());
    assert_eq!(line(&zk).len(), 0);
}

#[tokio::test(start_paused = true)]
async fn after_a_longer_outage_within_the_session_it_leads_again_in_the_same_term() {
    let zk = FakeZk::default();
    let (one, first) = in_line(&zk, "a").await;
    let (_two, second) = in_line(&zk, "b").await;
    let before = leads(&first).await;
    sleep(T).await;
    one.client.set_reachable(false);
    assert_eq!(lost(&before).await, Lost::LeaseEnded);
    let first_now = first.status().borrow().clone();
    assert!(matches!(first_now, Status::First { problem: None }), "{first_now:?}");
    one.client.set_reachable(true);
    let after = leads(&first).await;
    assert_eq!(after.term(), before.term());
    assert!(!before.holds(), "what was lost stays lost");
    assert!(matches!(&*second.status().borrow(), Status::Waiting { .. }));
}

#[tokio::test(start_paused = true)]
async fn on_a_half_open_link_the_leader_stops_by_itself_before_anybody_else_leads() {
    let zk = FakeZk::default();
    let (one, first) = in_line(&zk, "a").await;
    let (_two, second) = in_line(&zk, "b").await;
    let before = leads(&first).await;
    sleep(2 * T).await;
    let (cut, session) = (Instant::now(), one.session());
    zk.mute(session);
    assert_eq!(lost(&before).await, Lost::LeaseEnded);
    assert!(cut.elapsed() < T / 2, "{:?}", cut.elapsed());
    assert!(zk.sessions().contains(&session));
    leads(&second).await;
    assert!(!zk.sessions().contains(&session));
}

#[tokio::test(start_paused = true)]
async fn renewals_that_nobody_answers_end_it_and_answered_ones_bring_it_back() {
    let zk = FakeZk::default();
    let (_one, first) = in_line(&zk, "a").await;
    let before = leads(&first).await;
    sleep(T).await;
    zk.set_mute(true);
    assert_eq!(lost(&before).await, Lost::LeaseEnded);
    zk.set_mute(false);
    assert_eq!(leads(&first).await.term(), before.term());
}

#[tokio::test(start_paused = true)]
async fn after_a_pause_longer_than_the_lease_the_guard_says_no_before_anything_else_happens() {
    let zk = FakeZk::default();
    let (one, first) = in_line(&zk, "a").await;
    let before = leads(&first).await;
    sleep(T).await;
    one.client.sleep(T);
    // No task of ours has run since: there was no await.
    assert!(!before.holds());
    assert_eq!(before.left(), Duration::ZERO);
    let woke = Instant::now();
    assert_eq!(lost(&before).await, Lost::LeaseEnded);
    assert!(woke.elapsed() <= Duration::from_millis(100), "{:?}", woke.elapsed());
    // The session lives: it leads again, in the same term, but not by what was answered right after the pause.
    let woke = Instant::now();
    let after = leads(&first).await;
    assert!(woke.elapsed() > T / 4, "{:?}", woke.elapsed());
    assert_eq!(after.term(), before.term());
}

#[tokio::test(start_paused = true)]
async fn after_a_pause_longer_than_the_session_another_one_leads_and_the_guard_never_says_yes() {
    let zk = FakeZk::default();
    let (one, first) = in_line(&zk, "a").await;
    let (_two, second) = in_line(&zk, "b").await;
    let before = leads(&first).await;
    sleep(T).await;
    // What a stopped process is to the others: a link on which nothing arrives. Its clock goes on.
    zk.mute(one.session());
    one.client.sleep(2 * T);
    assert!(!before.holds());
    let after = leads(&second).await;
    assert!(after.term() > before.term());
    zk.disconnect_all();
    settled(&first).await;
    assert!(!before.holds());
    assert_eq!(line(&zk), ["b-0000000001", "a-0000000002"]);
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_node_is_deleted_steps_down_at_once_and_stands_again() {
    let zk = FakeZk::default();
    let (_one, first) = in_line(&zk, "a").await;
    let (_two, second) = in_line(&zk, "b").await;
    let before = leads(&first).await;
    sleep(T).await;
    let deleted = Instant::now();
    zk.remove(before.path());
    assert_eq!(lost(&before).await, Lost::NodeDeleted);
    assert_eq!(deleted.elapsed(), Duration::ZERO);
    let after = leads(&second).await;
    assert!(after.term() > before.term());
    settled(&first).await;
    assert_eq!(line(&zk), ["b-0000000001", "a-0000000002"]);
    assert!(deleted.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_node_ends_it_also_when_no_notification_comes() {
    let zk = FakeZk::default();
    let (_one, first) = in_line(&zk, "a").await;
    let before = leads(&first).await;
    sleep(T).await;
    zk.hold_watches(true);
    zk.remove(before.path());
    let ended = timeout(T / 5, before.lost()).await.expect("the next renewal finds it");
    assert_eq!(ended, Lost::NodeDeleted);
    zk.hold_watches(false);
    assert!(leads(&first).await.term() > before.term());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_deleted_while_we_are_cut_off_ends_it_when_we_are_back() {
    let zk = FakeZk::default();
    let (one, first) = in_line(&zk, "a").await;
    let before = leads(&first).await;
    sleep(T).await;
    one.client.set_reachable(false);
    zk.remove(before.path());
    sleep(T / 10).await;
    assert!(before.holds(), "nobody can know yet");
    one.client.set_reachable(true);
    assert_eq!(lost(&before).await, Lost::NodeDeleted);
    assert!(leads(&first).await.term() > before.term());
}

#[tokio::test(start_paused = true)]
async fn who_is_ahead_again_in_an_older_state_of_the_servers_leads_again() {
    let zk = FakeZk::default();
    let gone = zk.stranger();
    zk.put_ephemeral(&path("gone-0000000000"), "", gone);
    zk.set_sequence(DIR, 1);
    let (one, first) = in_line(&zk, "a").await;
    zk.expire(gone);
    let leadership = leads(&first).await;
    sleep(T).await;
    // As after a restored snapshot: a connection ends, and on the next one somebody is there who had left.
    one.client.set_reachable(false);
    zk.put_ephemeral(&path("gone-0000000000"), "", gone);
    one.client.set_reachable(true);
    assert_eq!(lost(&leadership).await, Lost::Overtaken);
    sleep(3 * T).await;
    let waits = first.status().borrow().clone();
    assert!(matches!(&waits, Status::Waiting { ahead } if *ahead == path("gone-0000000000")), "{waits:?}");
    zk.expire(gone);
    assert_eq!(leads(&first).await.term(), leadership.term());
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_nobody_begins_to_lead_who_has_not_seen_that_nobody_is_ahead() {
    let zk = FakeZk::default();
    let gone = zk.stranger();
    zk.put_ephemeral(&path("gone-0000000000"), "", gone);
    zk.set_sequence(DIR, 1);
    let (one, first) = in_line(&zk, "a").await;
    zk.expire(gone);
    let leadership = leads(&first).await;
    sleep(T).await;
    one.client.set_reachable(false);
    assert_eq!(lost(&leadership).await, Lost::LeaseEnded);
    zk.put_ephemeral(&path("gone-0000000000"), "", gone);
    let mut status = first.status();
    let began = tokio::spawn(async move {
        loop {
            status.changed().await.expect("it stands");
            match &*status.borrow_and_update() {
                Status::Leading(_) => return true,
                Status::Waiting { .. } => return false,
                _ => {}
            }
        }
    });
    one.client.set_reachable(true);
    assert!(!timeout(LIMIT, began).await.unwrap().unwrap());
}

#[test]
fn a_runtime_that_ends_ends_leadership_and_says_so() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let leadership = runtime.block_on(async {
        let zk = FakeZk::default();
        let (process, candidacy) = in_line(&zk, "a").await;
        let leadership = leads(&candidacy).await;
        // What is never dropped ends with the runtime alone.
        std::mem::forget((process, candidacy));
        leadership
    });
    assert!(leadership.holds());
    drop(runtime);
    assert!(!leadership.holds());
    assert!(leadership.reason().is_some());
}

#[tokio::test(start_paused = true)]
async fn when_the_whole_directory_is_deleted_somebody_leads_within_a_second_with_one_node_each() {
    for what in ["/headkeeper", "/headkeeper/time", DIR] {
        let zk = FakeZk::default();
        let (_one, first) = in_line(&zk, "a").await;
        let (_two, second) = in_line(&zk, "b").await;
        let before = leads(&first).await;
        sleep(T).await;
        let deleted = Instant::now();
        zk.remove(what);
        assert_eq!(lost(&before).await, Lost::NodeDeleted);
        let after = tokio::select! {
            one = first.elected() => one,
            two = second.elected() => two,
        };
        assert!(after.unwrap().term() > before.term());
        settled(&first).await;
        settled(&second).await;
        assert!(deleted.elapsed() < Duration::from_secs(1), "{what}: {:?}", deleted.elapsed());
        assert_eq!(line(&zk).len(), 2, "{what}: {:?}", line(&zk));
    }
}

#[tokio::test(start_paused = true)]
async fn when_another_session_is_met_nobody_believes_in_the_one_before() {
    let zk = FakeZk::default();
    let (one, first) = in_line(&zk, "a").await;
    let leadership = leads(&first).await;
    sleep(T).await;
    let session = one.session();
    zk.expire(session);
    assert!(leadership.holds(), "nobody has told us");
    let sessions = one.keeper.sessions();
    let link = timeout(LIMIT, sessions.next()).await.unwrap().unwrap();
    assert_ne!(link.id(), session);
    assert!(!leadership.holds(), "not even who is the first to see the new one");
}

#[tokio::test(start_paused = true)]
async fn closing_the_keeper_ends_leadership_before_the_session() {
    let zk = FakeZk::default();
    let (one, first) = in_line(&zk, "a").await;
    let leadership = leads(&first).await;
    sleep(T).await;
    // The server does not answer, so the close takes its time: nobody may believe that we lead meanwhile.
    zk.set_mute(true);
    let closing = tokio::spawn(one.keeper.close());
    timeout(LIMIT, first.status().wait_for(|now| matches!(now, Status::Over { refused: None })))
        .await
        .unwrap()
        .unwrap();
    assert!(!leadership.holds());
    assert!(zk.get(leadership.path()).is_some());
    assert_eq!(lost(&leadership).await, Lost::Closed);
    closing.await.unwrap();
    assert!(first.elected().await.is_err());
}
