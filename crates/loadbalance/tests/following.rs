//! Lists from a channel, whatever comes through it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use common::{instance, listed, number_of};
use loadbalance::{
    Algorithm, Balancer, Candidates, Filter, Instances, Picker, Pool, Random, Request, RoundRobin,
};
use tokio::sync::watch;
use tokio::time::timeout;

fn list(many: usize) -> Option<Instances> {
    Some(listed(&vec![1; many]).into_iter().map(Arc::new).collect())
}

/// Waits until a balancer has so many candidates.
async fn has(balancer: &Balancer, many: usize) {
    let taken = balancer.wait_for(|candidates| candidates.len() == many);
    timeout(Duration::from_secs(30), taken).await.expect("the list is taken").unwrap();
}

#[tokio::test]
async fn each_list_is_taken_and_the_last_one_stays() {
    let (lists, receiver) = watch::channel(None);
    let balancer = Balancer::follow(receiver, RoundRobin::default());
    for many in [3, 1, 0, 5, 2] {
        lists.send(list(many)).unwrap();
        has(&balancer, many).await;
        assert_eq!(balancer.pick(&Request::default()).is_ok(), many > 0);
    }
    drop(lists);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(balancer.ready().await, Ok(()));
    assert_eq!(balancer.candidates().len(), 2);
    assert!(balancer.pick(&Request::default()).is_ok());
}

#[tokio::test]
async fn no_list_after_a_list_empties_nothing() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let filter = Filter::new("counted", move |_| counted.fetch_add(1, SeqCst) < usize::MAX);
    let (lists, receiver) = watch::channel(list(3));
    let balancer = Balancer::builder(Random).filter(filter).follow(receiver);
    assert_eq!(asked.load(SeqCst), 3);
    lists.send(None).unwrap();
    // What is there is prepared for once more.
    let taken = async {
        while asked.load(SeqCst) < 6 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(30), taken).await.expect("it is taken");
    assert_eq!(balancer.candidates().len(), 3);
    assert!(balancer.pick(&Request::default()).is_ok());
    lists.send(list(4)).unwrap();
    has(&balancer, 4).await;
}

/// Panics for lists in which an instance has this weight.
const POISON: u32 = 666;

fn poisoned() -> Option<Instances> {
    Some([Arc::new(instance("i000000", 1)), Arc::new(instance("i000001", POISON))].into())
}

/// Prepares as round robin does, unless it panics.
struct Panics {
    algorithm: RoundRobin,
    panicked: Arc<AtomicUsize>,
}

impl Algorithm for Panics {
    fn name(&self) -> &str {
        "panics"
    }

    fn picker(&self, candidates: Candidates) -> Arc<dyn Picker> {
        if candidates.iter().any(|it| it.weight() == POISON) {
            self.panicked.fetch_add(1, SeqCst);
            panic!("an algorithm of one's own panics, as this test wants it to");
        }
        self.algorithm.picker(candidates)
    }
}

async fn goes_on_after_a_panic(
    balancer: &Balancer,
    lists: &watch::Sender<Option<Instances>>,
    panicked: &AtomicUsize,
) {
    for round in 1..=3 {
        lists.send(poisoned()).unwrap();
        let panics = async {
            while panicked.load(SeqCst) < round {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(30), panics).await.expect("a panic");
        assert!(balancer.pick(&Request::default()).is_ok(), "picks go on with the list before");
        assert_ne!(balancer.candidates().len(), 2);
        lists.send(list(2 + round)).unwrap();
        has(balancer, 2 + round).await;
        assert!(balancer.pick(&Request::default()).is_ok());
    }
}

#[tokio::test]
async fn an_algorithm_that_panics_does_not_end_the_following() {
    let (lists, receiver) = watch::channel(list(3));
    let panicked = Arc::new(AtomicUsize::new(0));
    let algorithm = Panics { algorithm: RoundRobin::default(), panicked: panicked.clone() };
    let balancer = Balancer::follow(receiver, algorithm);
    goes_on_after_a_panic(&balancer, &lists, &panicked).await;
}

#[tokio::test]
async fn a_filter_that_panics_does_not_end_the_following() {
    let (lists, receiver) = watch::channel(list(3));
    let panicked = Arc::new(AtomicUsize::new(0));
    let counted = panicked.clone();
    let filter = Filter::new("no poison", move |it| {
        if it.data.weight == POISON {
            counted.fetch_add(1, SeqCst);
            panic!("a filter of one's own panics, as this test wants it to");
        }
        true
    });
    let balancer = Balancer::builder(RoundRobin::default()).filter(filter).follow(receiver);
    goes_on_after_a_panic(&balancer, &lists, &panicked).await;
}

#[tokio::test]
async fn what_is_held_is_counted_after_a_panic_too() {
    let (lists, receiver) = watch::channel(list(3));
    let panicked = Arc::new(AtomicUsize::new(0));
    let algorithm = Panics { algorithm: RoundRobin::default(), panicked: panicked.clone() };
    let balancer = Balancer::follow(receiver, algorithm);
    let held: Vec<_> = (0..3).map(|_| balancer.pick(&Request::default()).unwrap()).collect();
    goes_on_after_a_panic(&balancer, &lists, &panicked).await;
    let in_flight: u32 = balancer.candidates().iter().map(|it| it.in_flight()).sum();
    assert_eq!(in_flight, 3);
    drop(held);
    assert!(balancer.candidates().iter().all(|it| it.in_flight() == 0));
}

#[tokio::test]
async fn a_list_by_hand_holds_until_the_next_one_of_the_channel() {
    let (lists, receiver) = watch::channel(list(3));
    let balancer = Balancer::follow(receiver, RoundRobin::default());
    balancer.replace(listed(&[1; 7]));
    assert_eq!(balancer.candidates().len(), 7);
    lists.send(list(2)).unwrap();
    has(&balancer, 2).await;
}

#[tokio::test]
async fn the_following_ends_with_the_last_clone_and_handle() {
    let (lists, receiver) = watch::channel(list(3));
    let (master, masters) = watch::channel(None);
    let balancer = Balancer::builder(Random).pool(Pool::Normal(masters)).follow(receiver);
    let (clone, handle) = (balancer.clone(), balancer.handle());
    drop(balancer);
    drop(clone);
    tokio::task::yield_now().await;
    assert!(!lists.is_closed());
    let mut handle = handle;
    lists.send(list(1)).unwrap();
    let sees = async {
        while handle.choose(&Request::default()).map(|it| number_of(it.id())) != Ok(0)
            || !only_one(&mut handle)
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(30), sees).await.expect("a handle follows too");
    drop(handle);
    timeout(Duration::from_secs(30), lists.closed()).await.expect("nobody follows any more");
    timeout(Duration::from_secs(30), master.closed()).await.expect("nor the master");
}

/// Whether of 100 picks all are of the first one: by chance as likely as 3^-100.
fn only_one(handle: &mut loadbalance::Handle) -> bool {
    (0..100).all(|_| handle.choose(&Request::default()).map(|it| number_of(it.id())) == Ok(0))
}

#[tokio::test]
async fn a_held_pick_does_not_keep_the_following_alive() {
    let (lists, receiver) = watch::channel(list(1));
    let balancer = Balancer::follow(receiver, Random);
    let held = balancer.pick(&Request::default()).unwrap();
    drop(balancer);
    timeout(Duration::from_secs(30), lists.closed()).await.expect("nobody follows any more");
    assert_eq!(held.candidate().in_flight(), 1);
}

/// With each list comes the next one, with one more.
struct Grows(watch::Sender<Option<Instances>>);

impl Algorithm for Grows {
    fn name(&self) -> &str {
        "grows"
    }

    fn picker(&self, candidates: Candidates) -> Arc<dyn Picker> {
        if candidates.len() < 30 {
            self.0.send(list(candidates.len() + 1)).unwrap();
        }
        RoundRobin::default().picker(candidates)
    }
}

#[tokio::test]
async fn lists_without_a_pause_leave_others_their_turn() {
    let (lists, receiver) = watch::channel(None);
    let balancer = Balancer::follow(receiver, Grows(lists.clone()));
    lists.send(list(1)).unwrap();
    let mut seen = 0;
    let turns = async {
        while seen < 30 {
            tokio::task::yield_now().await;
            let now = balancer.candidates().len();
            assert!(now <= seen + 2, "{now} after {seen}");
            seen = now;
        }
    };
    timeout(Duration::from_secs(30), turns).await.expect("all lists are taken");
}
