//! What a lease on the session promises, on the fake with paused time.

mod common;

use std::time::Duration;

use common::{LIMIT, Process, eventually, held};
use tokio::time::{sleep, timeout};
use zk_session::fake::FakeZk;
use zk_session::{Grant, Lease, Name, Presence};

/// What the fake grants.
const T: Duration = Duration::from_secs(4);

async fn node(process: &Process) -> (Presence, String) {
    let presence = process.hold(Name::Sequential("one-".to_owned()), "");
    let path = held(&presence).await.path;
    (presence, path)
}

/// How much of the lease is left.
fn left(process: &Process, lease: &Lease) -> Duration {
    let now = process.sessions().now();
    lease.grants().borrow().map_or(Duration::ZERO, |grant| grant.until.since(now))
}

async fn granted(process: &Process, lease: &Lease) -> Grant {
    let is_valid = |grant: &Option<Grant>| grant.is_some_and(|grant| grant.until > process.sessions().now());
    let mut grants = lease.grants();
    let granted = timeout(LIMIT, grants.wait_for(is_valid)).await.expect("granted in time").expect("kept");
    granted.expect("a grant")
}

#[tokio::test(start_paused = true)]
async fn in_a_new_session_one_write_is_enough() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let lease = process.sessions().lease();
    let begun = process.sessions().now();
    let (_presence, path) = node(&process).await;
    assert_eq!(*lease.grants().borrow(), None, "nothing is known before somebody needs it");
    let _renewal = lease.renew_with(&path);
    let grant = granted(&process, &lease).await;
    assert_eq!(Some(grant.session), process.client.session());
    assert!(grant.until <= begun + T * 4 / 5);
    assert!(process.sessions().honors(&grant));
}

#[tokio::test(start_paused = true)]
async fn in_a_session_that_was_not_watched_before_it_takes_a_third_of_the_timeout() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let (_presence, path) = node(&process).await;
    sleep(2 * T).await;
    let lease = process.sessions().lease();
    let begun = process.sessions().now();
    let _renewal = lease.renew_with(&path);
    granted(&process, &lease).await;
    let took = process.sessions().now().since(begun);
    assert!((T / 3..T / 2).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn who_waits_reads_and_has_a_lease_with_its_first_write() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let lease = process.sessions().lease();
    let another = process.sessions().lease();
    let (_presence, path) = node(&process).await;
    eventually("the node is watched", || zk.requests().watches == 1).await;
    zk.reset_requests();
    sleep(10 * T).await;
    let requests = zk.requests();
    assert_eq!((requests.exists, requests.total()), (requests.exists, requests.exists), "nothing but reads");
    assert!((95..=101).contains(&requests.exists), "one for each tenth of T: {requests:?}");

    let begun = process.sessions().now();
    let _renewal = lease.renew_with(&path);
    granted(&process, &lease).await;
    assert_eq!(process.sessions().now().since(begun), Duration::ZERO, "nothing but answers was waited for");
    assert_eq!(*another.grants().borrow(), *lease.grants().borrow());
}

#[tokio::test(start_paused = true)]
async fn while_it_is_renewed_a_third_is_always_left_for_at_most_ten_writes_in_each_timeout() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let (lease, (_presence, path)) = (process.sessions().lease(), node(&process).await);
    let _renewals = [lease.renew_with(&path), lease.renew_with(&path)];
    granted(&process, &lease).await;
    sleep(T).await;
    zk.reset_requests();
    for _ in 0..10_000 {
        sleep(T / 1000).await;
        assert!(left(&process, &lease) + T / 100 >= T / 3, "{:?}", left(&process, &lease));
    }
    let requests = zk.requests();
    assert_eq!(requests.multis, requests.total(), "both share the writes, and nobody is woken: {requests:?}");
    assert!((80..=100).contains(&requests.multis), "{requests:?}");
    assert_eq!(requests.events, 0);
}

#[tokio::test(start_paused = true)]
async fn however_often_somebody_else_renews_it_a_quarter_is_always_left() {
    for every in [T / 200, T / 120, T / 40, T / 16, T / 7, T / 5, T / 4] {
        let zk = FakeZk::default();
        let process = Process::start(&zk);
        let (lease, (_presence, path)) = (process.sessions().lease(), node(&process).await);
        let _renewal = lease.renew_with(&path);
        granted(&process, &lease).await;
        sleep(2 * T).await;
        let (mut least, step) = (T, T / 1600);
        for round in 0..16_000_u32 {
            if (round * step).as_nanos().is_multiple_of((every / 100 * 100).as_nanos()) {
                drop(lease.renew_with(&path));
            }
            sleep(step).await;
            least = least.min(left(&process, &lease));
        }
        assert!(least >= T / 4, "every {every:?}: {least:?} left");
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_that_may_not_be_checked_cost_the_others_nothing_and_one_request_more() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let (lease, (_presence, path)) = (process.sessions().lease(), node(&process).await);
    let _renewal = lease.renew_with(&path);
    zk.put("/others", "");
    let others: Vec<_> = (0..40).map(|n| format!("/others/{n}")).collect();
    others.iter().for_each(|other| zk.put(other, ""));
    let mut renewals: Vec<_> = others.iter().map(|other| lease.renew_with(other)).collect();
    granted(&process, &lease).await;
    sleep(2 * T).await;
    zk.refuse_reads("/others", true);
    let mut problem = lease.problem();
    timeout(LIMIT, problem.wait_for(Option::is_some)).await.expect("told in time").expect("kept");
    sleep(T).await;
    zk.reset_requests();
    for _ in 0..10_000 {
        sleep(T / 1000).await;
        assert!(left(&process, &lease) + T / 100 >= T / 3, "{:?}", left(&process, &lease));
        assert!(problem.borrow().is_some());
    }
    let requests = zk.requests();
    assert!(requests.multis <= 200, "{requests:?}");

    // Also the last of them, in the next round.
    zk.remove("/others/39");
    timeout(T / 5, renewals[39].missing()).await.expect("found missing though refused before");
    zk.refuse_reads("/others", false);
    timeout(T / 2, problem.wait_for(Option::is_none)).await.expect("allowed in time").expect("kept");
    zk.remove("/others/8");
    timeout(T / 2, renewals[8].missing()).await.expect("checked with the others again");
}

#[test]
fn it_outlives_the_runtime_of_who_asked_for_it_first() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let process = runtime.block_on(async { Process::start(&FakeZk::default()) });
    let another = tokio::runtime::Runtime::new().expect("a runtime");
    let lease = another.block_on(async { process.sessions().lease() });
    drop(another);
    runtime.block_on(async {
        let (_presence, path) = node(&process).await;
        for lease in [&lease, &process.sessions().lease()] {
            let _renewal = lease.renew_with(&path);
            granted(&process, lease).await;
        }
    });
}

#[tokio::test(start_paused = true)]
async fn when_nobody_needs_it_any_more_nothing_is_asked() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let (lease, (_presence, path)) = (process.sessions().lease(), node(&process).await);
    let renewal = lease.renew_with(&path);
    granted(&process, &lease).await;
    drop(lease);
    sleep(T).await;
    zk.reset_requests();
    sleep(T).await;
    assert!(zk.requests().multis > 0, "the renewal is a need, too");
    drop(renewal);
    zk.reset_requests();
    sleep(10 * T).await;
    assert_eq!(zk.requests().total(), 0);
}

#[tokio::test(start_paused = true)]
async fn on_a_half_open_link_it_runs_out_before_the_session_does() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let (lease, (_presence, path)) = (process.sessions().lease(), node(&process).await);
    let _renewal = lease.renew_with(&path);
    sleep(2 * T).await;
    let session = granted(&process, &lease).await.session;
    zk.mute(session);
    let cut = process.sessions().now();
    let until = granted(&process, &lease).await.until;
    assert!(until.since(cut) < T / 2, "{:?}", until.since(cut));
    eventually("it has run out", || left(&process, &lease).is_zero()).await;
    assert!(zk.sessions().contains(&session));
}

#[tokio::test(start_paused = true)]
async fn a_short_outage_in_the_session_costs_no_moment_of_it() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let (lease, (_presence, path)) = (process.sessions().lease(), node(&process).await);
    let _renewal = lease.renew_with(&path);
    sleep(2 * T).await;
    granted(&process, &lease).await;
    for outage in 0..50 {
        // At another moment between two renewals each time.
        sleep(T + T / 400 * outage).await;
        process.client.set_reachable(false);
        let back = tokio::spawn({
            let client = process.client.clone();
            async move {
                sleep(T / 5).await;
                client.set_reachable(true);
            }
        });
        for _ in 0..200 {
            assert!(!left(&process, &lease).is_zero(), "outage {outage}");
            sleep(T / 200).await;
        }
        back.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn time_that_the_machine_slept_counts_at_once() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let (lease, (_presence, path)) = (process.sessions().lease(), node(&process).await);
    let _renewal = lease.renew_with(&path);
    sleep(2 * T).await;
    granted(&process, &lease).await;
    process.client.sleep(T);
    assert_eq!(left(&process, &lease), Duration::ZERO);
    // Two renewals right after it prove nothing new; a third of the timeout later they do.
    let woke = process.sessions().now();
    granted(&process, &lease).await;
    let took = process.sessions().now().since(woke);
    assert!((T / 3..T / 2).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_grant_is_for_one_session_and_ends_with_it_and_with_the_keeper() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let (lease, (presence, path)) = (process.sessions().lease(), node(&process).await);
    let _renewal = lease.renew_with(&path);
    let first = granted(&process, &lease).await;
    zk.expire(first.session);
    assert!(process.sessions().honors(&first), "nobody has told us yet");
    eventually("another session is met", || !process.sessions().honors(&first)).await;
    let second = held(&presence).await;
    let _renewal = lease.renew_with(&second.path);
    let (grants, sessions) = (&mut lease.grants(), process.sessions());
    let of_the_second = |grant: &Option<Grant>| grant.is_some_and(|grant| grant.session == second.session());
    let second = timeout(LIMIT, grants.wait_for(of_the_second)).await.unwrap().unwrap().unwrap();

    process.keeper.close().await;
    assert!(!sessions.honors(&second));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_met_again_with_another_timeout_honors_nothing_that_was_granted_before() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let (lease, (_presence, path)) = (process.sessions().lease(), node(&process).await);
    let _renewal = lease.renew_with(&path);
    sleep(2 * T).await;
    let before = granted(&process, &lease).await;
    zk.set_timeout(T / 4);
    zk.disconnect_all();
    let sessions = process.sessions();
    let link = timeout(LIMIT, sessions.next()).await.unwrap().unwrap();
    // Nothing is answered on it any more: the first who sees it knows.
    zk.mute(link.id());
    assert_eq!((link.id(), link.timeout()), (before.session, T / 4));
    assert!(before.until > sessions.now() && !sessions.honors(&before));
    let grants = &mut lease.grants();
    zk.unmute(link.id());
    let honored = |grant: &Option<Grant>| grant.is_some_and(|grant| sessions.honors(&grant));
    let after = timeout(LIMIT, grants.wait_for(honored)).await.unwrap().unwrap().unwrap();
    assert!(after.until <= sessions.now() + T / 4);
}

#[tokio::test(start_paused = true)]
async fn one_check_that_is_refused_keeps_no_other_node_from_renewing() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let (lease, (_presence, path)) = (process.sessions().lease(), node(&process).await);
    let owner = zk.stranger();
    zk.put_ephemeral("/services/a/two", "", owner);
    let _renewals = [lease.renew_with("/services/a/two"), lease.renew_with(&path)];
    sleep(T).await;
    zk.refuse_reads("/services/a/two", true);
    sleep(2 * T).await;
    assert!(left(&process, &lease) >= T / 4, "{:?}", left(&process, &lease));
    assert!(lease.problem().borrow().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_missing_is_told_and_does_not_keep_others_from_renewing() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let (lease, (_presence, path)) = (process.sessions().lease(), node(&process).await);
    let owner = zk.stranger();
    zk.put_ephemeral("/services/a/two", "", owner);
    let (mut one, mut two) = (lease.renew_with(&path), lease.renew_with("/services/a/two"));
    sleep(T).await;
    zk.hold_watches(true);
    zk.remove("/services/a/two");
    timeout(T / 5, two.missing()).await.expect("the next check finds it");
    sleep(2 * T).await;
    assert!(left(&process, &lease) >= T / 4, "{:?}", left(&process, &lease));
    assert!(timeout(T, one.missing()).await.is_err(), "the other one is there");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_the_check_is_told_of_and_grants_nothing() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let (lease, (_presence, path)) = (process.sessions().lease(), node(&process).await);
    zk.refuse_reads(&path, true);
    let _renewal = lease.renew_with(&path);
    timeout(LIMIT, lease.problem().wait_for(Option::is_some)).await.unwrap().unwrap();
    sleep(2 * T).await;
    assert_eq!(left(&process, &lease), Duration::ZERO);
    zk.refuse_reads(&path, false);
    granted(&process, &lease).await;
    assert!(lease.problem().borrow().is_none());
}
