//! What a presence promises, on the fake with paused time.

mod common;

use std::time::Duration;

use common::{LIMIT, Process, eventually, held, pending, until};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};
use zk_session::fake::FakeZk;
use zk_session::{Error, Kind, MAX_DATA, Name, Presence, SessionId, Spec, Status};

const PATH: &str = "/services/a/one";

async fn taken(presence: &Presence, owner: Option<SessionId>) {
    let told = |now: &Status| matches!(now, Status::Taken { by } if *by == owner);
    until(&mut presence.status(), "somebody else has it", told).await;
}

fn data(zk: &FakeZk, path: &str) -> String {
    zk.get(path).map(|node| String::from_utf8(node.data).expect("text")).unwrap_or_default()
}

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
async fn of_two_processes_with_one_id_the_newer_wins_and_the_older_stops() {
    let zk = FakeZk::default();
    let (older, newer) = (Process::start(&zk), Process::start(&zk));
    let first = older.own("older");
    held(&first).await;
    let second = newer.own("newer");
    until(&mut first.status(), "the older is told", |now| matches!(now, Status::Replaced)).await;
    held(&second).await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(data(&zk, PATH), "newer");
    first.withdraw().await;
    assert_eq!(data(&zk, PATH), "newer", "withdrawing what was replaced takes nothing away");
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
async fn a_node_that_others_delete_is_restored_with_its_parents() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let presence = process.own("v1");
    held(&presence).await;
    zk.remove(PATH);
    eventually("it is restored", || zk.get(PATH).is_some()).await;
    held(&presence).await;
    zk.remove("/services");
    assert_eq!(zk.get(PATH), None);
    eventually("it is restored with its parents", || zk.get(PATH).is_some()).await;
}

#[tokio::test(start_paused = true)]
async fn data_that_others_write_is_written_over() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let presence = process.own("v1");
    held(&presence).await;
    zk.put(PATH, "vandal");
    eventually("it is ours again", || data(&zk, PATH) == "v1").await;
}

#[tokio::test(start_paused = true)]
async fn what_others_write_again_and_again_is_not_fought_without_pause() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let one = process.own("one");
    held(&one).await;
    let another = tokio::spawn({
        let zk = zk.clone();
        async move {
            loop {
                zk.until(|zk| data(zk, PATH) == "one").await;
                zk.put(PATH, "another's");
            }
        }
    });
    // Without a pause time would not pass: so not by the clock at first.
    for _ in 0..10_000 {
        yield_now().await;
    }
    assert!(zk.requests().sets <= 10, "{:?}", zk.requests());
    zk.reset_requests();
    sleep(Duration::from_secs(10)).await;
    assert!(zk.requests().sets <= 50, "{:?}", zk.requests());

    one.update(b"new".to_vec()).unwrap();
    let updated = Instant::now();
    eventually("an update does not wait for the fight", || data(&zk, PATH) == "new").await;
    assert!(updated.elapsed() <= Duration::from_millis(10), "took {:?}", updated.elapsed());
    another.abort();
    one.withdraw().await;
    assert_eq!(zk.get(PATH), None);
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
async fn a_node_that_somebody_deletes_is_told_to_be_missing_before_anything_is_asked() {
    for name in [Name::Own("one".to_owned()), Name::Sequential("one-".to_owned())] {
        let zk = FakeZk::default();
        let process = Process::start(&zk);
        let presence = process.hold(name, "v1");
        let before = held(&presence).await;
        eventually("it is watched", || zk.requests().watches == 1).await;
        // Nothing is answered any more: what is told is told because of the notification alone.
        zk.remove(&before.path);
        zk.set_mute(true);
        until(&mut presence.status(), "missing", |now| matches!(now, Status::Missing)).await;
        zk.set_mute(false);
        let after = held(&presence).await;
        assert_ne!(after.czxid, before.czxid);
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
async fn a_node_without_owner_is_replaced_but_not_at_full_speed() {
    let zk = FakeZk::default();
    zk.put(PATH, "a leftover");
    let process = Process::start(&zk);
    let presence = process.own("v1");
    let session = held(&presence).await.session();
    assert_eq!(zk.owner(PATH), Some(session));
    let told = |now: &Status| matches!(now, Status::Pending { problem: Some(Error::Rejected { .. }) });
    for _ in 0..5 {
        let since = Instant::now();
        zk.remove(PATH);
        zk.put(PATH, "again");
        until(&mut presence.status(), "it is told", told).await;
        held(&presence).await;
        assert_eq!(zk.owner(PATH), Some(session));
        let after = since.elapsed();
        assert!((900..=2_000).contains(&after.as_millis()), "replaced after {after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_with_children_in_our_place_is_told_and_left_alone() {
    let zk = FakeZk::default();
    zk.put("/services/a/one/child", "");
    let process = Process::start(&zk);
    let presence = process.own("v1");
    let told = |now: &Status| matches!(now, Status::Pending { problem: Some(Error::Rejected { .. }) });
    until(&mut presence.status(), "it is told", told).await;
    assert!(zk.get("/services/a/one/child").is_some());
    zk.remove("/services/a/one");
    held(&presence).await;
}

#[tokio::test(start_paused = true)]
async fn a_contended_node_is_awaited_and_never_touched() {
    let zk = FakeZk::default();
    let (first, second) = (Process::start(&zk), Process::start(&zk));
    let has = first.hold(Name::Contended("master".to_owned()), "first");
    let session = held(&has).await.session();
    let waits = second.hold(Name::Contended("master".to_owned()), "second");
    sleep(Duration::from_secs(10)).await;
    taken(&waits, Some(session)).await;
    assert_eq!(data(&zk, "/services/a/master"), "first");
    first.client.set_reachable(false);
    zk.expire(session);
    held(&waits).await;
    assert_eq!(data(&zk, "/services/a/master"), "second");
    first.client.set_reachable(true);
    taken(&has, zk.owner("/services/a/master")).await;
    waits.withdraw().await;
    held(&has).await;
    assert_eq!(data(&zk, "/services/a/master"), "first");
}

#[tokio::test(start_paused = true)]
async fn a_contended_node_that_may_not_be_read_is_awaited_like_any_other() {
    let zk = FakeZk::default();
    let master = "/services/a/master";
    zk.put_ephemeral(master, "", zk.stranger());
    zk.refuse_reads(master, true);
    let process = Process::start(&zk);
    let waits = process.hold(Name::Contended("master".to_owned()), "");
    taken(&waits, None).await;
    zk.remove(master);
    zk.refuse_reads(master, false);
    held(&waits).await;
    zk.remove(master);
    zk.put_ephemeral(master, "", zk.stranger());
    zk.refuse_reads(master, true);
    taken(&waits, None).await;
    // Nor does it keep anybody from leaving.
    timeout(LIMIT, waits.withdraw()).await.expect("it leaves");
    assert!(zk.owner(master).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_node_of_a_shared_prefix_is_kept_without_reading_those_of_others() {
    let zk = FakeZk::default();
    for number in 1000..1300 {
        let path = format!("/services/a/normal{number:010}");
        zk.put_ephemeral(&path, "", zk.stranger());
        zk.refuse_reads(&path, number % 2 == 0);
    }
    let process = Process::start(&zk);
    let presence = process.hold(Name::Sequential("normal".to_owned()), "");
    let mut session = held(&presence).await.session();
    let ours = |session| {
        let owned = |name: &&String| zk.owner(&format!("/services/a/{name}")) == Some(session);
        zk.children("/services/a").iter().filter(owned).count()
    };
    // Nothing is uncertain: it is looked for where it was.
    zk.reset_requests();
    zk.expire(session);
    pending(&presence).await;
    session = held(&presence).await.session();
    assert_eq!((zk.requests().creates, ours(session)), (1, 1));
    assert!(zk.requests().reads() <= 5, "{:?}", zk.requests());
    // An answer is lost: it is found again among the others, whether they may be read or not.
    zk.remove(&held(&presence).await.path);
    zk.lose_next_reply_of(session);
    zk.reset_requests();
    eventually("it is made anew", || ours(session) == 1).await;
    sleep(Duration::from_secs(20)).await;
    assert_eq!(held(&presence).await.session(), session);
    assert_eq!((zk.requests().connects, zk.requests().creates, ours(session)), (1, 1, 1));
    presence.withdraw().await;
    assert_eq!(ours(session), 0);
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_making_was_not_heard_of_is_found_however_often_the_connection_goes_meanwhile() {
    for moment in 0..80 {
        let zk = FakeZk::default();
        zk.put("/services/a", "");
        let process = Process::start(&zk);
        let session = process.sessions().next().await.expect("connected").id();
        zk.lose_next_reply();
        zk.reset_requests();
        let presence = process.hold(Name::Sequential("one-".to_owned()), "");
        eventually("it is made", || zk.children("/services/a").len() == 1).await;
        // It comes back, and loses the connection again while it looks.
        let mut link = process.sessions().next().await.expect("connected");
        while zk.requests().connects == 0 || link.has_ended() {
            yield_now().await;
            link = process.sessions().next().await.expect("connected");
        }
        for _ in 0..moment {
            yield_now().await;
        }
        zk.disconnect(session);
        sleep(Duration::from_secs(5)).await;
        assert_eq!(held(&presence).await.path, "/services/a/one-0000000000", "moment {moment}");
        assert_eq!(zk.children("/services/a").len(), 1, "moment {moment}");
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
async fn whether_a_contended_node_is_taken_is_known_only_while_connected() {
    let zk = FakeZk::default();
    zk.put("/services/a/master", "");
    let process = Process::start(&zk);
    let waits = process.hold(Name::Contended("master".to_owned()), "");
    taken(&waits, None).await;
    process.client.set_reachable(false);
    pending(&waits).await;
    process.client.set_reachable(true);
    taken(&waits, None).await;
    zk.remove("/services/a/master");
    held(&waits).await;
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_the_same_node_do_not_rush() {
    let zk = FakeZk::default();
    let processes: Vec<_> = (0..20).map(|_| Process::start(&zk)).collect();
    let name = || Name::Contended("master".to_owned());
    let has = processes[0].hold(name(), "0");
    let session = held(&has).await.session();
    let wait: Vec<_> = processes[1..].iter().map(|process| process.hold(name(), "")).collect();
    for waits in &wait {
        taken(waits, Some(session)).await;
    }
    zk.reset_requests();
    let gone = Instant::now();
    has.withdraw().await;
    eventually("another one has it", || zk.owner("/services/a/master").is_some()).await;
    assert!(gone.elapsed() <= Duration::from_millis(150), "{:?}", gone.elapsed());
    let owner = zk.owner("/services/a/master");
    for waits in &wait {
        let settled = |now: &Status| match now {
            Status::Taken { by } => *by == owner,
            now => matches!(now, Status::Held(_)),
        };
        until(&mut waits.status(), "settled", settled).await;
    }
    let creates = zk.requests().creates;
    assert!((1..=5).contains(&creates), "{creates} of 19 tried");
}

#[tokio::test(start_paused = true)]
async fn a_sequential_node_keeps_its_sequence_within_the_session() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let presence = process.hold(Name::Sequential("one-".to_owned()), "v1");
    let first = held(&presence).await;
    assert_eq!(first.path, "/services/a/one-0000000000");
    zk.disconnect(first.session());
    pending(&presence).await;
    assert_eq!(held(&presence).await.path, first.path);
    zk.expire(first.session());
    pending(&presence).await;
    assert_eq!(held(&presence).await.path, "/services/a/one-0000000001");
    zk.remove("/services/a/one-0000000001");
    eventually("it is made again", || zk.get("/services/a/one-0000000002").is_some()).await;
    held(&presence).await;
    assert_eq!(zk.children("/services/a").len(), 1);
    presence.withdraw().await;
    assert_eq!(zk.children("/services/a").len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_session_left_of_a_sequential_node_is_deleted() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let presence = process.hold(Name::Sequential("one-".to_owned()), "v1");
    let first = held(&presence).await;
    let snapshot = zk.snapshot();
    zk.expire(first.session());
    pending(&presence).await;
    held(&presence).await;
    // The node of the first session is back, until that expires once more.
    zk.restore(&snapshot);
    pending(&presence).await;
    let now = held(&presence).await;
    assert_ne!(now.path, first.path);
    let now = now.path.rsplit('/').next().map(str::to_owned);
    assert_eq!(zk.children("/services/a").into_iter().collect::<Vec<_>>(), Vec::from_iter(now));
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
