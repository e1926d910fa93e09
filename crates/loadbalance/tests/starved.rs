//! Lists come through where threads are scarce: the application has those for blocking work, or the system has no more.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use std::env;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread::{self, ThreadId};
use std::time::Duration;

use common::listed;
use loadbalance::{
    Algorithm, Balancer, Candidates, Filter, Instances, PickError, Picker, Request, RoundRobin,
};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::timeout;

/// The machine may be busy.
const SOON: Duration = Duration::from_secs(30);

/// How many there are in a list that is prepared for in a task, and in one that is not.
const SMALL: usize = 16;
const LARGE: usize = 17;

fn list(many: usize) -> Option<Instances> {
    Some(listed(&vec![1; many]).into_iter().map(Arc::new).collect())
}

/// Waits until a balancer has so many candidates.
async fn has(balancer: &Balancer, many: usize) {
    let taken = balancer.wait_for(|candidates| candidates.len() == many);
    timeout(SOON, taken).await.expect("the list is taken").unwrap();
}

/// Runtimes of both kinds, with one thread for blocking work.
fn runtimes() -> [Runtime; 2] {
    [Builder::new_current_thread(), Builder::new_multi_thread()]
        .map(|mut runtime| runtime.worker_threads(1).max_blocking_threads(1).enable_time().build().unwrap())
}

/// Lists of these sizes come through while the only thread for blocking work is stuck.
fn come_through(sizes: &[usize]) {
    for runtime in runtimes() {
        runtime.block_on(async {
            let (_until_here, stuck) = mpsc::channel::<()>();
            spawn_blocking(move || stuck.recv());
            let (lists, receiver) = watch::channel(None);
            let balancer = Balancer::follow(receiver, RoundRobin::default());
            for many in sizes {
                lists.send(list(*many)).unwrap();
                has(&balancer, *many).await;
            }
        });
    }
}

#[test]
fn a_small_list_is_taken_while_all_blocking_threads_are_stuck() {
    come_through(&[3, SMALL]);
}

#[test]
fn a_large_list_is_taken_while_all_blocking_threads_are_stuck() {
    come_through(&[LARGE, 3, 1_000]);
}

#[test]
fn the_only_blocking_thread_gets_the_list_that_it_waits_for() {
    for runtime in runtimes() {
        for many in [3, LARGE] {
            let picked = runtime.block_on(async {
                let (lists, receiver) = watch::channel(None);
                let balancer = Balancer::follow(receiver, RoundRobin::default());
                let picks = move || {
                    lists.send(list(many)).unwrap();
                    Handle::current().block_on(balancer.pick_within(SOON, &Request::default())).map(drop)
                };
                spawn_blocking(picks).await.unwrap()
            });
            assert_eq!(picked, Ok(()), "{many}");
        }
    }
}

/// Set for the process in which the system has no thread.
const REFUSED: &str = "LOADBALANCE_TEST_REFUSED";

#[test]
fn lists_of_any_size_are_taken_where_the_system_has_no_thread() {
    if env::var_os(REFUSED).is_none() {
        let mut process = Command::new(env::current_exe().unwrap());
        process.args(["--exact", "lists_of_any_size_are_taken_where_the_system_has_no_thread"]);
        // No thread has a stack of that size.
        let status = process.env(REFUSED, "1").env("RUST_MIN_STACK", (1_u64 << 60).to_string()).status();
        assert!(status.unwrap().success());
        return;
    }
    thread::Builder::new().spawn(|| ()).expect_err("no thread");
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let (lists, receiver) = watch::channel(list(1));
        let balancer = Balancer::follow(receiver, RoundRobin::default());
        for many in [LARGE, 3, 1_000, SMALL] {
            lists.send(list(many)).unwrap();
            has(&balancer, many).await;
        }
    });
}

/// Prepares as round robin does, and tells on which thread; spawns, too.
struct Tells {
    algorithm: RoundRobin,
    threads: mpsc::Sender<ThreadId>,
}

impl Algorithm for Tells {
    fn name(&self) -> &str {
        "tells"
    }

    fn picker(&self, candidates: Candidates) -> Arc<dyn Picker> {
        tokio::spawn(async {});
        self.threads.send(thread::current().id()).unwrap();
        self.algorithm.picker(candidates)
    }
}

#[tokio::test]
async fn a_task_prepares_for_what_is_small_and_frees_nothing_large() {
    let (lists, receiver) = watch::channel(None);
    let (tells, threads) = mpsc::channel();
    let balancer = Balancer::follow(receiver, Tells { algorithm: RoundRobin::default(), threads: tells });
    let (mut handle, here) = (balancer.handle(), thread::current().id());
    // How many come, whether the handle keeps the list that it has, and whether the task prepares.
    for (many, keeps, in_task) in [
        (SMALL, false, Some(true)),
        (3, false, Some(true)),
        (LARGE, false, Some(false)),
        (SMALL, true, Some(false)), // the one before is large,
        (3, false, Some(false)),    // and kept by the handle;
        (SMALL, false, None),       // whether it was freed by then is chance,
        (3, false, Some(true)),     // and now it was
    ] {
        lists.send(list(many)).unwrap();
        has(&balancer, many).await;
        let in_this_task = threads.recv().unwrap() == here;
        assert!(in_task.is_none_or(|in_task| in_task == in_this_task), "{many}");
        if !keeps {
            handle.choose(&Request::default()).unwrap();
        }
    }
}

#[tokio::test]
async fn a_task_does_not_prepare_for_a_few_with_large_weights() {
    let (lists, receiver) = watch::channel(None);
    let (tells, threads) = mpsc::channel();
    let balancer = Balancer::follow(receiver, Tells { algorithm: RoundRobin::default(), threads: tells });
    let here = thread::current().id();
    for (weights, in_task) in [([4096, 4096], true), ([4096, 4097], false), ([u32::MAX; 2], false)] {
        let heavy = listed(&weights).into_iter().map(Arc::new).collect::<Instances>();
        lists.send(Some(heavy)).unwrap();
        let here_now = |all: &Candidates| all.iter().map(|one| one.instance().data.weight).eq(weights);
        timeout(SOON, balancer.wait_for(here_now)).await.unwrap().unwrap();
        assert_eq!(threads.recv().unwrap() == here, in_task, "{weights:?}");
    }
}

/// A filter that accepts nobody, and waits at the first one until it is released. It tells when it begins to.
fn waits_once(released: mpsc::Receiver<()>) -> (Filter, mpsc::Receiver<()>) {
    let (enters, entered) = mpsc::channel();
    let released = Mutex::new(Some(released));
    let filter = Filter::new("waits once", move |_| {
        if let Some(released) = released.lock().unwrap().take() {
            enters.send(()).unwrap();
            let _ = released.recv_timeout(SOON);
        }
        false
    });
    (filter, entered)
}

#[tokio::test]
async fn lists_of_many_balancers_take_no_more_threads_than_they_may() {
    /// Who prepares, how many did at most at the same time, and whether they may go on.
    #[derive(Default)]
    struct Gate {
        state: Mutex<(usize, usize, bool)>,
        opened: Condvar,
    }
    const MOST: usize = 64;
    let gate = Arc::new(Gate::default());
    let follows = |_| {
        let gate = gate.clone();
        let passes = Filter::new("passes a gate", move |_| {
            let mut state = gate.state.lock().unwrap();
            state.0 += 1;
            state.1 = state.1.max(state.0);
            let (mut state, _) = gate.opened.wait_timeout_while(state, SOON, |state| !state.2).unwrap();
            state.0 -= 1;
            true
        });
        let (lists, receiver) = watch::channel(None);
        let balancer = Balancer::builder(RoundRobin::default()).filter(passes).follow(receiver);
        lists.send(list(LARGE)).unwrap();
        (balancer, lists)
    };
    let all: Vec<_> = (0..2 * MOST).map(follows).collect();
    let full = async {
        while gate.state.lock().unwrap().0 < MOST {
            yield_now().await;
        }
    };
    timeout(SOON, full).await.unwrap();
    gate.state.lock().unwrap().2 = true;
    gate.opened.notify_all();
    for (balancer, _) in &all {
        has(balancer, LARGE).await;
    }
    assert_eq!(gate.state.lock().unwrap().1, MOST);
}

#[test]
fn a_runtime_that_ends_waits_for_no_list_and_the_list_is_still_taken() {
    let (release, released) = mpsc::channel();
    let (filter, entered) = waits_once(released);
    let (lists, receiver) = watch::channel(None);
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let balancer = runtime.block_on(async {
        let balancer = Balancer::builder(RoundRobin::default()).filter(filter).follow(receiver);
        lists.send(list(LARGE)).unwrap();
        balancer
    });
    entered.recv_timeout(SOON).unwrap();
    drop(runtime);
    assert_eq!(balancer.pick(&Request::default()).unwrap_err(), PickError::NotReady);
    drop(release);
    let ended = async {
        assert_eq!(balancer.ready().await, Ok(()));
        balancer.wait_for(|_| false).await.unwrap_err()
    };
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let ended = runtime.block_on(async { timeout(SOON, ended).await }).expect("no list will come any more");
    assert!(matches!(ended, PickError::Filtered { listed: LARGE, .. }), "{ended}");
}

#[tokio::test]
async fn a_task_does_not_wait_for_who_prepares_for_a_list_by_hand() {
    let (lists, receiver) = watch::channel(None);
    let (release, released) = mpsc::channel();
    let (filter, entered) = waits_once(released);
    let balancer = Balancer::builder(RoundRobin::default()).filter(filter).follow(receiver);
    let by_hand = balancer.clone();
    let by_hand = thread::spawn(move || by_hand.replace(listed(&[1; 2])));
    entered.recv_timeout(SOON).unwrap();
    lists.send(list(3)).unwrap();
    for _ in 0..100 {
        yield_now().await;
    }
    release.send(()).expect("it still waits");
    by_hand.join().unwrap();
    let three = async {
        while !matches!(balancer.pick(&Request::default()), Err(PickError::Filtered { listed: 3, .. })) {
            yield_now().await;
        }
    };
    timeout(SOON, three).await.expect("the list is taken");
}
