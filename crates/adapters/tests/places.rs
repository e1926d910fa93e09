//! What an instance is asked with, and for how long that is kept.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::convert::Infallible;
use std::future::ready;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use adapters::tower::{Balance, Discovered};
use common::{LIMIT, instance, list, within};
use futures::{FutureExt, StreamExt};
use loadbalance::{Balancer, Hash, Instance, Key, RoundRobin};
use tokio::sync::watch;
use tower::discover::Change;
use tower::{BoxError, ServiceExt, service_fn};

fn loaded(load: &str) -> Instance {
    let instance = instance("a", "a:1");
    Instance { data: instance.data.with_metadata("load", load), ..instance }
}

#[tokio::test]
async fn other_metadata_are_no_other_place_unless_that_is_wanted() {
    for by_metadata in [false, true] {
        let (lists, receiver) = watch::channel(list([loaded("0.1")]));
        let balancer = Balancer::follow(receiver, RoundRobin::default());
        let made = Arc::new(AtomicUsize::new(0));
        let making = made.clone();
        let balance = Balance::new(balancer.clone(), move |_| {
            making.fetch_add(1, SeqCst);
            Ok(service_fn(|()| ready(Ok::<_, Infallible>(()))))
        });
        let balance = if by_metadata { balance.renew_by_metadata() } else { balance };
        balance.clone().oneshot(()).await.unwrap();
        for load in ["0.2", "0.3"] {
            lists.send_replace(list([loaded(load)]));
            let is = |all: &loadbalance::Candidates| all[0].instance().data == loaded(load).data;
            within("the new data", balancer.wait_for(is)).await.unwrap();
            balance.clone().oneshot(()).await.unwrap();
        }
        assert_eq!(made.load(SeqCst), if by_metadata { 3 } else { 1 });
    }
}

#[tokio::test]
async fn other_metadata_are_no_change_unless_that_is_wanted() {
    for by_metadata in [false, true] {
        let (lists, receiver) = watch::channel(list([loaded("0.1")]));
        let discovered = Discovered::new(receiver, |_| Ok::<_, BoxError>(()));
        let mut discovered = if by_metadata { discovered.renew_by_metadata() } else { discovered };
        assert!(matches!(discovered.next().await, Some(Ok(Change::Insert(..)))));
        lists.send_replace(list([loaded("0.2")]));
        assert_eq!(discovered.next().now_or_never().is_some(), by_metadata);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_waits_while_something_is_made_for_another_instance() {
    let balancer = Balancer::fixed([instance("a", "a:1"), instance("b", "b:1")], Hash::by_key());
    let owner = |key: &str| balancer.pick(&loadbalance::Request::keyed(key)).unwrap().id.clone();
    let keys: Vec<_> = (0..100).map(|key| key.to_string()).collect();
    let key_of = |name| keys.iter().find(|key| owner(key).as_str() == name).unwrap().clone();
    let (of_a, of_b) = (key_of("a"), key_of("b"));

    let (begun, begins) = mpsc::channel();
    let (answered, go_on) = mpsc::channel();
    let go_on = Mutex::new(go_on);
    let balance = Balance::new(balancer.clone(), move |instance| {
        if instance.id.as_str() == "a" {
            begun.send(())?;
            go_on.lock().unwrap().recv_timeout(LIMIT / 2)?;
        }
        Ok(service_fn(|_: String| ready(Ok::<_, Infallible>(()))))
    })
    .key(|key: &String| Some(Key::Bytes(key.as_bytes())));
    balance.clone().oneshot(of_b.clone()).await.unwrap();
    let slow = tokio::spawn(balance.clone().oneshot(of_a));
    tokio::task::block_in_place(|| begins.recv_timeout(LIMIT).unwrap());
    balance.clone().oneshot(of_b).await.unwrap();
    answered.send(()).unwrap();
    within("the slow one", slow).await.unwrap().unwrap();
    assert_eq!(balance.endpoints(), 2);
}

#[tokio::test]
async fn a_request_may_wait_without_a_limit() {
    let (lists, receiver) = watch::channel(None);
    let balance = Balance::new(Balancer::follow(receiver, RoundRobin::default()), |_| {
        Ok(service_fn(|()| ready(Ok::<_, Infallible>(()))))
    })
    .wait(Duration::MAX);
    let mut asked = Box::pin(balance.oneshot(()));
    assert!(asked.as_mut().now_or_never().is_none());
    lists.send_replace(list([instance("a", "a:1")]));
    within("an answer", asked).await.unwrap();
}
