//! What a presence promises whose name ends with a number of the server's, on the fake with paused time.

mod common;

use std::time::Duration;

use common::{Process, eventually, held, pending};
use tokio::task::yield_now;
use tokio::time::sleep;
use zk_session::Name;
use zk_session::fake::FakeZk;

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
