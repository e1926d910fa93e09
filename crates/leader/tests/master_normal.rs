//! Standing for election in the layout of the old Go framework, on the fake with paused time.

mod common;

use std::time::Duration;

use common::{LIMIT, T, id, leads, lost, time, until};
use leader::{
    Candidacy, Credentials, Election, Error, Layout, Lost, NodeData, OwnNode, Root, Source, Status,
};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use zk_session::fake::{FakeClient, FakeZk};
use zk_session::{Keeper, SessionId};

const DIR: &str = "/micro-service/time";
const MASTER: &str = "/micro-service/time/master";

struct Process {
    client: FakeClient,
    keeper: Keeper,
    election: Election,
}

impl Process {
    fn start(zk: &FakeZk) -> Self {
        let client = zk.client();
        let keeper = Keeper::start(client.clone());
        let root = Root::parse("/micro-service").expect("a path");
        let layout = Layout::MasterNormal { root, credentials: Credentials::default() };
        let election = Election::with_layout(keeper.sessions(), layout);
        Self { client, keeper, election }
    }

    fn join(&self, port: u16) -> Candidacy {
        self.election.campaign(&time(), at(port)).expect("good data")
    }

    fn session(&self) -> SessionId {
        self.client.session().expect("it has a session")
    }
}

fn at(port: u16) -> NodeData {
    NodeData::at(format!("127.0.0.1:{port}").parse().expect("an address")).with_code("c")
}

/// A process that has joined, and is registered by now.
async fn joined(zk: &FakeZk, port: u16) -> (Process, Candidacy, OwnNode) {
    let process = Process::start(zk);
    let candidacy = process.join(port);
    let node = registered(&candidacy).await;
    (process, candidacy, node)
}

async fn registered(candidacy: &Candidacy) -> OwnNode {
    let node = until(&mut candidacy.node(), "it is registered", Option::is_some).await;
    OwnNode::clone(&node.expect("there"))
}

async fn registered_as(candidacy: &Candidacy, path: &str) {
    let is = |node: &Option<std::sync::Arc<OwnNode>>| node.as_ref().is_some_and(|node| node.path == path);
    until(&mut candidacy.node(), path, is).await;
}

/// Waits until these are the children of the service.
async fn become_(zk: &FakeZk, names: &[&str]) {
    let now = || {
        let mut now = zk.children(DIR);
        now.sort();
        now
    };
    let reached = async {
        while now() != names {
            sleep(Duration::from_millis(1)).await;
        }
    };
    if timeout(LIMIT, reached).await.is_err() {
        panic!("waited for {names:?}, there are {:?}", now());
    }
}

/// How many nodes a session has in the directory.
fn nodes_of(zk: &FakeZk, session: SessionId) -> usize {
    let owned = |name: &String| zk.owner(&format!("{DIR}/{name}")) == Some(session);
    zk.children(DIR).iter().filter(|name| owned(name)).count()
}

/// As the old programs write it.
const FOREIGN: &str = r#"{"serverip":"10.0.0.9","serverport":50000,"username":"u","userpwd":"hunter2","serveruniquecode":"old","weight":1}"#;

#[tokio::test(start_paused = true)]
async fn the_first_is_the_master_and_all_others_are_normal() {
    let zk = FakeZk::default();
    let (_one, first, node) = joined(&zk, 50001).await;
    assert_eq!(node.path, MASTER);
    leads(&first).await;
    let (two, second, node) = joined(&zk, 50002).await;
    assert_eq!(node, OwnNode { path: format!("{DIR}/normal0000000001"), session: two.session() });
    let waiting = |now: &Status| matches!(now, Status::Waiting { ahead } if ahead == MASTER);
    until(&mut second.status(), "it waits for the master", waiting).await;
    become_(&zk, &["master", "normal0000000001"]).await;
    let value = zk.get(&node.path).unwrap().data;
    assert_eq!(
        String::from_utf8(value).unwrap(),
        r#"{"serverip":"127.0.0.1","serverport":50002,"username":"","userpwd":"","serveruniquecode":"c","weight":1}"#
    );
    assert_eq!(zk.get("/micro-service").unwrap().stat.owner, None);
    zk.reap_containers();
    first.resign().await;
    second.resign().await;
    become_(&zk, &[]).await;
    zk.reap_containers();
    assert!(zk.get(DIR).is_some(), "the directory is a persistent one");
}

#[tokio::test(start_paused = true)]
async fn a_normal_one_is_promoted_without_being_gone_in_between() {
    for graceful in [true, false] {
        let zk = FakeZk::default();
        let (one, first, _) = joined(&zk, 50001).await;
        let before = leads(&first).await;
        let (two, second, normal) = joined(&zk, 50002).await;
        let gone = async {
            if graceful {
                first.resign().await;
            } else {
                one.client.set_reachable(false);
                zk.expire(one.session());
            }
        };
        let seen = async {
            loop {
                let count = nodes_of(&zk, two.session());
                assert!(count > 0, "it is found under neither node");
                if zk.owner(MASTER) == Some(two.session()) && count == 1 {
                    break;
                }
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(LIMIT, async { tokio::join!(gone, seen) }).await.expect("promoted");
        registered_as(&second, MASTER).await;
        assert_eq!(zk.get(&normal.path), None);
        let now = leads(&second).await;
        assert!(now.term() > before.term() && !before.holds());
        assert_eq!(now.path(), MASTER);
        assert_eq!(Some(now.term().0), zk.get(MASTER).map(|node| node.stat.czxid));
    }
}

#[tokio::test(start_paused = true)]
async fn a_promotion_is_not_missed_while_cut_off() {
    let zk = FakeZk::default();
    let old = zk.stranger();
    zk.put_ephemeral(MASTER, FOREIGN, old);
    let (two, second, _) = joined(&zk, 50002).await;
    let session = two.session();
    two.client.set_reachable(false);
    until(&mut second.node(), "it knows nothing", Option::is_none).await;
    zk.remove(MASTER);
    two.client.set_reachable(true);
    registered_as(&second, MASTER).await;
    assert_eq!(two.session(), session);
    become_(&zk, &["master"]).await;
    leads(&second).await;
}

#[tokio::test(start_paused = true)]
async fn a_foreign_master_is_never_touched_and_succeeded() {
    let zk = FakeZk::default();
    let old = zk.stranger();
    zk.put_ephemeral(MASTER, FOREIGN, old);
    let (two, second, node) = joined(&zk, 50002).await;
    sleep(5 * T).await;
    assert_eq!((zk.owner(MASTER), nodes_of(&zk, two.session())), (Some(old), 1));
    assert_eq!(node.path, format!("{DIR}/normal0000000001"));
    zk.expire(old);
    leads(&second).await;
    become_(&zk, &["master"]).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_is_overtaken_by_a_foreign_one_becomes_normal_again() {
    let zk = FakeZk::default();
    let (one, first, _) = joined(&zk, 50001).await;
    let leadership = leads(&first).await;
    one.client.set_reachable(false);
    zk.expire(one.session());
    assert_eq!(lost(&leadership).await, Lost::LeaseEnded);
    zk.put_ephemeral(MASTER, FOREIGN, zk.stranger());
    one.client.set_reachable(true);
    become_(&zk, &["master", "normal0000000002"]).await;
    registered_as(&first, &format!("{DIR}/normal0000000002")).await;
}

#[tokio::test(start_paused = true)]
async fn nodes_that_others_delete_are_restored() {
    let zk = FakeZk::default();
    let (_one, first, _) = joined(&zk, 50001).await;
    let before = leads(&first).await;
    let (_two, second, normal) = joined(&zk, 50002).await;
    assert!(zk.remove(&normal.path));
    become_(&zk, &["master", "normal0000000002"]).await;
    registered_as(&second, &format!("{DIR}/normal0000000002")).await;
    assert!(zk.remove(MASTER));
    assert_eq!(lost(&before).await, Lost::NodeDeleted);
    timeout(LIMIT, async {
        while zk.owner(MASTER).is_none() {
            sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("somebody is the master again");
    // Whoever it is now, both are there, each once.
    let both = async {
        while zk.children(DIR).len() != 2 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LIMIT, both).await.expect("both are registered");
}

#[tokio::test(start_paused = true)]
async fn nobody_leads_for_a_node_that_is_known_to_be_gone_before_a_notification_comes() {
    let zk = FakeZk::default();
    let (_one, first, _) = joined(&zk, 50001).await;
    let before = leads(&first).await;
    sleep(T).await;
    zk.hold_watches(true);
    zk.remove(MASTER);
    let ended = timeout(T / 5, before.lost()).await.expect("the next renewal finds it");
    assert_eq!(ended, Lost::NodeDeleted);
    zk.reset_requests();
    let status = first.status();
    let leading = || matches!(&*status.borrow(), Status::Leading(_));
    // Whoever began again and again would do so without time going on: not by the clock at first.
    for _ in 0..10_000 {
        assert!(!leading(), "{:?}", zk.requests());
        yield_now().await;
    }
    for _ in 0..100 {
        sleep(T / 100).await;
        assert!(!leading(), "{:?}", zk.requests());
    }
    assert!(zk.requests().multis <= 1, "{:?}", zk.requests());
    zk.hold_watches(false);
    assert!(leads(&first).await.term() > before.term());
}

#[tokio::test(start_paused = true)]
async fn a_master_that_is_deleted_while_others_write_into_it_is_never_there_twice() {
    let zk = FakeZk::default();
    let (_one, first, _) = joined(&zk, 50001).await;
    let (_two, second, _) = joined(&zk, 50002).await;
    let before = leads(&first).await;
    sleep(T).await;
    let is_ours = |zk: &FakeZk| zk.get(MASTER).is_some_and(|node| node.data != b"x");
    // It is written again later each time.
    for _ in 0..3 {
        zk.put(MASTER, "x");
        timeout(LIMIT, zk.until(is_ours)).await.expect("written again");
    }
    zk.put(MASTER, "x");
    sleep(T / 50).await;
    assert!(before.holds() && !is_ours(&zk), "it is not written again yet");
    zk.remove(MASTER);
    timeout(Duration::from_millis(1), before.lost()).await.expect("lost at once");
    let holds = |candidacy: &Candidacy| match &*candidacy.status().borrow() {
        Status::Leading(leadership) => leadership.holds(),
        _ => false,
    };
    for _ in 0..1_000 {
        assert!(!(holds(&first) && holds(&second)), "two lead");
        sleep(Duration::from_millis(1)).await;
    }
    assert!(holds(&first) || holds(&second), "somebody leads");
}

/// Waits until the session has one node, and all together this many; and that it stays so.
async fn one_node_each(zk: &FakeZk, process: &Process, all: usize) {
    let is_so = || {
        let session = process.client.session();
        zk.children(DIR).len() == all && session.is_some_and(|session| nodes_of(zk, session) == 1)
    };
    let settled = async {
        while !is_so() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(LIMIT, settled).await.unwrap_or_else(|_| panic!("there are {:?}", zk.children(DIR)));
    sleep(2 * T).await;
    assert!(is_so(), "there are {:?}", zk.children(DIR));
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_making_a_node_may_be_lost_and_there_is_one_all_the_same() {
    for expired in [false, true] {
        for master in [true, false] {
            let zk = FakeZk::default();
            let other = (!master).then(|| zk.put_ephemeral(MASTER, FOREIGN, zk.stranger()));
            let all = 1 + other.iter().count();
            zk.put(DIR, "");
            let process = Process::start(&zk);
            let mut state = process.keeper.sessions().state();
            until(&mut state, "connected", |state| matches!(state, zk_session::State::Connected { .. }))
                .await;
            zk.reset_requests();
            // The directory is there: the first write makes the node.
            zk.lose_next_reply();
            let candidacy = process.join(50001);
            timeout(LIMIT, zk.until(|zk| zk.children(DIR).len() == all)).await.expect("made");
            if expired {
                let lost = process.client.session().or(zk.sessions().last().copied());
                lost.into_iter().for_each(|session| zk.expire(session));
            }
            registered(&candidacy).await;
            one_node_each(&zk, &process, all).await;
            assert!(zk.requests().connects > 0, "no answer was lost: {:?}", zk.requests());
            // The same for the one that is restored.
            let path = registered(&candidacy).await.path;
            zk.reset_requests();
            zk.lose_next_reply();
            zk.remove(&path);
            one_node_each(&zk, &process, all).await;
            assert!(zk.requests().connects > 0, "no answer was lost: {:?}", zk.requests());
            timeout(LIMIT, candidacy.resign()).await.expect("it leaves");
            assert_eq!(zk.children(DIR).len(), all - 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_has_one_node_however_often_sessions_expire() {
    let zk = FakeZk::default();
    let (_one, first, _) = joined(&zk, 50001).await;
    leads(&first).await;
    let (two, second, _) = joined(&zk, 50002).await;
    for _ in 0..5 {
        zk.expire(two.session());
        until(&mut second.node(), "it knows nothing", Option::is_none).await;
        registered(&second).await;
        one_node_each(&zk, &two, 2).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_leaves_and_joins_again_at_once_is_registered() {
    let zk = FakeZk::default();
    zk.put_ephemeral(MASTER, FOREIGN, zk.stranger());
    let (two, mut second, _) = joined(&zk, 50002).await;
    for port in 50003..50013 {
        // It goes in the background, while the next one comes.
        drop(second);
        second = two.join(port);
        registered(&second).await;
        one_node_each(&zk, &two, 2).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_that_may_not_be_read_keep_nobody_from_being_registered_or_leaving() {
    let zk = FakeZk::default();
    zk.put_ephemeral(MASTER, FOREIGN, zk.stranger());
    zk.put_ephemeral(&format!("{DIR}/normal0000000077"), FOREIGN, zk.stranger());
    for path in [MASTER, &format!("{DIR}/normal0000000077")] {
        zk.refuse_reads(path, true);
    }
    let (two, second, _) = joined(&zk, 50002).await;
    zk.expire(two.session());
    until(&mut second.node(), "it knows nothing", Option::is_none).await;
    registered(&second).await;
    one_node_each(&zk, &two, 3).await;
    timeout(LIMIT, second.resign()).await.expect("it leaves");
    assert_eq!(nodes_of(&zk, two.session()), 0);
}

#[tokio::test(start_paused = true)]
async fn who_may_never_lead_is_refused_before_its_turn_comes() {
    let zk = FakeZk::with_timeout(Duration::from_millis(300));
    zk.put_ephemeral(MASTER, FOREIGN, zk.stranger());
    let process = Process::start(&zk);
    let candidacy = process.join(50002);
    let refused = timeout(LIMIT, candidacy.elected()).await.expect("refused");
    assert!(matches!(refused, Err(Error::SessionTooShort { .. })), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn leaving_at_any_moment_leaves_nothing() {
    for moment in 0..40 {
        let zk = FakeZk::default();
        let (one, first, _) = joined(&zk, 50001).await;
        let stays = one.session();
        let two = Process::start(&zk);
        let second = two.join(50002);
        if moment < 20 {
            sleep(Duration::from_micros(100 * moment)).await;
        } else {
            registered(&second).await;
            one.client.set_reachable(false);
            zk.expire(one.session());
            sleep(Duration::from_millis(5 * (moment - 20))).await;
        }
        let mut node = second.node();
        timeout(LIMIT, second.resign()).await.expect("it leaves");
        let left =
            || zk.sessions().into_iter().filter(|id| *id != stays).map(|id| nodes_of(&zk, id)).sum::<usize>();
        assert_eq!(left(), 0, "moment {moment}");
        assert!(node.borrow_and_update().is_none());
        sleep(2 * T).await;
        assert_eq!(left(), 0, "moment {moment}");
        drop(first);
    }
}

#[tokio::test(start_paused = true)]
async fn leaving_while_cut_off_is_remembered() {
    for master in [true, false] {
        let zk = FakeZk::default();
        if !master {
            zk.put_ephemeral(MASTER, FOREIGN, zk.stranger());
        }
        let (one, first, _) = joined(&zk, 50001).await;
        one.client.set_reachable(false);
        let session = one.session();
        let leaving = timeout(Duration::from_millis(1), first.resign()).await;
        assert!(leaving.is_err(), "the node is there still");
        one.client.set_reachable(true);
        let gone = async {
            while nodes_of(&zk, session) > 0 {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(LIMIT, gone).await.expect("it is gone");
        assert_eq!(one.session(), session);
        one.keeper.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_cut_costs_neither_leadership_nor_a_node() {
    let zk = FakeZk::default();
    let (one, first, _) = joined(&zk, 50001).await;
    let (two, second, normal) = joined(&zk, 50002).await;
    let leadership = leads(&first).await;
    zk.reset_requests();
    for process in [&one, &two] {
        zk.disconnect(process.session());
    }
    sleep(T).await;
    assert!(leadership.holds());
    registered_as(&first, MASTER).await;
    registered_as(&second, &normal.path).await;
    assert_eq!((zk.requests().creates, zk.requests().deletes), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_changed_is_written_whoever_it_is() {
    let zk = FakeZk::default();
    let (_one, first, _) = joined(&zk, 50001).await;
    let (_two, second, normal) = joined(&zk, 50002).await;
    let weighs = |path: &str, weight: u32| {
        let value = zk.get(path).map(|node| node.data);
        value.is_some_and(|value| proto::master_normal::decode(&value).unwrap().0.weight == weight)
    };
    for (candidacy, path) in [(&first, MASTER), (&second, &*normal.path)] {
        candidacy.update(|data| data.weight = 7).unwrap();
        let written = async {
            while !weighs(path, 7) {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(LIMIT, written).await.expect("written");
    }
    // What was said while it was normal is said by the master.
    first.resign().await;
    registered_as(&second, MASTER).await;
    assert!(weighs(MASTER, 7));
    let refused = second.update(|data| {
        data.metadata.insert("zone", "a");
    });
    assert!(matches!(refused, Err(Error::Invalid(what)) if what.contains("metadata")));
}

#[tokio::test(start_paused = true)]
async fn one_process_joins_a_service_once() {
    let zk = FakeZk::default();
    let (one, first, _) = joined(&zk, 50001).await;
    let again = one.election.campaign_as(&time(), id("other"), at(50009));
    assert!(matches!(again, Err(Error::Invalid(what)) if what.contains("kept by this process already")));
    first.resign().await;
    let again = one.join(50009);
    registered_as(&again, MASTER).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_is_told_the_master_and_no_password() {
    let zk = FakeZk::default();
    let asking = Process::start(&zk);
    assert_eq!(asking.election.master(&time()).await.unwrap(), None);
    let observer = asking.election.observe(&time());
    let mut view = observer.view();
    let named = |term: Option<i64>| {
        move |view: &Option<leader::View>| {
            view.as_ref().is_some_and(|view| {
                view.source == Source::Live && view.master.as_ref().map(|master| master.term.0) == term
            })
        }
    };
    until(&mut view, "nobody leads", named(None)).await;

    // Who stands by never leads, and what no session owns does not either.
    zk.put_ephemeral(&format!("{DIR}/normal0000000000"), FOREIGN, zk.stranger());
    zk.put(MASTER, FOREIGN);
    sleep(T).await;
    assert_eq!(asking.election.master(&time()).await.unwrap(), None);
    assert!(observer.master().is_none());

    zk.remove(MASTER);
    zk.put_ephemeral(MASTER, FOREIGN, zk.stranger());
    let czxid = zk.get(MASTER).map(|node| node.stat.czxid);
    until(&mut view, "the master is named", named(czxid)).await;
    let master = observer.master().unwrap();
    assert_eq!((&*master.id, &*master.path), ("master", MASTER));
    let data = master.data.as_ref().unwrap();
    assert_eq!(data.address.as_ref().unwrap().to_string(), "10.0.0.9:50000");
    assert_eq!(asking.election.master(&time()).await.unwrap().as_ref(), Some(&*master));
    assert!(!format!("{master:?}").contains("hunter2"));
    assert_eq!(zk.requests().lists, 0, "nobody needs to know who else is there");

    zk.remove(MASTER);
    zk.put_ephemeral(MASTER, r#"{"userpwd":["hunter2"]}"#, zk.stranger());
    let czxid = zk.get(MASTER).map(|node| node.stat.czxid);
    until(&mut view, "another one is named", named(czxid)).await;
    let master = observer.master().unwrap();
    assert_eq!(master.data, Err("userpwd: it is a list; accepted: a text".to_owned()));
}
