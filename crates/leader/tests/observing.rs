//! Who leads, as everybody else sees it, on the fake with paused time.

mod common;

use std::sync::Arc;

use common::{DIR, LIMIT, Process, T, in_line, leads, path, time, until};
use leader::{Error, Master, Observer, Source, View};
use tokio::time::{sleep, timeout};
use zk_session::fake::FakeZk;

async fn shows(observer: &Observer, live: bool, expected: Option<&str>) -> Option<Arc<Master>> {
    let is = |view: &Option<View>| {
        view.as_ref().is_some_and(|view| {
            let id = view.master.as_ref().map(|master| &*master.id);
            id == expected && matches!(view.source, Source::Live) == live
        })
    };
    let what = format!("{expected:?} leads, live: {live}");
    let master = until(&mut observer.view(), &what, is).await.expect("there is a view").master;
    // Whatever it is by now: the two are published together.
    let shown = observer.master().map(|master| master.id.clone());
    assert_eq!(observer.master_id().borrow().as_ref().map(ToString::to_string), shown);
    master
}

#[tokio::test(start_paused = true)]
async fn an_observer_knows_who_leads_with_its_term_and_data() {
    let zk = FakeZk::default();
    let watcher = Process::start(&zk);
    let observer = watcher.election.observe(&time());
    assert_eq!(observer.master(), None);
    let nobody = timeout(LIMIT, observer.ready()).await.unwrap().unwrap();
    assert_eq!(nobody, View { master: None, source: Source::Live });

    let (_one, first) = in_line(&zk, "a").await;
    let leadership = leads(&first).await;
    let master = shows(&observer, true, Some("a")).await.unwrap();
    assert_eq!((master.term, &*master.path), (leadership.term(), leadership.path()));
    assert_eq!(master.data, Ok(common::data("a")));
    assert_eq!(master.stands_since, zk.get(leadership.path()).unwrap().stat.created_at);
    assert_eq!(observer.master(), Some(master.clone()));
    assert_eq!(watcher.election.master(&time()).await.unwrap().as_ref(), Some(&*master));

    first.update(|data| data.weight = 9).unwrap();
    let is = |view: &Option<View>| {
        let master = view.as_ref().and_then(|view| view.master.as_ref());
        master.is_some_and(|master| master.data.as_ref().is_ok_and(|data| data.weight == 9))
    };
    until(&mut observer.view(), "its data is followed", is).await;
    let (_two, second) = in_line(&zk, "b").await;
    first.resign().await;
    let next = shows(&observer, true, Some("b")).await.unwrap();
    assert_eq!(next.term, leads(&second).await.term());
    second.resign().await;
    shows(&observer, true, None).await;
}

#[tokio::test(start_paused = true)]
async fn an_observer_costs_nothing_while_nothing_changes_and_a_read_when_another_leads() {
    let zk = FakeZk::default();
    let (_one, first) = in_line(&zk, "a").await;
    let mut others = Vec::new();
    for index in 0..20 {
        others.push(in_line(&zk, &format!("b{index}")).await);
    }
    let watcher = Process::start(&zk);
    let observer = watcher.election.observe(&time());
    shows(&observer, true, Some("a")).await;
    // A look of its own shows what the watcher asked: everybody else is cut off from their idle requests by that.
    let idle = |requests: zk_session::fake::Requests| requests.gets + requests.lists + requests.batches;
    zk.reset_requests();
    sleep(10 * T).await;
    assert_eq!(idle(zk.requests()), 0);
    let (_process, last) = others.pop().unwrap();
    last.resign().await;
    let _joined = in_line(&zk, "c").await;
    sleep(T).await;
    assert_eq!(zk.requests().gets, 0, "who is behind the leader is not read");
    zk.reset_requests();
    first.resign().await;
    shows(&observer, true, Some("b0")).await;
    sleep(T).await;
    assert_eq!(
        (zk.requests().gets, zk.requests().lists),
        (1, 1),
        "one read here, and the list of the next one"
    );
}

#[tokio::test(start_paused = true)]
async fn an_observer_without_zookeeper_keeps_the_last_it_knew_and_says_that_it_is_old() {
    let zk = FakeZk::default();
    let (_one, first) = in_line(&zk, "a").await;
    let (_two, second) = in_line(&zk, "b").await;
    leads(&first).await;
    let watcher = Process::start(&zk);
    let observer = watcher.election.observe(&time());
    shows(&observer, true, Some("a")).await;
    watcher.client.set_reachable(false);
    shows(&observer, false, Some("a")).await;
    first.resign().await;
    leads(&second).await;
    sleep(3 * T).await;
    shows(&observer, false, Some("a")).await;
    watcher.client.set_reachable(true);
    shows(&observer, true, Some("b")).await;
    // In a new session, too, what ZooKeeper says is the truth: who is not in the line does not lead.
    zk.expire(watcher.session());
    second.resign().await;
    shows(&observer, true, None).await;
}

#[tokio::test(start_paused = true)]
async fn an_observer_heals_whatever_happens_to_the_directory() {
    let zk = FakeZk::default();
    let (_one, first) = in_line(&zk, "a").await;
    leads(&first).await;
    let watcher = Process::start(&zk);
    let observer = watcher.election.observe(&time());
    let before = shows(&observer, true, Some("a")).await.unwrap();
    zk.remove("/headkeeper");
    let later = |view: &Option<View>| {
        let master = view.as_ref().and_then(|view| view.master.as_ref());
        master.is_some_and(|master| master.term > before.term)
    };
    until(&mut observer.view(), "the next term", later).await;

    first.resign().await;
    shows(&observer, true, None).await;
    // A stranger's: who gave its own node up would delete it again at once.
    let node = path("b-0000000009");
    zk.put_ephemeral(&node, "{}", zk.stranger());
    shows(&observer, true, Some("b")).await;
    let snapshot = zk.snapshot();
    zk.remove(&node);
    shows(&observer, true, None).await;
    zk.restore(&snapshot);
    shows(&observer, true, Some("b")).await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_data_may_not_or_cannot_be_read_is_shown_as_such() {
    let zk = FakeZk::default();
    let stranger = zk.stranger();
    zk.put_ephemeral(&path("bad-0000000003"), "nonsense", stranger);
    zk.put(&path("left-0000000001"), "");
    let watcher = Process::start(&zk);
    let observer = watcher.election.observe(&time());
    let master = shows(&observer, true, Some("bad")).await.unwrap();
    assert!(master.data.clone().unwrap_err().contains("accepted"), "{master:?}");
    assert_eq!(master.term.0, zk.get(&path("bad-0000000003")).unwrap().stat.czxid);

    zk.put(&path("bad-0000000003"), proto::encode(&common::data("mended")).unwrap());
    let mended = |view: &Option<View>| {
        let master = view.as_ref().and_then(|view| view.master.as_ref());
        master.is_some_and(|master| master.data.is_ok())
    };
    until(&mut observer.view(), "it is mended", mended).await;
    zk.expire(stranger);
    shows(&observer, true, None).await;
}

#[tokio::test(start_paused = true)]
async fn what_keeps_an_observer_from_following_is_told() {
    let zk = FakeZk::default();
    zk.put(DIR, "");
    zk.refuse_reads(DIR, true);
    let watcher = Process::start(&zk);
    let observer = watcher.election.observe(&time());
    until(&mut observer.problem(), "the refusal is told", Option::is_some).await;
    let asked = watcher.election.master(&time()).await;
    assert!(matches!(&asked, Err(Error::ZooKeeper(zk_session::Error::Rejected { .. }))), "{asked:?}");
    zk.refuse_reads(DIR, false);
    shows(&observer, true, None).await;
    until(&mut observer.problem(), "no trouble any more", Option::is_none).await;

    watcher.keeper.close().await;
    shows(&observer, false, None).await;
    assert!(matches!(watcher.election.master(&time()).await, Err(Error::Over)));
    let late = watcher.election.observe(&time());
    assert!(matches!(timeout(LIMIT, late.ready()).await.unwrap(), Err(Error::Over)));
}

#[tokio::test(start_paused = true)]
async fn who_leads_can_be_asked_of_every_service() {
    let zk = FakeZk::default();
    let (process, first) = in_line(&zk, "a").await;
    leads(&first).await;
    assert_eq!(process.election.master(&time()).await.unwrap().unwrap().id, "a");
    let nobody = leader::ServiceName::parse("nobody").unwrap();
    assert_eq!(process.election.master(&nobody).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_node_without_owner_at_the_front_is_read_once() {
    let zk = FakeZk::default();
    zk.put(&path("left-0000000000"), "");
    zk.set_sequence(DIR, 1);
    let (_one, first) = in_line(&zk, "a").await;
    let watcher = Process::start(&zk);
    let observer = watcher.election.observe(&time());
    shows(&observer, true, Some("a")).await;
    zk.reset_requests();
    for index in 0..5 {
        let _left_again = in_line(&zk, &format!("b{index}")).await;
    }
    sleep(T).await;
    assert_eq!(zk.requests().gets, 0);
    zk.remove(&path("left-0000000000"));
    first.resign().await;
    shows(&observer, true, None).await;
}
