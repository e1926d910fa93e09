//! What instances are asked with, and until when it is kept.

use std::convert::Infallible;
use std::future::ready;
use std::sync::{Arc, Mutex};

use adapters::tower::Balance;
use loadbalance::{Balancer, Instance, RoundRobin};
use tokio::sync::watch;
use tower::util::BoxCloneService;
use tower::{ServiceExt, service_fn};

use crate::common::{instance, list, until, within};
use crate::named;

/// Who was made something to be asked with, where, and how many of these are still there.
#[derive(Clone, Default)]
struct Made(Arc<Mutex<Vec<MadeOne>>>);

/// Where, and whether it is still there.
type MadeOne = (String, std::sync::Weak<()>);

impl Made {
    fn make(&self, instance: &Instance) -> BoxCloneService<(), Arc<()>, Infallible> {
        let alive = Arc::new(());
        let address = instance.data.address.as_ref().unwrap().to_string();
        self.0.lock().unwrap().push((address, Arc::downgrade(&alive)));
        BoxCloneService::new(service_fn(move |()| ready(Ok(alive.clone()))))
    }

    /// Where they were made, and whether they are still there.
    fn all(&self) -> Vec<(String, bool)> {
        let made = self.0.lock().unwrap();
        made.iter().map(|(address, alive)| (address.clone(), alive.strong_count() > 0)).collect()
    }
}

#[tokio::test]
async fn an_instance_is_let_go_of_when_it_leaves_or_moves() {
    let (lists, receiver) = watch::channel(list([instance("a", "a:1")]));
    let balancer = Balancer::follow(receiver, RoundRobin::default());
    let made = Made::default();
    let making = made.clone();
    let balance = Balance::new(balancer.clone(), move |instance| Ok(making.make(instance)));
    let is = |expected: &[(&str, bool)]| {
        made.all()
            == expected.iter().map(|(address, alive)| ((*address).to_owned(), *alive)).collect::<Vec<_>>()
    };
    drop(balance.clone().oneshot(()).await.unwrap());
    drop(balance.clone().oneshot(()).await.unwrap());
    assert!(is(&[("a:1", true)]), "{:?}", made.all());

    // Another weight, or a new registration, is no other place.
    let mut heavier = instance("a", "a:1");
    (heavier.data.weight, heavier.data.registered_at) = (7, 9);
    lists.send_replace(list([heavier]));
    within("the weight", balancer.wait_for(|all| all[0].weight() == 7)).await.unwrap();
    let running = balance.clone().oneshot(()).await.unwrap();
    assert!(is(&[("a:1", true)]), "{:?}", made.all());

    // The same id elsewhere is, and what runs goes on.
    lists.send_replace(list([instance("a", "b:1")]));
    until("the old place is forgotten", || balance.endpoints() == 0).await;
    drop(balance.clone().oneshot(()).await.unwrap());
    assert!(is(&[("a:1", true), ("b:1", true)]), "{:?}", made.all());
    drop(running);
    assert!(is(&[("a:1", false), ("b:1", true)]), "{:?}", made.all());

    // Nobody gets requests of one that is drained.
    let mut drained = instance("a", "b:1");
    drained.data.weight = 0;
    lists.send_replace(list([drained]));
    until("who is drained is forgotten", || is(&[("a:1", false), ("b:1", false)])).await;
    assert_eq!(balance.endpoints(), 0);
}

#[tokio::test]
async fn one_that_left_while_it_was_picked_is_not_kept() {
    let balancer = Balancer::fixed([instance("a", "a:1")], RoundRobin::default());
    let leaving = balancer.clone();
    let balance = Balance::new(balancer, move |instance| {
        leaving.replace([]);
        named(instance)
    });
    assert_eq!(balance.clone().oneshot(String::new()).await.unwrap(), "a");
    // Not even until the next look at the list.
    assert_eq!(balance.endpoints(), 0);
}

#[tokio::test]
async fn lists_by_hand_are_kept_up_with_after_those_of_a_channel_have_ended() {
    for first in [None, list([])] {
        let (lists, receiver) = watch::channel(first);
        let balancer = Balancer::follow(receiver, RoundRobin::default());
        let balance = Balance::new(balancer.clone(), named);
        drop(lists);
        let nobody = within("the end", balancer.wait_for(|all| !all.is_empty())).await;
        assert!(nobody.is_err(), "no list comes any more");
        // Whoever looks after the endpoints hears of it, too.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        for name in ["a", "b"] {
            balancer.replace([instance(name, "a:1")]);
            assert_eq!(balance.clone().oneshot(String::new()).await.unwrap(), name);
            until("the other one is forgotten", || balance.endpoints() == 1).await;
        }
        balancer.replace([]);
        until("so is this one", || balance.endpoints() == 0).await;
    }
}

#[tokio::test]
async fn the_service_ends_with_its_last_clone() {
    let balancer = Balancer::fixed([instance("a", "a:1")], RoundRobin::default());
    let made = Made::default();
    let making = made.clone();
    let balance = Balance::new(balancer, move |instance| Ok(making.make(instance)));
    drop(balance.clone().oneshot(()).await.unwrap());
    let clone = balance.clone();
    drop(balance);
    assert_eq!((clone.endpoints(), made.all()[0].1), (1, true));
    drop(clone);
    until("what it asked with is gone", || !made.all()[0].1).await;
}
