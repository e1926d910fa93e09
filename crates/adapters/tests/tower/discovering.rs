//! Changes, for tower's own balancer.

use std::convert::Infallible;
use std::future::{Ready, poll_fn, ready};
use std::task::{Context, Poll};

use adapters::tower::Discovered;
use futures::{FutureExt, StreamExt};
use tokio::sync::watch;
use tower::balance::p2c;
use tower::discover::Change;
use tower::load::Constant;
use tower::{Service, ServiceExt};

use crate::common::{instance, list, within};
use crate::named;

#[tokio::test]
async fn changes_are_discovered_from_one_list_to_the_next() {
    let (lists, receiver) = watch::channel(None);
    let mut discovered = Discovered::new(receiver, |instance| match instance.id.as_str() {
        "bad" => Err("bad".into()),
        "a" if instance.data.address.as_ref().unwrap().port() == 9 => Err("bad".into()),
        _ => Ok(instance.data.address.as_ref().unwrap().to_string()),
    });
    let mut told = |all: Option<_>| {
        if let Some(all) = all {
            lists.send_replace(list(all));
        }
        let mut changes = Vec::new();
        while let Some(Some(Ok(change))) = discovered.next().now_or_never() {
            changes.push(match change {
                Change::Insert(id, at) => format!("+{id} {at}"),
                Change::Remove(id) => format!("-{id}"),
            });
        }
        changes.join(", ")
    };
    let weighing = |weight| {
        let mut instance = instance("a", "a:1");
        instance.data.weight = weight;
        instance
    };
    assert_eq!(told(None), "");
    assert_eq!(
        told(Some(vec![instance("a", "a:1"), instance("b", "b:1"), instance("bad", "c:1")])),
        "+a a:1, +b b:1"
    );
    assert_eq!(told(Some(vec![weighing(5), instance("b", "b:2")])), "-b, +b b:2");
    assert_eq!(told(Some(vec![weighing(0), instance("c", "c:1")])), "+c c:1, -a, -b");
    assert_eq!(told(Some(vec![weighing(1), instance("bad", "c:1")])), "+a a:1, -c");
    assert_eq!(told(Some(vec![instance("a", "a:9")])), "-a");
    assert_eq!(told(Some(vec![instance("a", "a:1")])), "+a a:1");
    drop(lists);
    assert!(within("the end", discovered.next()).await.is_none());
    assert!(within("the end, once more", discovered.next()).await.is_none());
}

#[tokio::test]
async fn towers_own_balancer_does_not_ask_where_an_instance_is_no_longer() {
    let (lists, receiver) = watch::channel(list([instance("a", "a:1")]));
    let discovered = Discovered::new(receiver, |instance| {
        // Who is at port 2 cannot be reached.
        Ok(Constant::new(Reached(instance.data.address.as_ref().unwrap().port() == 1), 1))
    });
    let mut balance = p2c::Balance::new(discovered);
    within("an answer", balance.ready().await.unwrap().call(())).await.unwrap();
    balance.ready().await.unwrap();
    lists.send_replace(list([instance("a", "a:2")]));
    let is_ready = poll_fn(|cx| Poll::Ready(balance.poll_ready(cx).is_ready()));
    assert!(!is_ready.await, "nobody is there");
}

/// Is ready if this is true, or never.
struct Reached(bool);

impl Service<()> for Reached {
    type Response = ();
    type Error = Infallible;
    type Future = Ready<Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.0 { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok(()))
    }
}

#[tokio::test]
async fn towers_own_balancer_follows_the_service() {
    let (lists, receiver) = watch::channel(list([instance("a", "a:1")]));
    let discovered = Discovered::new(receiver, |instance| Ok(Constant::new(named(instance)?, 1)));
    let mut balance = p2c::Balance::new(discovered);
    assert_eq!(balance.ready().await.unwrap().call(String::new()).await.unwrap(), "a");
    lists.send_replace(list([instance("b", "b:1")]));
    // The change is seen when it is asked whether it is ready.
    assert_eq!(balance.ready().await.unwrap().call(String::new()).await.unwrap(), "b");
    lists.send_replace(list([]));
    let is_ready = poll_fn(|cx| Poll::Ready(balance.poll_ready(cx).is_ready()));
    assert!(!is_ready.await);
}
