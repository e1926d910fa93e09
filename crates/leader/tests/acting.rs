//! Acting as a leader: bodies that run only while leading, and writes that count only then; on the fake with paused time.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{LIMIT, Process, T, in_line, leads, line, lost};
use leader::{Error, Leadership, Lost, Op, Status};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use zk_session::fake::FakeZk;

/// Counts those that exist.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn count(counter: &Arc<AtomicUsize>) -> Self {
        counter.fetch_add(1, Ordering::SeqCst);
        Self(counter.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_runs_only_while_leading_and_again_after_a_lapse() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let running = Arc::new(AtomicUsize::new(0));
    let (began, mut begun) = mpsc::unbounded_channel::<Leadership>();
    let candidacy = process.campaign("a");
    let work = tokio::spawn({
        let running = running.clone();
        async move {
            candidacy
                .run_while_leader(|leadership| {
                    let (alive, began) = (Alive::count(&running), began.clone());
                    async move {
                        let _alive = alive;
                        began.send(leadership).unwrap();
                        std::future::pending::<()>().await;
                    }
                })
                .await
        }
    });
    let first = timeout(LIMIT, begun.recv()).await.unwrap().unwrap();
    assert!(first.holds());
    process.client.set_reachable(false);
    lost(&first).await;
    tokio::task::yield_now().await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(running.load(Ordering::SeqCst), 0, "the body was dropped");
    process.client.set_reachable(true);
    let second = timeout(LIMIT, begun.recv()).await.unwrap().unwrap();
    assert!(second.holds());
    assert_eq!(second.term(), first.term());
    assert_eq!(running.load(Ordering::SeqCst), 1);

    zk.expire(process.session());
    let third = timeout(LIMIT, begun.recv()).await.unwrap().unwrap();
    assert!(third.term() > second.term());
    process.keeper.close().await;
    assert!(matches!(timeout(LIMIT, work).await.unwrap().unwrap(), Err(Error::Over)));
    assert_eq!(running.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_done_resigns_and_gives_its_value() {
    let zk = FakeZk::default();
    let (one, two) = (Process::start(&zk), Process::start(&zk));
    let first = tokio::spawn(one.campaign("a").run_while_leader(|leadership| async move { leadership }));
    let mine = timeout(LIMIT, first).await.unwrap().unwrap().unwrap();
    assert_eq!(lost(&mine).await, Lost::Resigned);
    assert_eq!(line(&zk).len(), 0);
    let second =
        tokio::spawn(two.campaign("b").run_while_leader(|leadership| async move { leadership.holds() }));
    assert!(timeout(LIMIT, second).await.unwrap().unwrap().unwrap());
}

#[tokio::test(start_paused = true)]
async fn dropping_the_work_drops_the_body_and_resigns() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let running = Arc::new(AtomicUsize::new(0));
    let work = process.campaign("a").run_while_leader(|_| {
        let alive = Alive::count(&running);
        async move {
            let _alive = alive;
            std::future::pending::<()>().await;
        }
    });
    assert!(timeout(T, work).await.is_err());
    assert_eq!(running.load(Ordering::SeqCst), 0);
    timeout(LIMIT, zk.until(|zk| line(zk).is_empty())).await.unwrap();
}

fn set(path: &str, data: &str) -> Op {
    Op::Set { path: path.to_owned(), data: data.into(), version: None }
}

fn stored(zk: &FakeZk) -> String {
    String::from_utf8(zk.get("/resource").expect("it is there").data).expect("text")
}

#[tokio::test(start_paused = true)]
async fn a_fenced_write_is_done_while_leading_in_one_request() {
    let zk = FakeZk::default();
    zk.put("/resource", "old");
    let (_one, first) = in_line(&zk, "a").await;
    let leadership = leads(&first).await;
    sleep(T / 100).await;
    zk.reset_requests();
    leadership.commit(&[set("/resource", "new")]).await.unwrap();
    assert_eq!((stored(&zk).as_str(), zk.requests().total()), ("new", 1));

    let failed = leadership.commit(&[set("/resource", "newer"), set("/missing", "x")]).await;
    let is_second = matches!(&failed, Err(Error::Aborted { index: 1, source: zk_session::Error::NoNode }));
    assert!(is_second, "{failed:?}");
    assert_eq!(stored(&zk), "new");
    let many = vec![set("/resource", "x"); zk_session::MAX_OPS];
    assert!(
        matches!(leadership.commit(&many).await, Err(Error::Invalid(what)) if what.contains("up to 499"))
    );
    assert!(leadership.holds());
}

#[tokio::test(start_paused = true)]
async fn a_fenced_write_is_refused_by_zookeeper_when_the_node_is_gone_though_the_guard_says_yes() {
    let zk = FakeZk::default();
    zk.put("/resource", "old");
    let (_one, first) = in_line(&zk, "a").await;
    let leadership = leads(&first).await;
    sleep(T).await;
    zk.hold_watches(true);
    zk.remove(leadership.path());
    assert!(leadership.holds(), "nobody has told us");
    let refused = leadership.commit(&[set("/resource", "stale")]).await;
    assert!(matches!(refused, Err(Error::Lost(Lost::NodeDeleted))), "{refused:?}");
    assert_eq!(stored(&zk), "old");
    assert!(!leadership.holds());
}

#[tokio::test(start_paused = true)]
async fn a_fenced_write_of_one_who_leads_no_more_is_not_sent() {
    let zk = FakeZk::default();
    zk.put("/resource", "old");
    let (one, first) = in_line(&zk, "a").await;
    let leadership = leads(&first).await;
    sleep(T).await;
    one.client.sleep(T);
    zk.reset_requests();
    let refused = leadership.commit(&[set("/resource", "stale")]).await;
    assert!(matches!(refused, Err(Error::Lost(Lost::LeaseEnded))), "{refused:?}");
    assert_eq!((stored(&zk).as_str(), zk.requests().multis), ("old", 0));

    let leadership = leads(&first).await;
    first.resign().await;
    let refused = leadership.commit(&[set("/resource", "stale")]).await;
    assert!(matches!(refused, Err(Error::Lost(Lost::Resigned))), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_fenced_write_waits_for_a_connection_and_no_longer_than_the_lease() {
    let zk = FakeZk::default();
    zk.put("/resource", "old");
    let (one, first) = in_line(&zk, "a").await;
    let leadership = leads(&first).await;
    sleep(T).await;
    one.client.set_reachable(false);
    let back = async {
        sleep(T / 10).await;
        one.client.set_reachable(true);
    };
    let ops = [set("/resource", "new")];
    let (written, ()) = tokio::join!(leadership.commit(&ops), back);
    written.unwrap();
    assert_eq!(stored(&zk), "new");

    sleep(T).await;
    one.client.set_reachable(false);
    let refused =
        timeout(T, leadership.commit(&[set("/resource", "late")])).await.expect("bounded by the lease");
    assert!(matches!(refused, Err(Error::Lost(Lost::LeaseEnded))), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_fenced_write_whose_answer_is_lost_says_that_it_may_have_happened() {
    let zk = FakeZk::default();
    zk.put("/resource", "old");
    let (one, first) = in_line(&zk, "a").await;
    let leadership = leads(&first).await;
    sleep(T / 100).await;
    zk.lose_next_reply_of(one.session());
    let lost = leadership.commit(&[set("/resource", "new")]).await;
    assert!(matches!(lost, Err(Error::Interrupted)), "{lost:?}");
    assert_eq!(stored(&zk), "new");
    assert!(leadership.holds());
}

#[tokio::test(start_paused = true)]
async fn nobody_leads_again_for_a_node_that_a_fenced_write_has_found_gone() {
    let zk = FakeZk::default();
    zk.put("/resource", "old");
    let (_one, first) = in_line(&zk, "a").await;
    let before = leads(&first).await;
    zk.hold_watches(true);
    zk.remove(before.path());
    let refused = before.commit(&[set("/resource", "new")]).await;
    assert!(matches!(refused, Err(Error::Lost(Lost::NodeDeleted))), "{refused:?}");
    assert_eq!(stored(&zk), "old");
    let status = first.status();
    for _ in 0..100 {
        sleep(T / 100).await;
        let leads_again = matches!(&*status.borrow(), Status::Leading(it) if it.holds());
        assert!(!leads_again, "nobody was told yet that the node is there again");
    }
    zk.hold_watches(false);
    assert!(leads(&first).await.term() > before.term());
}
