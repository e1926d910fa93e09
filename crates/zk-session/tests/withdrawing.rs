//! What is left of a presence that is withdrawn, on the fake with paused time: nothing.

mod common;

use std::time::Duration;

use common::{LIMIT, Process, Told, data, eventually, held, pending, until};
use tokio::runtime::Handle;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use zk_session::fake::FakeZk;
use zk_session::{Error, Kind, MAX_OPS, Name, Presence, Spec, State};

const PATH: &str = "/services/a/one";

#[tokio::test(start_paused = true)]
async fn withdrawn_at_any_moment_it_leaves_nothing() {
    for yields in 0..60 {
        let zk = FakeZk::default().with_seed(yields);
        let process = Process::start(&zk);
        let presence = process.own("v1");
        for _ in 0..yields {
            yield_now().await;
        }
        timeout(LIMIT, presence.withdraw()).await.expect("withdrawn in time");
        assert_eq!(zk.get(PATH), None, "after {yields} steps");
        sleep(Duration::from_secs(1)).await;
        assert_eq!(zk.get(PATH), None, "after {yields} steps and a second");
    }
}

#[tokio::test(start_paused = true)]
async fn withdrawn_while_cut_off_it_never_comes_back() {
    for away in [Duration::from_secs(1), Duration::from_secs(30)] {
        let zk = FakeZk::default();
        let process = Process::start(&zk);
        let presence = process.own("v1");
        held(&presence).await;
        process.client.set_reachable(false);
        pending(&presence).await;
        let withdrawal = tokio::spawn(presence.withdraw());
        sleep(away).await;
        process.client.set_reachable(true);
        timeout(LIMIT, withdrawal).await.expect("in time").unwrap();
        assert_eq!(zk.get(PATH), None);
        sleep(Duration::from_secs(30)).await;
        assert_eq!(zk.get(PATH), None);
    }
}

#[tokio::test(start_paused = true)]
async fn withdrawing_what_was_never_tried_waits_for_nobody() {
    let zk = FakeZk::default();
    zk.set_reachable(false);
    let process = Process::start(&zk);
    let presence = process.own("v1");
    timeout(Duration::from_millis(1), presence.withdraw()).await.expect("at once");
    zk.set_reachable(true);
    until(&mut process.sessions().state(), "connected", |now| matches!(now, State::Connected { .. })).await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(zk.get(PATH), None);
}

#[tokio::test(start_paused = true)]
async fn dropping_withdraws_in_the_background() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let presence = process.own("v1");
    held(&presence).await;
    drop(presence);
    eventually("it is gone", || zk.get(PATH).is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn withdrawn_while_it_looks_for_the_first_time_it_makes_nothing() {
    for leftover in [false, true] {
        let zk = FakeZk::default();
        let process = Process::start(&zk);
        let before = process.sessions().next().await.expect("connected").id();
        zk.expire(before);
        let now = process.sessions().next().await.expect("connected again").id();
        assert_ne!(before, now);
        if leftover {
            zk.put_ephemeral("/services/a/master", "", before);
        }
        zk.set_mute(true);
        let presence = process.hold(Name::Contended("master".to_owned()), "");
        sleep(Duration::from_millis(1)).await;
        timeout(Duration::from_millis(1), presence.withdraw()).await.expect("at once");
        zk.reset_requests();
        zk.set_mute(false);
        sleep(Duration::from_secs(1)).await;
        assert_eq!((zk.requests().creates, zk.requests().multis), (0, 0), "{:?}", zk.requests());
        assert_eq!(zk.get("/services/a/master"), None, "nothing of an earlier session stays either");
    }
}

#[tokio::test(start_paused = true)]
async fn withdrawn_after_others_took_its_place_it_leaves_them_alone() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let presence = process.own("older");
    held(&presence).await;
    process.client.set_reachable(false);
    pending(&presence).await;
    zk.put_ephemeral(PATH, "newer", zk.stranger());
    let withdrawal = tokio::spawn(presence.withdraw());
    process.client.set_reachable(true);
    timeout(LIMIT, withdrawal).await.expect("in time").unwrap();
    assert_eq!(data(&zk, PATH), "newer");
}

#[tokio::test(start_paused = true)]
async fn withdrawn_in_a_new_session_it_takes_away_what_the_old_one_left() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let presence = process.own("v1");
    let first = held(&presence).await.session();
    process.client.set_reachable(false);
    pending(&presence).await;
    eventually("the session expires", || !zk.sessions().contains(&first)).await;
    // It lingers on the server that we come back to.
    zk.put_ephemeral(PATH, "v1", first);
    let withdrawal = tokio::spawn(presence.withdraw());
    process.client.set_reachable(true);
    timeout(LIMIT, withdrawal).await.expect("in time").unwrap();
    assert_eq!(zk.get(PATH), None);
}

#[tokio::test(start_paused = true)]
async fn withdrawing_a_sequential_node_costs_one_request() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let presence = process.hold(Name::Sequential("one-".to_owned()), "v1");
    let path = held(&presence).await.path;
    eventually("it is watched", || zk.requests().watches == 1).await;
    zk.reset_requests();
    presence.withdraw().await;
    assert_eq!(zk.get(&path), None);
    assert_eq!((zk.requests().deletes, zk.requests().total()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_update_after_it_was_let_go_is_refused_and_revives_nothing() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let presence = process.own("v1");
    held(&presence).await;
    zk.set_mute(true);
    presence.let_go();
    assert!(matches!(presence.update(b"v2".to_vec()), Err(Error::Invalid(_))));
    zk.set_mute(false);
    timeout(Duration::from_secs(60), presence.gone()).await.expect("it goes");
    sleep(Duration::from_secs(10)).await;
    assert_eq!(zk.get(PATH), None);
}

#[tokio::test(start_paused = true)]
async fn those_that_are_wanted_and_given_up_again_while_cut_off_do_not_pile_up() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let first = process.own("first");
    held(&first).await;
    process.client.set_reachable(false);
    pending(&first).await;
    drop(first);
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for round in 0..100 {
        drop(process.own("again"));
        let spec = |name: String| Spec {
            directory: "/services/a".to_owned(),
            name: Name::Own(name),
            data: Vec::new(),
            parents: Kind::Container,
        };
        let many = (0..20).map(|number| spec(format!("n{number}-{round}"))).chain([spec("one".to_owned())]);
        drop(Presence::hold_all(&process.sessions(), many.collect()).expect("all are good"));
    }
    let last = process.own("last");
    sleep(Duration::from_millis(1)).await;
    assert!(tasks() <= before + 3, "{} tasks more", tasks() - before);

    // The first is waited for, for it deletes what is there.
    let deleted = Told::missing(&last);
    zk.reset_requests();
    process.client.set_reachable(true);
    held(&last).await;
    sleep(Duration::from_secs(10)).await;
    assert!(!deleted.ever());
    assert_eq!((zk.requests().creates, zk.requests().deletes), (1, 1), "{:?}", zk.requests());
    assert_eq!(zk.children("/services/a"), ["one"]);
    assert_eq!(data(&zk, PATH), "last");
}

#[tokio::test(start_paused = true)]
async fn who_comes_after_one_that_was_refused_waits_for_the_one_before_it() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let first = process.own("first");
    held(&first).await;
    process.client.set_reachable(false);
    pending(&first).await;
    drop(first);
    let spec = |name: &str| Spec {
        directory: "/services/a".to_owned(),
        name: Name::Own(name.to_owned()),
        data: Vec::new(),
        parents: Kind::Container,
    };
    for _ in 0..2 {
        let refused = Presence::hold_all(&process.sessions(), vec![spec("one"), spec("a/b")]);
        assert!(matches!(refused, Err(Error::Invalid(_))));
    }
    let second = process.own("second");
    let deleted = Told::missing(&second);
    zk.reset_requests();
    process.client.set_reachable(true);
    held(&second).await;
    sleep(Duration::from_secs(10)).await;
    assert!(!deleted.ever(), "the first deleted what the second made");
    assert_eq!((zk.requests().creates, zk.requests().deletes), (1, 1), "{:?}", zk.requests());
    assert_eq!(data(&zk, PATH), "second");
}

/// Whoever keeps many and whoever takes some of them away run at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn withdrawn_while_another_thread_makes_many_it_leaves_nothing() {
    const TRANSACTIONS: usize = 12;
    for round in 0..30 {
        let zk = FakeZk::default().with_seed(round);
        let process = Process::start(&zk);
        process.sessions().next().await.expect("connected");
        let name = |number: usize| format!("n{number}");
        let spec = |number| Spec {
            directory: "/services/a".to_owned(),
            name: Name::Own(name(number)),
            data: Vec::new(),
            parents: Kind::Container,
        };
        let all = (0..TRANSACTIONS * MAX_OPS).map(spec).collect();
        let all = Presence::hold_all(&process.sessions(), all).expect("all are good");
        let mut made = 0;
        let mut leaving = Vec::new();
        while made < TRANSACTIONS / 2 {
            let more = zk.until(|zk| zk.requests().multis as usize > made);
            timeout(LIMIT, more).await.expect("they are made");
            made = zk.requests().multis as usize;
            // Some of those that are about to be made, or were put together and not sent.
            for transaction in made..TRANSACTIONS {
                leaving.extend((0..20).map(|nth| transaction * MAX_OPS + nth * TRANSACTIONS + made));
            }
            leaving.iter().for_each(|number| all[*number].let_go());
        }
        for number in &leaving {
            timeout(LIMIT, all[*number].gone()).await.expect("gone in time");
        }
        // What was sent before is answered.
        process.sessions().next().await.expect("connected").sync("/").await.expect("answered");
        let there: Vec<_> = leaving
            .into_iter()
            .map(name)
            .filter(|name| zk.get(&format!("/services/a/{name}")).is_some())
            .collect();
        assert!(there.is_empty(), "{there:?} in round {round}");
    }
}
