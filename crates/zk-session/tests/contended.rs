//! What a presence promises whose node belongs to whoever comes first, on the fake with paused time.

mod common;

use std::time::Duration;

use common::{LIMIT, Process, data, eventually, held, pending, until};
use tokio::time::{Instant, sleep, timeout};
use zk_session::fake::FakeZk;
use zk_session::{Name, Presence, SessionId, Status};

async fn taken(presence: &Presence, owner: Option<SessionId>) {
    let told = |now: &Status| matches!(now, Status::Taken { by } if *by == owner);
    until(&mut presence.status(), "somebody else has it", told).await;
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
