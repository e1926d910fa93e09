//! What the keeper of sessions promises, on the fake with paused time.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{LIMIT, Process, eventually, held, until};
use tokio::time::{Instant, sleep, timeout};
use zk_session::fake::FakeZk;
use zk_session::{Backoff, Error, Keeper, Kind, Link, State};

fn connected(state: &State) -> bool {
    matches!(state, State::Connected { .. })
}

#[tokio::test(start_paused = true)]
async fn a_body_runs_on_every_connection_until_it_returns_a_value() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let runs = Arc::new(AtomicUsize::new(0));
    let body = tokio::spawn({
        let (sessions, runs) = (process.sessions(), runs.clone());
        async move {
            sessions
                .each(|_: Link| {
                    let runs = runs.clone();
                    async move {
                        if runs.fetch_add(1, Ordering::Relaxed) == 3 {
                            return Ok("done");
                        }
                        std::future::pending().await
                    }
                })
                .await
        }
    });
    for run in 1..=3 {
        eventually("the body runs", || runs.load(Ordering::Relaxed) == run).await;
        zk.disconnect_all();
    }
    assert_eq!(timeout(LIMIT, body).await.unwrap().unwrap(), Some("done"));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_fails_is_run_again_politely_on_the_same_connection() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let runs = AtomicUsize::new(0);
    let started = Instant::now();
    let sessions = process.sessions();
    let body = sessions.each(|_| async {
        match runs.fetch_add(1, Ordering::Relaxed) {
            20 => Ok(()),
            _ => Err(Error::NoNode),
        }
    });
    timeout(LIMIT, body).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(8), "20 failures took {:?}", started.elapsed());
    assert_eq!(zk.requests().connects, 1);
}

#[tokio::test(start_paused = true)]
async fn when_the_keeper_is_closed_bodies_end_and_the_session_is_over() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let presence = process.own("v1");
    let session = held(&presence).await.session();
    let sessions = process.sessions();
    let body = tokio::spawn({
        let sessions = sessions.clone();
        async move { sessions.each(|_| std::future::pending::<Result<(), Error>>()).await }
    });
    process.keeper.close().await;
    assert_eq!(timeout(LIMIT, body).await.unwrap().unwrap(), None);
    assert!(!zk.sessions().contains(&session), "the session is ended, not left to expire");
    assert!(zk.get("/services/a/one").is_none());
    assert!(sessions.next().await.is_none());
    assert!(matches!(*sessions.state().borrow(), State::Closed));
}

#[tokio::test(start_paused = true)]
async fn closing_takes_two_seconds_at_most_when_nobody_answers() {
    for reachable in [true, false] {
        let zk = FakeZk::default();
        let process = Process::start(&zk);
        until(&mut process.sessions().state(), "connected", connected).await;
        zk.set_mute(true);
        zk.set_reachable(reachable);
        let closing = Instant::now();
        process.keeper.close().await;
        assert!(closing.elapsed() <= Duration::from_millis(2100), "took {:?}", closing.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_server_it_goes_on_trying_and_tells_why_not() {
    let zk = FakeZk::default();
    zk.set_reachable(false);
    let process = Process::start(&zk);
    let told = |now: &State| matches!(now, State::Connecting { problem: Some(Error::Unreachable { .. }) });
    until(&mut process.sessions().state(), "the problem is told", told).await;
    zk.reset_requests();
    sleep(Duration::from_secs(60)).await;
    assert!((40..=150).contains(&zk.requests().connects), "{:?}", zk.requests());
    zk.set_reachable(true);
    let back = Instant::now();
    until(&mut process.sessions().state(), "connected", connected).await;
    assert!(back.elapsed() <= Duration::from_secs(1), "took {:?}", back.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_back_is_met_in_time_to_show_the_truth_within_a_second() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let mut states = process.sessions().state();
    for outage in 0..100 {
        until(&mut states, "connected", connected).await;
        zk.stop();
        sleep(Duration::from_millis(15_000 + 37 * outage)).await;
        zk.start();
        let back = Instant::now();
        until(&mut states, "connected again", connected).await;
        assert!(back.elapsed() <= Duration::from_millis(810), "took {:?}", back.elapsed());
    }
    assert_eq!(zk.sessions().len(), 1, "nobody's session expires while the server is down");
}

#[tokio::test(start_paused = true)]
async fn the_state_tells_a_suspended_session_and_a_new_one() {
    let zk = FakeZk::default();
    let process = Process::start(&zk);
    let mut states = process.sessions().state();
    let id = |state: &State| match state {
        State::Connected { id, .. } => *id,
        other => panic!("{other:?}"),
    };
    let first = id(&until(&mut states, "connected", connected).await);
    zk.disconnect(first);
    until(&mut states, "suspended", |now| matches!(now, State::Suspended { id, .. } if *id == first)).await;
    assert_eq!(id(&until(&mut states, "connected again", connected).await), first);
    zk.expire(first);
    until(&mut states, "suspended", |now| matches!(now, State::Suspended { .. })).await;
    assert_ne!(id(&until(&mut states, "connected anew", connected).await), first);
}

#[tokio::test(start_paused = true)]
async fn a_session_survives_every_outage_of_three_quarters_of_its_timeout() {
    for seed in 0..50 {
        let zk = FakeZk::with_timeout(Duration::from_secs(2)).with_seed(seed);
        let process = Process::start(&zk);
        let mut states = process.sessions().state();
        until(&mut states, "connected", connected).await;
        let session = zk.sessions();
        for outage in [1500, 100, 700, 1500, 1500] {
            zk.set_reachable(false);
            sleep(Duration::from_millis(outage)).await;
            zk.reset_requests();
            zk.set_reachable(true);
            until(&mut states, "connected again", connected).await;
            assert_eq!(zk.sessions(), session, "seed {seed}, after an outage of {outage} ms");
            sleep(Duration::from_millis(300)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_sees_ten_tries_a_second_at_most() {
    let zk = FakeZk::with_timeout(Duration::from_secs(2));
    let process = Process::start(&zk);
    until(&mut process.sessions().state(), "connected", connected).await;
    zk.set_reachable(false);
    for second in 0..10 {
        zk.reset_requests();
        sleep(Duration::from_secs(1)).await;
        let most = if second < 3 { 10 } else { 3 };
        assert!((1..=most).contains(&zk.requests().connects), "second {second}: {:?}", zk.requests());
    }
}

#[tokio::test(start_paused = true)]
async fn many_clients_do_not_come_back_at_the_same_moment() {
    // Of so many, those who come within a tenth of a second are as many as their share, but for one run in more than anybody makes.
    const CLIENTS: usize = 500;
    let zk = FakeZk::default();
    let processes: Vec<_> = (0..CLIENTS).map(|_| Process::start(&zk)).collect();
    for process in &processes {
        until(&mut process.sessions().state(), "connected", connected).await;
    }
    zk.set_reachable(false);
    sleep(Duration::from_secs(6)).await;
    zk.set_reachable(true);
    let back = Instant::now();
    let mut returns = Vec::new();
    for process in &processes {
        let mut states = process.sessions().state();
        returns.push(tokio::spawn(async move {
            until(&mut states, "connected", connected).await;
            back.elapsed()
        }));
    }
    let mut times = Vec::new();
    for returned in returns {
        times.push(returned.await.unwrap());
    }
    times.sort();
    assert!(times[CLIENTS - 1] <= Duration::from_secs(5), "{times:?}");
    let most = times.iter().map(|start| {
        times.iter().filter(|t| **t >= *start && **t < *start + Duration::from_millis(100)).count()
    });
    assert!(most.max().unwrap() <= CLIENTS / 2, "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_keeper_that_is_dropped_ends_bodies_and_the_session() {
    let zk = FakeZk::default();
    let keeper = Keeper::start(zk.client());
    let sessions = keeper.sessions();
    let body = tokio::spawn({
        let sessions = sessions.clone();
        async move { sessions.each(|_| std::future::pending::<Result<(), Error>>()).await }
    });
    let link = sessions.next().await.unwrap();
    drop(keeper);
    assert!(timeout(LIMIT, body).await.expect("in time").unwrap().is_none());
    timeout(LIMIT, link.ended()).await.expect("in time");
    assert!(zk.sessions().is_empty());
    assert!(sessions.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn requests_of_many_bodies_are_gathered() {
    let zk = FakeZk::default();
    for i in 0..1000 {
        zk.put(&format!("/d/n{i}"), i.to_string());
    }
    let process = Process::start(&zk);
    let link = process.sessions().next().await.unwrap();
    let reads = (0..1000).map(|i| {
        let link = link.clone();
        tokio::spawn(async move { link.get_soon(&format!("/d/n{i}")).await.unwrap().unwrap().data })
    });
    for (i, read) in reads.collect::<Vec<_>>().into_iter().enumerate() {
        assert_eq!(read.await.unwrap(), i.to_string().as_bytes());
    }
    assert!(zk.requests().total() <= 20, "{:?}", zk.requests());

    let paths = ["/d/n1", "/d/n2", "no path", "/d/n3", "/d//n4"];
    let together = paths.map(|path| link.get_soon(path));
    for (path, read) in paths.into_iter().zip(futures::future::join_all(together).await) {
        match path {
            "no path" | "/d//n4" => assert!(matches!(read, Err(Error::Invalid(_))), "{path}: {read:?}"),
            _ => assert!(read.unwrap().is_some(), "{path} is harmed by another"),
        }
    }
    zk.disconnect_all();
    link.ended().await;
    assert!(matches!(link.get_soon("/d/n1").await, Err(Error::Interrupted)));
    assert!(matches!(link.create("/d/late", b"", Kind::Ephemeral).await, Err(Error::Interrupted)));
}

#[tokio::test(start_paused = true)]
async fn delays_without_a_cap_keep_nobody_from_coming_back() {
    let zk = FakeZk::default();
    zk.set_reachable(false);
    let uncapped = Backoff::new(Duration::from_secs(1), Duration::MAX);
    let keeper = Keeper::start_with(Arc::new(zk.client()), uncapped);
    timeout(LIMIT, zk.until(|zk| zk.requests().connects == 3)).await.expect("it tries again");
    zk.set_reachable(true);
    until(&mut keeper.sessions().state(), "it is back", connected).await;
}
