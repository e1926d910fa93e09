//! How one stands for election, resigns and is refused, on the fake with paused time.

mod common;

use std::time::Duration;

use common::{DIR, LIMIT, Process, T, data, id, in_line, leads, line, lost, path, settled, time, until};
use leader::{Election, Error, Lost, Metadata, NodeData, Root, Status};
use tokio::time::{Instant, sleep, timeout};
use zk_session::fake::FakeZk;

#[tokio::test(start_paused = true)]
async fn resigning_ends_leadership_before_anything_is_sent_and_leaves_no_node() {
    let zk = FakeZk::default();
    let (_one, first) = in_line(&zk, "a").await;
    let leadership = leads(&first).await;
    let status = first.status();
    zk.set_mute(true);
    let resigning = tokio::spawn(first.resign());
    assert_eq!(lost(&leadership).await, Lost::Resigned);
    assert_eq!(line(&zk).len(), 1);
    zk.set_mute(false);
    resigning.await.unwrap();
    assert_eq!(line(&zk).len(), 0);
    assert!(matches!(&*status.borrow(), Status::Over { refused: None }));
    sleep(5 * T).await;
    assert_eq!(line(&zk).len(), 0, "it does not come back");
}

#[tokio::test(start_paused = true)]
async fn a_leadership_can_be_given_up_by_whoever_holds_it() {
    let zk = FakeZk::default();
    let (_one, first) = in_line(&zk, "a").await;
    let leadership = leads(&first).await;
    leadership.clone().resign();
    assert!(!leadership.holds());
    until(&mut first.status(), "it has left", |now| matches!(now, Status::Over { refused: None })).await;
    assert_eq!(line(&zk).len(), 0);
    assert!(matches!(first.elected().await, Err(Error::Over)));
    assert!(matches!(first.update(|data| data.weight = 2), Err(Error::Over)));
}

#[tokio::test(start_paused = true)]
async fn a_resignation_without_a_connection_is_remembered_and_done() {
    for expired in [false, true] {
        let zk = FakeZk::default();
        let (one, first) = in_line(&zk, "a").await;
        let (_two, second) = in_line(&zk, "b").await;
        let leadership = leads(&first).await;
        one.client.set_reachable(false);
        let session = one.session();
        let resigned = timeout(Duration::from_millis(1), first.resign()).await;
        assert!(resigned.is_err(), "the node is there still");
        assert!(!leadership.holds());
        if expired {
            zk.expire(session);
        }
        one.client.set_reachable(true);
        leads(&second).await;
        timeout(LIMIT, zk.until(|zk| line(zk) == ["b-0000000001"])).await.unwrap();
        sleep(5 * T).await;
        assert_eq!(line(&zk), ["b-0000000001"], "expired: {expired}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_resignation_that_fails_is_tried_again_until_the_node_is_gone() {
    for fault in ["the request is lost", "the answer is lost", "the server refuses"] {
        let zk = FakeZk::default();
        let (one, first) = in_line(&zk, "a").await;
        let (_two, second) = in_line(&zk, "b").await;
        let leadership = leads(&first).await;
        sleep(T).await;
        let session = one.session();
        match fault {
            "the request is lost" => zk.drop_next_request_of(session),
            "the answer is lost" => zk.lose_next_reply_of(session),
            _ => zk.refuse(DIR, true),
        }
        zk.reset_requests();
        let resigning = tokio::spawn(first.resign());
        assert_eq!(lost(&leadership).await, Lost::Resigned);
        timeout(LIMIT, zk.until(|zk| zk.requests().deletes > 0)).await.expect("it was tried");
        sleep(T / 8).await;
        zk.refuse(DIR, false);
        let mended = Instant::now();
        leads(&second).await;
        assert!(mended.elapsed() <= Duration::from_secs(1), "{fault}: {:?}", mended.elapsed());
        timeout(LIMIT, resigning).await.expect("it has resigned").unwrap();
        assert!(zk.sessions().contains(&session), "{fault}: it was not the end of the session");
        sleep(5 * T).await;
        assert_eq!(line(&zk), ["b-0000000001"], "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_who_resigns_before_there_ever_was_a_server_waits_for_nobody() {
    let zk = FakeZk::default();
    zk.set_reachable(false);
    let process = Process::start(&zk);
    let candidacy = process.campaign("a");
    timeout(Duration::from_millis(1), candidacy.resign()).await.expect("at once");
    zk.set_reachable(true);
    sleep(5 * T).await;
    assert_eq!(line(&zk).len(), 0);
}

#[tokio::test(start_paused = true)]
async fn dropping_a_candidacy_resigns() {
    let zk = FakeZk::default();
    let (_one, first) = in_line(&zk, "a").await;
    let leadership = leads(&first).await;
    drop(first);
    assert!(!leadership.holds());
    assert_eq!(leadership.reason(), Some(Lost::Resigned));
    timeout(LIMIT, zk.until(|zk| line(zk).is_empty())).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_who_resigned_stands_again_behind_the_others_with_a_greater_term() {
    let zk = FakeZk::default();
    let (one, first) = in_line(&zk, "a").await;
    let (_two, second) = in_line(&zk, "b").await;
    let before = leads(&first).await;
    // Not awaited: what comes next waits for what is left of it.
    drop(first);
    let again = one.campaign("a");
    settled(&again).await;
    assert_eq!(line(&zk), ["b-0000000001", "a-0000000002"]);
    let between = leads(&second).await;
    second.resign().await;
    let after = leads(&again).await;
    assert!(before.term() < between.term() && between.term() < after.term());
}

#[tokio::test(start_paused = true)]
async fn an_election_without_zookeeper_begins_when_that_is_there() {
    let zk = FakeZk::default();
    zk.set_reachable(false);
    let process = Process::start(&zk);
    let candidacy = process.campaign("a");
    sleep(5 * T).await;
    assert!(matches!(&*candidacy.status().borrow(), Status::Joining { problem: None }));
    zk.set_reachable(true);
    let back = Instant::now();
    leads(&candidacy).await;
    assert!(back.elapsed() < Duration::from_secs(1), "{:?}", back.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_same_id_stands_once_for_a_service_in_one_process_and_freely_in_two() {
    let zk = FakeZk::default();
    let (one, first) = in_line(&zk, "a").await;
    let again = Election::new(one.keeper.sessions(), Root::default());
    let twice = again.campaign_as(&time(), id("a"), data("a"));
    let Err(Error::Invalid(what)) = twice else { panic!("{twice:?}") };
    assert!(what.contains("a- is kept by this process already"), "{what}");
    leads(&first).await;

    let (_two, second) = in_line(&zk, "a").await;
    assert_eq!(line(&zk), ["a-0000000000", "a-0000000001"]);
    first.resign().await;
    assert_eq!(leads(&second).await.path(), path("a-0000000001"));
}

#[tokio::test(start_paused = true)]
async fn ids_are_whole() {
    let zk = FakeZk::default();
    let (_one, first) = in_line(&zk, "a-0000000000").await;
    let (_two, second) = in_line(&zk, "a").await;
    let leadership = leads(&first).await;
    assert_eq!(leadership.path(), path("a-0000000000-0000000000"));
    assert!(matches!(&*second.status().borrow(), Status::Waiting { .. }));
    second.resign().await;
    assert_eq!(line(&zk).len(), 1);
    assert!(leadership.holds());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_too_short_for_a_lease_is_refused_with_both_times() {
    let zk = FakeZk::with_timeout(Duration::from_millis(499));
    let process = Process::start(&zk);
    let candidacy = process.campaign("a");
    let refused = timeout(LIMIT, candidacy.elected()).await.unwrap().unwrap_err();
    assert!(matches!(refused, Error::SessionTooShort { .. }));
    let text = refused.to_string();
    assert!(text.contains("499ms") && text.contains("500ms"), "{text}");
    let over = |now: &Status| matches!(now, Status::Over { refused: Some(_) });
    until(&mut candidacy.status(), "it is over", over).await;
    assert_eq!(line(&zk).len(), 0);
    // And at once when that is known.
    let refused = process.election.campaign_as(&time(), id("b"), data("b"));
    assert!(matches!(refused, Err(Error::SessionTooShort { .. })));

    let zk = FakeZk::with_timeout(leader::LEAST_TIMEOUT);
    let process = Process::start(&zk);
    leads(&process.campaign("a")).await;
}

#[tokio::test(start_paused = true)]
async fn unusable_data_is_refused_before_anything_is_sent() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let nobody = NodeData {
        address: None,
        unique_code: None,
        weight: 1,
        registered_at: 0,
        metadata: Metadata::default(),
    };
    let large = data("a").with_metadata("large", "x".repeat(70_000));
    for bad in [nobody, large, NodeData::behind_broker("a/b")] {
        let refused = process.election.campaign(&time(), bad);
        assert!(matches!(&refused, Err(Error::Invalid(what)) if !what.is_empty()), "{refused:?}");
    }
    let candidacy = process.campaign("a");
    let refused = candidacy.update(|data| data.unique_code = None);
    assert!(matches!(refused, Err(Error::Invalid(_))));
    assert_eq!(candidacy.data(), data("a"));
}

#[tokio::test(start_paused = true)]
async fn a_candidate_that_says_something_else_keeps_its_place_and_its_term() {
    let zk = FakeZk::default();
    let (_one, first) = in_line(&zk, "a").await;
    let (_two, second) = in_line(&zk, "b").await;
    let leadership = leads(&first).await;
    first.update(|data| data.weight = 7).unwrap();
    second.update(|data| data.weight = 8).unwrap();
    let weight = |zk: &FakeZk, name| proto::decode(&zk.get(&path(name)).unwrap().data).unwrap().weight;
    let written = |zk: &FakeZk| (weight(zk, "a-0000000000"), weight(zk, "b-0000000001")) == (7, 8);
    timeout(LIMIT, zk.until(written)).await.unwrap();
    sleep(T).await;
    assert!(leadership.holds());
    assert!(matches!(&*second.status().borrow(), Status::Waiting { .. }));
    assert_eq!(first.data().weight, 7);
}

#[tokio::test(start_paused = true)]
async fn one_whose_update_is_refused_keeps_its_place_and_leads_when_its_turn_comes() {
    let zk = FakeZk::default();
    let (_one, first) = in_line(&zk, "a").await;
    let (_two, second) = in_line(&zk, "b").await;
    let (_three, third) = in_line(&zk, "c").await;
    leads(&first).await;
    let node = path(&line(&zk)[1]);
    zk.refuse(&node, true);
    second.update(|data| data.weight = 7).unwrap();
    sleep(T).await;
    assert!(matches!(&*second.status().borrow(), Status::Waiting { .. }), "{second:?}");
    first.resign().await;
    let leadership = leads(&second).await;
    assert_eq!(leadership.path(), node);
    assert!(matches!(&*third.status().borrow(), Status::Waiting { ahead } if *ahead == node));
    zk.refuse(&node, false);
    let written = |zk: &FakeZk| proto::decode(&zk.get(&node).unwrap().data).unwrap().weight == 7;
    timeout(LIMIT, zk.until(written)).await.expect("what is allowed again is written");
    assert!(leadership.holds());
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_update_is_refused_leads_again_after_a_lapse() {
    let zk = FakeZk::default();
    let (one, first) = in_line(&zk, "a").await;
    let leadership = leads(&first).await;
    zk.refuse(leadership.path(), true);
    first.update(|data| data.weight = 7).unwrap();
    sleep(2 * T).await;
    assert!(leadership.holds());
    one.client.set_reachable(false);
    assert_eq!(lost(&leadership).await, Lost::LeaseEnded);
    one.client.set_reachable(true);
    assert_eq!(leads(&first).await.term(), leadership.term());
}

#[tokio::test(start_paused = true)]
async fn what_a_refusal_is_about_is_told_and_what_is_allowed_again_is_done() {
    let zk = FakeZk::default();
    zk.put(DIR, "");
    zk.refuse(DIR, true);
    let process = Process::start(&zk);
    let candidacy = process.campaign("a");
    let told = |now: &Status| matches!(now, Status::Joining { problem: Some(Error::ZooKeeper(_)) });
    until(&mut candidacy.status(), "the refusal is told", told).await;
    zk.refuse(DIR, false);
    let leadership = leads(&candidacy).await;

    // Neither listed nor renewed while nothing may be read.
    zk.refuse_reads(DIR, true);
    assert_eq!(lost(&leadership).await, Lost::LeaseEnded);
    let told = |now: &Status| matches!(now, Status::First { problem: Some(Error::ZooKeeper(_)) });
    until(&mut candidacy.status(), "the refusal is told", told).await;
    let (_other, second) = {
        let process = Process::start(&zk);
        let candidacy = process.campaign("b");
        (process, candidacy)
    };
    let told = |now: &Status| matches!(now, Status::Joining { problem: Some(Error::ZooKeeper(_)) });
    until(&mut second.status(), "the refusal is told", told).await;
    zk.refuse_reads(DIR, false);
    assert_eq!(leads(&candidacy).await.term(), leadership.term());
    settled(&second).await;
}

#[tokio::test(start_paused = true)]
async fn nodes_that_cannot_be_read_count_and_those_that_no_session_owns_do_not() {
    let zk = FakeZk::default();
    let stranger = zk.stranger();
    zk.put_ephemeral(&path("bad-0000000000"), "\u{0}nonsense", stranger);
    zk.put(&path("left-0000000001"), "");
    zk.put(&path("no candidate"), "");
    let owner = zk.stranger();
    zk.put_ephemeral(&path("c-0000000002"), "", owner);
    let (process, candidacy) = in_line(&zk, "a").await;
    let waits = candidacy.status().borrow().clone();
    assert!(matches!(&waits, Status::Waiting { ahead } if *ahead == path("c-0000000002")), "{waits:?}");
    let master = process.election.master(&time()).await.unwrap().unwrap();
    assert_eq!(master.id, "bad");
    assert!(master.data.unwrap_err().contains("the value begins with 00"));

    zk.expire(owner);
    let behind_bad =
        |now: &Status| matches!(now, Status::Waiting { ahead } if *ahead == path("bad-0000000000"));
    until(&mut candidacy.status(), "the next one ahead is watched", behind_bad).await;
    zk.expire(stranger);
    let leadership = leads(&candidacy).await;
    let master = process.election.master(&time()).await.unwrap().unwrap();
    assert_eq!((master.path.as_str(), master.term), (leadership.path(), leadership.term()));
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_has_counted_to_the_end_is_told_of() {
    let zk = FakeZk::default();
    zk.put(DIR, "");
    zk.set_sequence(DIR, 2_147_483_648);
    let process = Process::start(&zk);
    let candidacy = process.campaign("a");
    let told = |now: &Status| {
        matches!(now, Status::Joining { problem: Some(Error::ZooKeeper(zk_session::Error::Rejected { what })) }
            if what.contains("run out of sequence numbers"))
    };
    until(&mut candidacy.status(), "it is told", told).await;
    zk.remove(DIR);
    leads(&candidacy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn resigning_from_several_sides_at_once_ends() {
    for _ in 0..300 {
        let zk = FakeZk::default();
        let process = Process::start(&zk);
        let candidacy = process.campaign("a");
        let leadership = leads(&candidacy).await;
        let by_leadership = tokio::task::spawn_blocking(move || leadership.resign());
        let by_update = candidacy.update(|data| data.weight = 2);
        assert!(matches!(by_update, Ok(()) | Err(Error::Over)));
        timeout(LIMIT, candidacy.resign()).await.expect("it resigns");
        timeout(LIMIT, by_leadership).await.expect("it is given up").expect("no panic");
        assert_eq!(line(&zk).len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_no_candidate_can_have_stands_in_nobodys_way() {
    let zk = FakeZk::default();
    let (one, first) = in_line(&zk, "a").await;
    leads(&first).await;
    let observer = one.election.observe(&time());
    zk.put(&path(&format!("{}-0000000000", "0".repeat(5000))), "");
    let (_two, second) = in_line(&zk, "b").await;
    first.resign().await;
    leads(&second).await;
    until(&mut observer.master_id(), "it is seen", |now| *now == Some(id("b"))).await;
    // Whoever comes later lists it.
    let late = one.election.observe(&time());
    until(&mut late.master_id(), "it is seen", |now| *now == Some(id("b"))).await;
}
