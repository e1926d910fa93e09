//! Why nobody is picked, and how to wait for somebody.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use common::{instance, listed};
use loadbalance::{
    Algorithm, Balancer, Candidates, Filter, Hash, Instances, KeyKind, PickError, Picker, Pool, Random,
    Request, RoundRobin,
};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

const LONG: Duration = Duration::from_secs(3_600);

fn list(weights: &[u32]) -> Option<Instances> {
    Some(listed(weights).into_iter().map(Arc::new).collect())
}

fn error(balancer: &Balancer) -> PickError {
    balancer.pick(&Request::default()).unwrap_err()
}

#[tokio::test]
async fn each_reason_has_an_error_of_its_own() {
    let (lists, receiver) = watch::channel(None);
    let filter = || Filter::new("even", |it| it.id.as_str().ends_with(['0', '2', '4']));
    let balancer = Balancer::builder(RoundRobin::default()).filter(filter()).follow(receiver);
    assert_eq!(error(&balancer), PickError::NotReady);

    balancer.replace([]);
    assert_eq!(error(&balancer), PickError::Empty);
    balancer.replace(listed(&[0, 1, 0, 1, 0, 0]));
    let filtered = PickError::Filtered { listed: 6, filtered: 3, drained: 3, filter: "even".to_owned() };
    assert_eq!(error(&balancer), filtered);
    assert!(filtered.to_string().contains("\"even\""), "{filtered}");
    balancer.replace([instance("0", 0), instance("2", 0)]);
    assert_eq!(error(&balancer), PickError::Drained { listed: 2 });
    balancer.replace(listed(&[1, 1, 1]));
    let tried = listed(&[1, 1, 1]).into_iter().map(|it| it.id).collect();
    let all = balancer.pick(&Request::default().tried(&tried)).unwrap_err();
    assert_eq!(all, PickError::Tried { candidates: 2 });
    drop(lists);
}

#[tokio::test]
async fn a_channel_that_closes_without_a_list_is_an_error_of_its_own() {
    let (lists, receiver) = watch::channel(None);
    let balancer = Balancer::follow(receiver, Random);
    assert_eq!(error(&balancer), PickError::NotReady);
    drop(lists);
    assert_eq!(timeout(LONG, balancer.ready()).await.unwrap(), Err(PickError::Closed));
    assert_eq!(error(&balancer), PickError::Closed);
    assert_eq!(balancer.handle().pick(&Request::default()).unwrap_err(), PickError::Closed);
    // A list by hand is a list all the same.
    balancer.replace(listed(&[1]));
    assert_eq!(balancer.ready().await, Ok(()));
    assert!(balancer.pick(&Request::default()).is_ok());
}

#[tokio::test]
async fn ready_waits_for_the_first_list_and_ends_with_it() {
    let (lists, receiver) = watch::channel(None);
    let balancer = Balancer::follow(receiver, Random);
    let waiting = balancer.clone();
    let ready = tokio::spawn(async move { waiting.ready().await });
    tokio::task::yield_now().await;
    assert!(!ready.is_finished());
    lists.send(list(&[])).unwrap();
    // An empty list is a list.
    assert_eq!(timeout(LONG, ready).await.unwrap().unwrap(), Ok(()));
    assert_eq!(error(&balancer), PickError::Empty);
    assert_eq!(balancer.ready().await, Ok(()));
}

#[tokio::test]
async fn a_list_that_is_there_already_is_used_at_once() {
    let (_lists, receiver) = watch::channel(list(&[1]));
    let balancer = Balancer::follow(receiver, Random);
    assert!(balancer.pick(&Request::default()).is_ok());
    assert_eq!(balancer.ready().await, Ok(()));
    assert_eq!(Balancer::fixed([], Random).ready().await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_pick_within_a_time_waits_for_somebody_to_be_there() {
    let (lists, receiver) = watch::channel(None);
    let filter = Filter::metadata("zone", "a");
    let balancer = Balancer::builder(Random).filter(filter).follow(receiver);
    let waiting = balancer.clone();
    let picked = tokio::spawn(async move { waiting.pick_within(LONG, &Request::default()).await });
    // None of these has anybody, so none of them ends it.
    for weights in [vec![], vec![0, 0], vec![1, 1]] {
        let next = list(&weights);
        let many = weights.len();
        lists.send(next).unwrap();
        wait_for(&balancer, |error| match error {
            PickError::Empty => many == 0,
            PickError::Filtered { listed, .. } => *listed == many,
            _ => false,
        })
        .await;
        assert!(!picked.is_finished());
    }
    let mut right = instance("right", 1);
    right.data = right.data.with_metadata("zone", "a");
    lists.send(Some([Arc::new(right)].into())).unwrap();
    assert_eq!(picked.await.unwrap().unwrap().id.as_str(), "right");
}

/// Waits until a pick fails in this way.
async fn wait_for(balancer: &Balancer, is_it: impl Fn(&PickError) -> bool) {
    let failed = async {
        while !is_it(&error(balancer)) {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, failed).await.expect("the list is taken");
}

#[tokio::test(start_paused = true)]
async fn after_the_limit_a_pick_says_why_there_is_nobody() {
    let (lists, receiver) = watch::channel(None);
    let balancer = Balancer::follow(receiver, Random);
    let limit = Duration::from_secs(5);
    let within = async |limit| balancer.pick_within(limit, &Request::default()).await.unwrap_err();

    let start = Instant::now();
    assert_eq!(within(limit).await, PickError::NotReady);
    assert!((limit..limit * 2).contains(&start.elapsed()), "{:?}", start.elapsed());
    balancer.replace([]);
    assert_eq!(within(limit).await, PickError::Empty);
    balancer.replace(listed(&[0]));
    assert_eq!(within(limit).await, PickError::Drained { listed: 1 });
    assert!(start.elapsed() >= limit * 3);

    // No time at all is enough where somebody is there.
    assert_eq!(within(Duration::ZERO).await, PickError::Drained { listed: 1 });
    balancer.replace(listed(&[1]));
    assert!(balancer.pick_within(Duration::ZERO, &Request::default()).await.is_ok());
    assert!(balancer.pick_within(Duration::MAX, &Request::default()).await.is_ok());
    drop(lists);
}

#[tokio::test(start_paused = true)]
async fn what_another_list_cannot_change_is_said_at_once() {
    let balancer = Balancer::fixed(listed(&[1, 1]), Hash::by_url());
    let tried: HashSet<_> = listed(&[1, 1]).into_iter().map(|it| it.id).collect();
    let declining = Balancer::fixed(listed(&[1]), Insists(None));
    let start = Instant::now();
    for (balancer, request, expected) in [
        (
            &balancer,
            Request::keyed("a"),
            PickError::KeyMissing {
                algorithm: "url-hash".to_owned(),
                needs: KeyKind::Url,
                has: Some(KeyKind::Bytes),
            },
        ),
        (&balancer, Request::url("/").tried(&tried), PickError::Tried { candidates: 2 }),
        (
            &declining,
            Request::default(),
            PickError::Declined { algorithm: "insists".to_owned(), candidates: 1 },
        ),
    ] {
        assert_eq!(balancer.pick_within(LONG, &request).await.unwrap_err(), expected);
        assert!(!expected.may_pass());
    }
    let (lists, receiver) = watch::channel(None);
    let closed = Balancer::follow(receiver, Random);
    drop(lists);
    assert_eq!(closed.pick_within(LONG, &Request::default()).await.unwrap_err(), PickError::Closed);
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_pick_that_waits_ends_when_the_channel_closes() {
    let (lists, receiver) = watch::channel(None);
    let balancer = Balancer::follow(receiver, Random);
    let waiting = tokio::spawn(async move { balancer.pick_within(LONG, &Request::default()).await });
    tokio::task::yield_now().await;
    drop(lists);
    assert_eq!(waiting.await.unwrap().unwrap_err(), PickError::Closed);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_once_nobody_is_there_and_no_list_will_come() {
    for (weights, expected) in [(vec![], PickError::Empty), (vec![0, 0], PickError::Drained { listed: 2 })] {
        let (lists, receiver) = watch::channel(list(&weights));
        let balancer = Balancer::follow(receiver, Random);
        let somebody = |candidates: &Candidates| !candidates.is_empty();
        let (picking, waiting) = (balancer.clone(), balancer.clone());
        let picking =
            tokio::spawn(async move { picking.pick_within(Duration::MAX, &Request::default()).await });
        let waiting = tokio::spawn(async move { waiting.wait_for(somebody).await });
        tokio::task::yield_now().await;
        assert!(!picking.is_finished() && !waiting.is_finished(), "there may be a list");
        drop(lists);
        // Whoever waits already, and whoever comes then.
        assert_eq!(timeout(LONG, picking).await.unwrap().unwrap().unwrap_err(), expected);
        assert_eq!(timeout(LONG, waiting).await.unwrap().unwrap().unwrap_err(), expected);
        let anybody = Request::default();
        let picked = timeout(LONG, balancer.pick_within(Duration::MAX, &anybody)).await;
        assert_eq!(picked.unwrap().unwrap_err(), expected);
        assert_eq!(balancer.wait_for(somebody).await.unwrap_err(), expected);
        assert_eq!(balancer.wait_for(|candidates| candidates.is_empty()).await.unwrap().len(), 0);

        // Where lists are given by hand there may be another one.
        balancer.replace([]);
        let waits = timeout(LONG, balancer.pick_within(Duration::MAX, &anybody));
        assert!(waits.await.is_err());
        balancer.replace(listed(&[1]));
        assert_eq!(balancer.wait_for(somebody).await.unwrap().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn lists_by_hand_are_waited_for_also_when_masters_end_after_the_lists() {
    let (lists, receiver) = watch::channel(list(&[]));
    let (masters, master) = watch::channel(None);
    let balancer = Balancer::builder(Random).pool(Pool::Normal(master)).follow(receiver);
    drop(lists);
    assert_eq!(
        timeout(LONG, balancer.wait_for(|all| !all.is_empty())).await.unwrap().unwrap_err(),
        PickError::Empty
    );
    balancer.replace([]);
    drop(masters);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let waiting = balancer.clone();
    let waiting = tokio::spawn(async move { waiting.wait_for(|all| !all.is_empty()).await.map(|_| ()) });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    balancer.replace(listed(&[1]));
    assert_eq!(timeout(LONG, waiting).await.unwrap().unwrap(), Ok(()));
}

#[tokio::test]
async fn a_balancer_by_hand_is_not_ready_before_the_first_list() {
    let balancer = Balancer::builder(Random).by_hand();
    assert_eq!(error(&balancer), PickError::NotReady);
    let waiting = balancer.clone();
    let ready = tokio::spawn(async move { waiting.ready().await });
    tokio::task::yield_now().await;
    assert!(!ready.is_finished());
    balancer.replace([]);
    assert_eq!(timeout(LONG, ready).await.unwrap().unwrap(), Ok(()));
}

/// Always takes this place, wherever it is.
struct Insists(Option<usize>);

impl Algorithm for Insists {
    fn name(&self) -> &str {
        "insists"
    }

    fn picker(&self, _: Candidates) -> Arc<dyn Picker> {
        Arc::new(Insists(self.0))
    }
}

impl Picker for Insists {
    fn pick(&self, _: &Request<'_>) -> Option<usize> {
        self.0
    }
}

#[test]
fn an_algorithm_that_names_nobody_or_nobody_of_the_list_declines() {
    for place in [None, Some(3), Some(4), Some(usize::MAX)] {
        let balancer = Balancer::fixed(listed(&[1, 1, 1, 0]), Insists(place));
        let declined = PickError::Declined { algorithm: "insists".to_owned(), candidates: 3 };
        assert_eq!(error(&balancer), declined);
        assert_eq!(balancer.handle().choose(&Request::default()).unwrap_err(), declined);
        assert_eq!(balancer.explain(&Request::default()).error, Some(declined.clone()));
        let tried = HashSet::from([listed(&[1])[0].id.clone()]);
        assert_eq!(balancer.pick(&Request::default().tried(&tried)).unwrap_err(), declined);
        balancer.replace([]);
        assert_eq!(error(&balancer), PickError::Empty);
    }
}

#[test]
fn an_algorithm_that_insists_on_one_does_not_keep_others_from_being_tried() {
    for place in 0..4 {
        let balancer = Balancer::fixed(listed(&[1; 4]), Insists(Some(place)));
        let mut tried = HashSet::new();
        for _ in 0..4 {
            let picked = balancer.pick(&Request::default().tried(&tried)).unwrap();
            assert!(tried.insert(picked.id.clone()), "{} again", picked.id);
        }
        let all = balancer.pick(&Request::default().tried(&tried)).unwrap_err();
        assert_eq!(all, PickError::Tried { candidates: 4 });
    }
}

#[test]
fn who_was_tried_and_is_not_in_the_list_changes_nothing() {
    let balancer = Balancer::fixed(listed(&[1, 1]), RoundRobin::default());
    let tried = HashSet::from([instance("gone", 1).id]);
    for _ in 0..10 {
        assert!(balancer.pick(&Request::default().tried(&tried)).is_ok());
    }
    let tried = HashSet::new();
    assert!(balancer.pick(&Request::default().tried(&tried)).is_ok());
}
