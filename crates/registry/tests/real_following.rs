//! What is followed is the truth of a real server, and the last good list while that cannot be known.

mod real;

use std::time::Duration;

use real::{CALM, DIR, Process, T, TICK, Truth, names, path, registered, server, shows, time, until, value};
use registry::{Discovery, Options, Source, View};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use zk_local::Proxy;
use zk_session::{Error, Kind, Op};
use zookeeper_client::{Acls, Client, CreateMode};

/// All views from now on, and when they came.
fn views(discovery: &Discovery) -> mpsc::UnboundedReceiver<(Instant, View)> {
    let (seen, views) = mpsc::unbounded_channel();
    let mut view = discovery.view();
    view.mark_unchanged();
    tokio::spawn(async move {
        while view.changed().await.is_ok() {
            let now = view.borrow_and_update().clone();
            if now.is_some_and(|now| seen.send((Instant::now(), now)).is_err()) {
                return;
            }
        }
    });
    views
}

fn seen(views: &mut mpsc::UnboundedReceiver<(Instant, View)>) -> Vec<(Instant, View)> {
    std::iter::from_fn(|| views.try_recv().ok()).collect()
}

#[tokio::test]
async fn what_was_missed_in_the_same_session_is_the_truth_again() {
    let server = server().await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    let truth = Truth::of(&server).await;
    let process = Process::start(&proxy.connect_string());
    let discovery = process.follow();
    let session = process.connected(None).await;
    for again in 0..3 {
        truth.directory().await;
        for name in ["a", "b", "c", "d"] {
            truth.put(name, 1).await;
        }
        shows(&discovery, true, &["a", "b", "c", "d"]).await;
        proxy.refuse(true);
        proxy.cut();
        shows(&discovery, false, &["a", "b", "c", "d"]).await;
        // Changed, deleted, made; the same name and version, another node; the directory with all that is in it, too.
        truth.session.set(&path("a"), &value(2), None).await.unwrap();
        truth.remove(&["b", "c"]).await;
        truth.put("c", 3).await;
        truth.put("e", 4).await;
        if again == 2 {
            truth.remove(&["a", "c", "d", "e"]).await;
            truth.session.delete(DIR, None).await.unwrap();
            truth.directory().await;
            truth.put("d", 5).await;
        }
        proxy.refuse(false);
        assert_eq!(process.connected(None).await, session, "the same session");
        let reconnected = Instant::now();
        let (expected, weights): (&[&str], &[u32]) =
            if again == 2 { (&["d"], &[5]) } else { (&["a", "c", "d", "e"], &[2, 3, 1, 4]) };
        let view = shows(&discovery, true, expected).await;
        eprintln!("the truth {:?} after the reconnect", reconnected.elapsed());
        let said: Vec<_> = view.entries.iter().map(|instance| instance.data.weight).collect();
        assert_eq!(said, weights);
        truth.remove(expected).await;
        // That is calm again, and believed.
        sleep(2 * T).await;
        shows(&discovery, true, &[]).await;
    }
}

#[tokio::test]
async fn a_directory_that_goes_and_comes_back_is_followed() {
    let server = server().await;
    let truth = Truth::of(&server).await;
    let process = Process::calm(&server.connect_string());
    let discovery = process.follow();
    shows(&discovery, true, &[]).await;
    for _ in 0..5 {
        truth.directory().await;
        truth.put("a", 1).await;
        truth.put("b", 1).await;
        shows(&discovery, true, &["a", "b"]).await;
        let all = [path("a"), path("b"), DIR.to_owned(), "/headkeeper/time".to_owned()];
        let ops: Vec<_> = all.iter().map(|path| Op::Delete { path: path.clone(), version: None }).collect();
        truth.session.commit(&ops).await.unwrap();
        // Were it doubted, that would be for longer than it is waited for.
        shows(&discovery, true, &[]).await;
    }
}

#[tokio::test]
async fn a_server_that_was_set_back_is_believed() {
    let server = server().await;
    let truth = Truth::of(&server).await;
    truth.directory().await;
    for name in ["a", "b", "c"] {
        truth.put(name, 1).await;
    }
    server.stop().await.unwrap();
    let earlier = server.snapshot_data().await.unwrap();
    server.start_again().await.unwrap();

    let process = Process::start(&server.connect_string());
    let discovery = process.follow();
    shows(&discovery, true, &["a", "b", "c"]).await;
    let truth = Truth::of(&server).await;
    truth.session.set(&path("a"), &value(2), None).await.unwrap();
    truth.remove(&["b"]).await;
    for number in 0..20 {
        truth.put(&format!("x{number}"), 1).await;
    }
    let whole = |view: &Option<View>| view.as_ref().is_some_and(|view| view.entries.len() == 22);
    until(&mut discovery.view(), "it shows all", whole).await;

    server.stop().await.unwrap();
    server.restore_data(&earlier).await.unwrap();
    server.start_again().await.unwrap();
    let back = Instant::now();
    let view = shows(&discovery, true, &["a", "b", "c"]).await;
    eprintln!("the truth {:?} after the rollback", back.elapsed());
    assert_eq!(view.entries[0].data.weight, 1);
}

#[tokio::test]
async fn in_a_new_session_nothing_shrinks_before_it_is_as_old_as_its_timeout() {
    let server = server().await;
    let truth = Truth::of(&server).await;
    let ways = [
        Proxy::start(server.address()).await.unwrap(),
        Proxy::start(server.address()).await.unwrap(),
        Proxy::start(server.address()).await.unwrap(),
    ];
    let (a, b) = (Process::start(&ways[0].connect_string()), Process::start(&ways[1].connect_string()));
    let (in_a, in_b) = (a.announce("a"), b.announce("b"));
    registered(&in_a).await;
    registered(&in_b).await;
    let client = Process::start(&ways[2].connect_string());
    let discovery = client.follow();
    shows(&discovery, true, &["a", "b"]).await;
    let before = client.connected(None).await;

    let mut views = views(&discovery);
    for way in &ways {
        way.refuse(true);
        way.cut();
    }
    shows(&discovery, false, &["a", "b"]).await;
    truth.gone("a").await;
    truth.gone("b").await;
    sleep(T + 2 * TICK).await;
    assert!(
        seen(&mut views).iter().all(|(_, view)| names(view) == ["a", "b"] && view.source != Source::Live)
    );

    // The client is back first, then a; b never.
    let reconnected = Instant::now();
    ways[2].refuse(false);
    client.connected(Some(before)).await;
    sleep(T / 2).await;
    ways[0].refuse(false);
    registered(&in_a).await;
    shows(&discovery, true, &["a"]).await;
    let took = reconnected.elapsed();
    eprintln!("the truth {took:?} after the reconnect");
    assert!(took >= T, "{took:?}");
    for (at, view) in seen(&mut views) {
        let shrunk = names(&view) != ["a", "b"] || view.source == Source::Live;
        assert!(!shrunk || at >= reconnected + T, "{view:?}");
    }
}

#[tokio::test]
async fn all_that_vanish_together_are_doubted_for_the_grace_time_after_a_disturbance_only() {
    let server = server().await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    let truth = Truth::of(&server).await;
    truth.directory().await;
    let process = Process::start(&proxy.connect_string());
    // Longer than the default, half the session: a busy machine is not to let it pass unseen.
    let grace = Duration::from_secs(8);
    let options = Options { empty_grace: Some(grace), ..Options::default() };
    let discovery = process.registry.follow_with(&time(), options);
    for disturbed in [true, false, true] {
        truth.put("a", 1).await;
        truth.put("b", 1).await;
        shows(&discovery, true, &["a", "b"]).await;
        let connects = proxy.accepted();
        sleep(2 * T).await;
        if disturbed {
            proxy.refuse(true);
            proxy.cut();
            shows(&discovery, false, &["a", "b"]).await;
            proxy.refuse(false);
            shows(&discovery, true, &["a", "b"]).await;
        }
        let mut views = views(&discovery);
        let vanished = Instant::now();
        truth.remove(&["a", "b"]).await;
        if disturbed {
            shows(&discovery, false, &["a", "b"]).await;
            truth.put("c", 1).await;
            // A new one is there while the others are doubted.
            shows(&discovery, false, &["a", "b", "c"]).await;
            shows(&discovery, true, &["c"]).await;
            let took = vanished.elapsed();
            eprintln!("believed after {took:?}");
            assert!(took >= grace, "{took:?}");
            truth.remove(&["c"]).await;
        }
        shows(&discovery, true, &[]).await;
        // On a busy machine the connection may have been lost by itself.
        let calm = !disturbed && proxy.accepted() == connects;
        assert!(
            !calm || seen(&mut views).iter().all(|(_, view)| view.source == Source::Live),
            "it is doubted"
        );
    }
}

#[tokio::test]
async fn bad_nodes_of_up_to_900_kb_harm_only_themselves_and_are_back_when_repaired() {
    let server = server().await;
    let truth = Truth::of(&server).await;
    truth.directory().await;
    truth.put("good", 1).await;
    // Our own client refuses to write so much.
    let connector = Client::connector().with_session_timeout(CALM);
    let other = connector.connect(&server.connect_string()).await.unwrap();
    let huge = [vec![b'['; 900_000], vec![0xC1; 900_000], [&value(1)[..], &[0; 890_000]].concat()];
    let deep = [&b"{\"metadata\":"[..], &vec![b'['; 30_000]].concat();
    let bad = huge.iter().cycle().take(30).cloned();
    let small = [Vec::new(), b"{\"server_ip\":7}".to_vec(), vec![0xFF; 10], deep];
    let mut paths = Vec::new();
    for (number, data) in bad.chain(small).enumerate() {
        let path = path(&format!("bad{number:02}"));
        other.create(&path, &data, &CreateMode::Persistent.with_acls(Acls::anyone_all())).await.unwrap();
        paths.push(path);
    }

    let process = Process::calm(&server.connect_string());
    let started = Instant::now();
    let discovery = process.follow();
    let view = shows(&discovery, true, &["good"]).await;
    eprintln!("the good one is there after {:?}", started.elapsed());
    assert!(view.bad.iter().map(|bad| &bad.path).eq(&paths), "{:?}", view.bad);
    // While they are there, another one comes.
    truth.put("later", 1).await;
    shows(&discovery, true, &["good", "later"]).await;

    for path in [&paths[0], &paths[30]] {
        truth.session.set(path, &value(2), None).await.unwrap();
    }
    let repaired = Instant::now();
    let view = shows(&discovery, true, &["bad00", "bad30", "good", "later"]).await;
    eprintln!("repaired after {:?}", repaired.elapsed());
    assert_eq!(view.bad.len(), paths.len() - 2);
}

#[tokio::test]
async fn an_oversize_directory_keeps_its_list_is_asked_for_politely_and_recovers() {
    let server = server().await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    let truth = Truth::of(&server).await;
    truth.directory().await;
    for name in ["a", "b", "c"] {
        truth.put(name, 1).await;
    }
    let process = Process::calm(&proxy.connect_string());
    let discovery = process.follow_at_most(3);
    shows(&discovery, true, &["a", "b", "c"]).await;

    let many: Vec<_> = (0..500).map(|number| path(&format!("x{number}"))).collect();
    let create = |path: &String| Op::Create { path: path.clone(), data: value(1), kind: Kind::Persistent };
    let delete = |path: &String| Op::Delete { path: path.clone(), version: None };
    let create: Vec<_> = many.iter().map(create).collect();
    truth.session.commit(&create).await.unwrap();
    let told = |now: &Option<Error>| matches!(now, Some(Error::Oversize { most: 3, .. }));
    until(&mut discovery.problem(), "it is told", told).await;
    shows(&discovery, false, &["a", "b", "c"]).await;

    let (connects, sent) = (proxy.accepted(), proxy.traffic().borrow().bytes_to_server);
    sleep(Duration::from_secs(4)).await;
    let sent = proxy.traffic().borrow().bytes_to_server - sent;
    eprintln!("{} connects and {sent} bytes in 4 s", proxy.accepted() - connects);
    assert_eq!(proxy.accepted(), connects);
    // A question and a few pings have less than 100 bytes.
    assert!(sent <= 4_000, "{sent} bytes in 4 s");
    assert_eq!(names(discovery.view().borrow().as_ref().unwrap()), ["a", "b", "c"]);

    let delete: Vec<_> = many.iter().map(delete).collect();
    truth.session.commit(&delete).await.unwrap();
    let fits = Instant::now();
    shows(&discovery, true, &["a", "b", "c"]).await;
    eprintln!("recovered after {:?}", fits.elapsed());
    until(&mut discovery.problem(), "all is well", Option::is_none).await;
}
