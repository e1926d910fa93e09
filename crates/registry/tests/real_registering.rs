//! What is announced is registered, once and for as long as it is wanted; on a real server, as another client sees it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod real;

use std::time::Duration;

use real::{CALM, DIR, LIMIT, Process, T, Truth, path, registered, server, told, until};
use registry::Status;
use tokio::time::{Instant, sleep, timeout};
use zk_local::{Proxy, Server};
use zk_session::{Acl, Connect, Kind, Op, What, ZooKeeper};

#[tokio::test]
async fn after_expiry_it_is_registered_again_exactly_once() {
    let server = server().await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    let process = Process::start(&proxy.connect_string());
    let registration = process.announce("a");
    let truth = Truth::of(&server).await;
    for _ in 0..3 {
        let before = registered(&registration).await;
        proxy.refuse(true);
        proxy.cut();
        truth.gone("a").await;
        let mut changes = truth.session.watch_tree(DIR).await.unwrap();
        proxy.refuse(false);
        let session = process.connected(Some(before)).await;
        let reconnected = Instant::now();
        assert_eq!(registered(&registration).await, session);
        eprintln!("registered again {:?} after the reconnect", reconnected.elapsed());
        let node = truth.session.get(&path("a")).await.unwrap().unwrap();
        assert_eq!(node.stat.owner, Some(session));

        // Whatever is late would be there by then.
        sleep(T).await;
        let told: Vec<_> = told(&mut changes).into_iter().map(|change| (change.what, change.path)).collect();
        assert_eq!(told, [(What::Created, path("a"))]);
    }
}

#[tokio::test]
async fn flaps_inside_a_session_touch_nothing() {
    let server = server().await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    let process = Process::start(&proxy.connect_string());
    let registration = process.announce("a");
    let session = registered(&registration).await;
    let truth = Truth::of(&server).await;
    let mut changes = truth.session.watch_tree(DIR).await.unwrap();
    let node = truth.session.get(&path("a")).await.unwrap();
    for outage in [0, 100, 400, 0, 0, 200, 700] {
        proxy.refuse(true);
        proxy.cut();
        process.cut_off().await;
        sleep(Duration::from_millis(outage)).await;
        proxy.refuse(false);
        process.connected(None).await;
        assert_eq!(registered(&registration).await, session, "after {outage} ms");
    }
    sleep(T).await;
    assert_eq!(told(&mut changes), []);
    assert_eq!(truth.session.get(&path("a")).await.unwrap(), node);
}

/// One process that dies, and its restart under the same id that much later: whoever looks after it was registered finds it.
async fn restart(server: &Server, truth: &Truth, name: &str, later: Duration) {
    let proxy = Proxy::start(server.address()).await.unwrap();
    let dead = Process::start(&proxy.connect_string());
    let before = dead.announce(name);
    registered(&before).await;
    // As a kill does: the connection goes, and the session is left to the server.
    proxy.refuse(true);
    proxy.cut();
    let died = Instant::now();
    sleep(later).await;

    let process = Process::start(&server.connect_string());
    let registration = process.announce(name);
    let session = registered(&registration).await;
    let mut samples = 0;
    while died.elapsed() <= later + 2 * T {
        let node = truth.session.get(&path(name)).await.unwrap();
        let owner = node.and_then(|node| node.stat.owner);
        assert_eq!(owner, Some(session), "restarted {later:?} after the death, sample {samples}");
        samples += 1;
        sleep(Duration::from_millis(2)).await;
    }
    eprintln!("restarted after {later:?}: there in all of {samples} samples");
}

#[tokio::test]
async fn a_restart_under_the_same_id_survives_the_end_of_the_dead_session_at_any_timing() {
    let server = server().await;
    let truth = Truth::of(&server).await;
    // The dead session ends between T and T and a tick after the last that was heard of it.
    let soon = [Duration::ZERO, T / 4, T / 2, T * 3 / 4];
    let about = [0, 100, 200, 250, 300, 350, 400, 500, 700]
        .map(|ms| T - Duration::from_millis(200) + Duration::from_millis(ms));
    let all = soon.into_iter().chain(about).map(|later| {
        let (server, truth) = (&server, &truth);
        async move { restart(server, truth, &format!("a{}", later.as_millis()), later).await }
    });
    futures::future::join_all(all).await;
}

#[tokio::test]
async fn withdrawn_while_cut_off_it_does_not_come_back_in_the_same_session_or_in_the_next() {
    let server = server().await;
    let truth = Truth::of(&server).await;
    truth.directory().await;
    for expires in [false, true] {
        let proxy = Proxy::start(server.address()).await.unwrap();
        let process = Process::start(&proxy.connect_string());
        let registration = process.announce("a");
        let before = registered(&registration).await;
        proxy.refuse(true);
        proxy.cut();
        process.cut_off().await;
        let withdrawn = tokio::spawn(registration.withdraw());
        if expires {
            truth.gone("a").await;
        }
        let mut changes = truth.session.watch_tree(DIR).await.unwrap();
        proxy.refuse(false);
        timeout(LIMIT, withdrawn).await.unwrap().unwrap();
        let session = process.connected(None).await;
        assert_eq!(session != before, expires);
        assert!(truth.session.get(&path("a")).await.unwrap().is_none());

        proxy.cut();
        process.cut_off().await;
        process.connected(None).await;
        sleep(T).await;
        let come: Vec<_> =
            told(&mut changes).into_iter().filter(|change| change.what == What::Created).collect();
        assert_eq!(come, []);
    }
}

#[tokio::test]
async fn the_latest_data_wins_when_updated_while_cut_off() {
    let server = server().await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    let process = Process::start(&proxy.connect_string());
    let registration = process.announce("a");
    let truth = Truth::of(&server).await;
    for (round, expires) in [false, true].into_iter().enumerate() {
        let before = registered(&registration).await;
        proxy.refuse(true);
        proxy.cut();
        process.cut_off().await;
        for weight in [7, 8, 9] {
            registration.set_weight(weight + 10 * u32::try_from(round).unwrap()).unwrap();
        }
        if expires {
            truth.gone("a").await;
        }
        proxy.refuse(false);
        let session = process.connected(expires.then_some(before)).await;
        assert_eq!(registered(&registration).await, session);
        let node = truth.session.get(&path("a")).await.unwrap().unwrap();
        let written = proto::decode(&node.data).unwrap();
        assert_eq!(written, registration.data(), "it is registered when its latest data are there");
    }
}

#[tokio::test]
async fn what_others_delete_is_restored() {
    let server = server().await;
    let process = Process::calm(&server.connect_string());
    let registration = process.announce("a");
    let session = registered(&registration).await;
    let truth = Truth::of(&server).await;
    let all = [path("a"), DIR.to_owned(), "/headkeeper/time".to_owned(), "/headkeeper".to_owned()];
    for (round, much) in [1, 2, 4, 1, 4, 1].into_iter().enumerate() {
        if round > 0 {
            // Known to be there, and watched.
            sleep(Duration::from_millis(100)).await;
        }
        let before = truth.session.get(&all[0]).await.unwrap().unwrap().stat.czxid;
        let ops: Vec<_> =
            all[..much].iter().map(|path| Op::Delete { path: path.clone(), version: None }).collect();
        truth.session.commit(&ops).await.unwrap();
        let deleted = Instant::now();
        let restored = async {
            loop {
                match truth.session.get(&all[0]).await.unwrap() {
                    Some(node) if node.stat.czxid != before => return node,
                    _ => sleep(Duration::from_millis(2)).await,
                }
            }
        };
        let node = timeout(LIMIT, restored).await.expect("it is restored");
        eprintln!("{much} deleted, restored after {:?}", deleted.elapsed());
        assert_eq!(node.stat.owner, Some(session));
        assert_eq!(proto::decode(&node.data).unwrap(), registration.data());
    }
    registered(&registration).await;
}

#[tokio::test]
async fn an_acl_that_refuses_is_told_asked_politely_and_over_without_a_word() {
    let server = server().await;
    let alice = ZooKeeper::builder(&server.connect_string()).session_timeout(CALM).digest("alice", "secret");
    let alice = alice.acl(Acl::Creator { readers: Some(zk_session::Reader::Anyone) }).build().unwrap();
    let alice = timeout(LIMIT, alice.connect()).await.map(|session| (session.unwrap(), alice)).unwrap();
    alice.0.create("/headkeeper", b"", Kind::Persistent).await.unwrap();

    let process = Process::calm(&server.connect_string());
    let registration = process.announce("a");
    let told = |now: &Status| match now {
        Status::Registering { problem: Some(problem) } => {
            format!("{problem:?}").contains("not authorized to create /headkeeper/time")
        }
        _ => false,
    };
    until(&mut registration.status(), "the reason is told", told).await;
    // A try looks for two directories and makes one; pings, and this question, are asked besides.
    let received = async || server.mntr().await.unwrap()["zk_packets_received"].parse::<u64>().unwrap();
    let (before, begun) = (received().await, Instant::now());
    let asked = timeout(LIMIT, async {
        loop {
            sleep(Duration::from_secs(4)).await;
            let asked = received().await - before;
            if asked > 4 {
                return asked;
            }
        }
    });
    let asked = asked.await.expect("it goes on trying");
    let took = begun.elapsed();
    eprintln!("{asked} requests in {took:?} while an ACL refuses");
    assert!(asked <= 25 * (took.as_secs() + 1), "{asked} requests in {took:?}");

    // Nothing tells that something is allowed now.
    alice.0.delete("/headkeeper", None).await.unwrap();
    let allowed = Instant::now();
    registered(&registration).await;
    eprintln!("registered {:?} after that was allowed", allowed.elapsed());
}
