//! What a presence promises, on the fake with paused time.

mod common;

use std::time::Duration;

use common::{Process, data, eventually, held, pending, until};
use tokio::time::{Instant, sleep};
use zk_session::fake::FakeZk;
use zk_session::{Error, Kind, MAX_DATA, Name, Presence, Spec, Status};

const PATH: &str = "/services/a/one";

#[tokio::test(start_paused = true)]
async fn the_node_and_its_parents_are_made() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let presence = process.own("v1");
    let held = held(&presence).await;
    assert_eq!(held.path, PATH);
    assert_eq!(zk.owner(PATH), Some(held.session()));
    assert_eq!(held.czxid, zk.get(PATH).map(|node| node.stat.czxid));
    assert_eq!(data(&zk, PATH), "v1");
    assert_eq!(zk.requests().creates, 3, "two parents and the node");
}

#[tokio::test(start_paused = true)]
async fn a_blip_inside_the_session_makes_and_deletes_nothing() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let presence = process.own("v1");
    let first = held(&presence).await;
    zk.reset_requests();
    for _ in 0..10 {
        zk.disconnect(first.session());
        pending(&presence).await;
        assert_eq!(held(&presence).await.session(), first.session());
    }
    assert_eq!(zk.requests().writes(), 0);
    assert_eq!(zk.requests().syncs, 10, "no look before the server has caught up");
}

#[tokio::test(start_paused = true)]
async fn after_expiry_it_is_made_once_in_the_new_session() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let presence = process.own("v1");
    let first = held(&presence).await;
    zk.reset_requests();
    let expired = Instant::now();
    zk.expire(first.session());
    pending(&presence).await;
    let second = held(&presence).await;
    assert!(expired.elapsed() <= Duration::from_secs(1), "took {:?}", expired.elapsed());
    assert_ne!(second.session(), first.session());
    assert_eq!(zk.owner(PATH), Some(second.session()));
    assert_eq!(zk.requests().creates, 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_dead_session_of_ours_is_replaced() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let presence = process.own("v1");
    let first = held(&presence).await;
    let old = zk.get(PATH).unwrap();
    // The session expires, but its node comes back with an older snapshot of the server: it is doomed.
    let snapshot = zk.snapshot();
    zk.expire(first.session());
    pending(&presence).await;
    let second = held(&presence).await;
    zk.restore(&snapshot);
    pending(&presence).await;
    let third = held(&presence).await;
    assert_ne!(third.session(), second.session());
    assert_eq!(zk.owner(PATH), Some(third.session()));
    assert_eq!(old.stat.owner, Some(first.session()));
}

#[tokio::test(start_paused = true)]
async fn a_restart_under_the_same_id_outlives_the_session_of_the_dead_process() {
    let zk = FakeZk::default();
    let dead = Process::start(&zk);
    let before = dead.own("v1");
    let dead_session = held(&before).await.session();
    dead.client.set_reachable(false);
    eventually("the dead process is cut off", || !zk.is_connected(dead_session)).await;

    let process = Process::start(&zk);
    let presence = process.own("v2");
    let now = held(&presence).await;
    eventually("the dead session expires", || {
        assert_eq!(zk.owner(PATH), Some(now.session()), "there in every sample");
        !zk.sessions().contains(&dead_session)
    })
    .await;
    assert_eq!(data(&zk, PATH), "v2");
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_leaves_one_node_that_is_adopted() {
    for name in [Name::Own("one".to_owned()), Name::Sequential("one-".to_owned())] {
        let zk = FakeZk::default();
        let process = Process::start(&zk);
        // The parents are there, so that the lost answer is the node's.
        zk.put("/services/a", "");
        zk.lose_next_reply();
        let presence = process.hold(name, "v1");
        let held = held(&presence).await;
        assert_eq!(zk.requests().creates, 1);
        let children = zk.children("/services/a");
        assert_eq!(children.len(), 1, "{children:?}");
        assert_eq!(held.path, format!("/services/a/{}", children[0]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_keeps_a_node_once_and_again_when_the_first_is_gone() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let spec = |name: Name| Spec {
        directory: "/services/a".to_owned(),
        name,
        data: Vec::new(),
        parents: Kind::Container,
    };
    for name in [Name::Own("one".to_owned()), Name::Sequential("one-".to_owned())] {
        let first = process.hold(name.clone(), "first");
        held(&first).await;
        let twice = Presence::hold(process.sessions(), spec(name.clone()));
        assert!(matches!(twice, Err(Error::Invalid(what)) if what.contains("kept by this process already")));
        let pair = vec![spec(Name::Own("two".to_owned())), spec(name.clone())];
        assert!(matches!(Presence::hold_all(&process.sessions(), pair), Err(Error::Invalid(_))));

        // Dropped while it is cut off: what comes after it waits for its end, and is not deleted by it.
        process.client.set_reachable(false);
        drop(first);
        let second = process.hold(name.clone(), "second");
        process.client.set_reachable(true);
        let path = held(&second).await.path;
        sleep(Duration::from_secs(10)).await;
        assert_eq!(held(&second).await.path, path);
        assert_eq!(data(&zk, &path), "second");
        assert_eq!(zk.children("/services/a").len(), 1);
        second.withdraw().await;
        held(&process.hold(name, "third")).await;
        zk.until(|zk| zk.children("/services/a").is_empty()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_latest_data_wins_also_when_written_while_cut_off() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let presence = process.own("v1");
    let first = held(&presence).await;
    presence.update(b"v2".to_vec()).unwrap();
    eventually("it is written in place", || data(&zk, PATH) == "v2").await;
    assert_eq!(zk.get(PATH).unwrap().stat.czxid, first.czxid.unwrap());
    process.client.set_reachable(false);
    pending(&presence).await;
    for version in ["v3", "v4", "v5"] {
        presence.update(version.as_bytes().to_vec()).unwrap();
    }
    process.client.set_reachable(true);
    eventually("the latest is there", || data(&zk, PATH) == "v5").await;
    held(&presence).await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_and_retried_politely() {
    let zk = FakeZk::default();
    zk.refuse("/services", true);
    let process = Process::start(&zk);
    let presence = process.own("v1");
    let told = |now: &Status| matches!(now, Status::Pending { problem: Some(Error::Rejected { .. }) });
    until(&mut presence.status(), "the refusal is told", told).await;
    zk.reset_requests();
    sleep(Duration::from_secs(10)).await;
    assert!(zk.requests().creates <= 50, "{:?}", zk.requests());
    zk.refuse("/services", false);
    let allowed = Instant::now();
    held(&presence).await;
    assert!(allowed.elapsed() <= Duration::from_secs(2), "took {:?}", allowed.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_refused_try_costs_one_create_however_much_is_missing() {
    let zk = FakeZk::default();
    zk.refuse("/services", true);
    let process = Process::start(&zk);
    let _presence = process.own("v1");
    for _ in 0..10 {
        sleep(Duration::from_secs(1)).await;
        assert!(zk.requests().creates <= 5, "{:?}", zk.requests());
        assert_ne!(zk.requests().creates, 0, "it goes on trying");
        zk.reset_requests();
    }
}

#[tokio::test(start_paused = true)]
async fn the_directory_may_be_the_top_of_the_tree() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    for name in [Name::Own("one".to_owned()), Name::Sequential("two-".to_owned())] {
        let (directory, data) = ("/".to_owned(), Vec::new());
        let spec = Spec { directory, name, data, parents: Kind::Container };
        let presence = Presence::hold(process.sessions(), spec).expect("no data");
        let path = held(&presence).await.path;
        assert_eq!(zk.owner(&path), process.client.session());
        presence.withdraw().await;
        assert_eq!(zk.children("/"), ["zookeeper"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_in_a_node_is_in_no_debug_output() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let presence = process.own("secret");
    held(&presence).await;
    let bytes = format!("{:?}", b"secret");
    let spec = Spec {
        directory: "/d".to_owned(),
        name: Name::Own("n".to_owned()),
        data: b"secret".to_vec(),
        parents: Kind::Container,
    };
    for shown in [format!("{presence:?}"), format!("{spec:?}"), format!("{:?}", process.sessions())] {
        assert!(!shown.contains("secret") && !shown.contains(bytes.trim_matches(['[', ']'])), "{shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_processes_that_make_the_same_parents_are_no_trouble_to_each_other() {
    let zk = FakeZk::default();
    let both = [Process::start(&zk), Process::start(&zk)];
    let names = ["one", "two"];
    let started = Instant::now();
    let presences: Vec<_> =
        both.iter().zip(names).map(|(process, name)| process.hold(Name::Own(name.to_owned()), "")).collect();
    for presence in &presences {
        held(presence).await;
    }
    assert!(
        started.elapsed() <= Duration::from_millis(1),
        "nobody had to try again: {:?}",
        started.elapsed()
    );
    assert_eq!(zk.requests().creates, 6, "both tried to make the parents");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_leads_elsewhere_is_refused_before_anything_is_sent() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let hold = |directory: &str, name: Name| {
        let (directory, data) = (directory.to_owned(), Vec::new());
        let spec = Spec { directory, name, data, parents: Kind::Container };
        let many = Presence::hold_all(&process.sessions(), vec![spec.clone()]).map(|_| ());
        let one = Presence::hold(process.sessions(), spec).map(|_| ());
        assert_eq!(one.is_ok(), many.is_ok());
        one
    };
    for bad in ["", "a/b", "/", ".", "..", "../a", "a/", "a\0", "a\u{fffe}", &"x".repeat(4096)] {
        for name in [Name::Own(bad.to_owned()), Name::Contended(bad.to_owned())] {
            let refused = hold("/services/a", name);
            assert!(matches!(refused, Err(Error::Invalid(_))), "{bad:?}: {refused:?}");
        }
    }
    for bad in ["", "a/b-", "/", "../a-", "a\0", "a\u{fffe}", &"x".repeat(4096 - 20)] {
        let refused = hold("/services/a", Name::Sequential(bad.to_owned()));
        assert!(matches!(refused, Err(Error::Invalid(_))), "{bad:?}: {refused:?}");
    }
    for bad in ["", "services", "/services/", "//", "/services/../a"] {
        let refused = hold(bad, Name::Own("one".to_owned()));
        assert!(matches!(refused, Err(Error::Invalid(_))), "{bad:?}: {refused:?}");
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(zk.requests().total(), 0, "{:?}", zk.requests());
    assert!(hold("/services/a", Name::Sequential(".".to_owned())).is_ok(), "digits follow");
}

#[tokio::test(start_paused = true)]
async fn too_much_data_is_refused_before_it_is_sent() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let (directory, name) = ("/services/a".to_owned(), Name::Own("one".to_owned()));
    let spec = Spec { directory, name, data: vec![0; MAX_DATA + 1], parents: Kind::Container };
    let refused = Presence::hold(process.sessions(), spec).unwrap_err();
    assert_eq!(refused.to_string(), "65537 bytes of node data; at most 65536 are accepted");
    let presence = process.own("v1");
    assert!(matches!(presence.update(vec![0; MAX_DATA + 1]), Err(Error::Invalid(_))));
}
