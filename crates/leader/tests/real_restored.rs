//! Elections on a real server that was put back to an older state, as from a backup.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod real;

use std::time::Duration;

use real::sampler::Sampler;
use real::{CALM, Candidate, now, one_node_each, somebody_leads, soon, zookeeper};
use zk_local::{Server, Snapshot};
use zk_session::Moment;

/// Of one whose session is to end: longer than a busy machine takes to start the server and to connect again.
const SESSION: Duration = Duration::from_secs(12);

/// One whose session is not to end.
fn candidate(server: &Server, id: &str) -> Candidate {
    Candidate::start_on(zookeeper(server.connect_string(), CALM), id)
}

async fn save(server: &Server) -> Snapshot {
    server.stop().await.unwrap();
    let saved = server.snapshot_data().await.unwrap();
    server.start_again().await.unwrap();
    saved
}

/// Returns when the older state began to be served.
async fn go_back(server: &Server, saved: &Snapshot) -> Moment {
    server.stop().await.unwrap();
    server.restore_data(saved).await.unwrap();
    server.start_again().await.unwrap();
    now()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_left_and_is_ahead_again_in_an_older_state_holds_up_the_others_for_one_session_only() {
    let server = Server::start().await.unwrap();
    for _ in 0..3 {
        let a = Candidate::start_on(zookeeper(server.connect_string(), SESSION), "a");
        a.leads().await;
        let b = candidate(&server, "b");
        b.waits().await;
        let saved = save(&server).await;
        let ahead = a.leads().await;
        // Its node comes back with the older state, and goes with its session, which nobody keeps.
        a.keeper.close().await;
        let before = b.leads().await;
        // The older state does not know this one at all.
        let c = candidate(&server, "c");
        c.waits().await;

        let sampler = Sampler::start([&b, &c]);
        let back = go_back(&server, &saved).await;
        let why = soon("the end of the one who is not the first any more", before.lost()).await;
        assert_eq!(b.waits().await, ahead.path(), "it stands behind the one who is back");
        let after = b.leads().await;
        let took = now().since(back);
        eprintln!("after a rollback: {why}, and it led again {took:?} after the older state was served");
        assert_eq!((after.path(), after.term()), (before.path(), before.term()), "its node was never away");
        assert!(!before.holds());
        assert_eq!(c.waits().await, after.path());
        one_node_each(server.connect_string(), &["b", "c"]).await;
        sampler.stop();
        b.keeper.close().await;
        c.keeper.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terms_go_back_with_an_older_state_and_no_leadership_outlives_its_node() {
    let server = Server::start().await.unwrap();
    let first = candidate(&server, "a");
    first.leads().await;
    first.keeper.close().await;
    let saved = save(&server).await;
    for id in ["b", "c", "d"] {
        let other = candidate(&server, id);
        other.leads().await;
        other.keeper.close().await;
    }
    let a = candidate(&server, "a");
    let before = a.leads().await;
    let back = go_back(&server, &saved).await;
    soon("the end of what has no node any more", before.lost()).await;
    let after = a.leads().await;
    eprintln!(
        "{:?} led again {:?} after the older state was served, with {:?}",
        before.term(),
        now().since(back),
        after.term()
    );
    assert!(after.term() < before.term(), "as is said of terms");
    assert!(!before.holds() && after.holds());
    one_node_each(server.connect_string(), &["a"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_resigned_and_is_ahead_again_in_an_older_state_leaves_the_line_though_its_process_lives() {
    let server = Server::start().await.unwrap();
    let a = candidate(&server, "a");
    a.leads().await;
    let b = candidate(&server, "b");
    b.waits().await;
    let saved = save(&server).await;
    a.leads().await;
    soon("a resigns", a.candidacy.resign()).await;
    let before = b.leads().await;
    for _ in 0..3 {
        let back = go_back(&server, &saved).await;
        // Its keeper goes on, and its session is one that the older state knows.
        one_node_each(server.connect_string(), &["b"]).await;
        let after = somebody_leads([&b]).await;
        eprintln!("after a rollback: b led {:?} after the older state was served", now().since(back));
        assert_eq!((after.path(), after.term()), (before.path(), before.term()), "its node was never away");
    }
}
