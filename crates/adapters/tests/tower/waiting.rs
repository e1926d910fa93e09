//! What a request waits for, and what it does not wait for.

use std::convert::Infallible;
use std::future::{Pending, Ready, pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;

use adapters::tower::{Balance, Error};
use futures::FutureExt;
use loadbalance::{Balancer, PickError, RoundRobin};
use tokio::sync::watch;
use tokio::time::Instant;
use tower::{Service, ServiceExt};

use crate::common::{instance, list, standing, until, within};
use crate::{ask, named};

/// Is never ready, and counts its clones.
struct NeverReady(Arc<AtomicUsize>);

impl Clone for NeverReady {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, SeqCst);
        Self(self.0.clone())
    }
}

impl Drop for NeverReady {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Service<()> for NeverReady {
    type Response = ();
    type Error = Infallible;
    type Future = Pending<Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Pending
    }

    fn call(&mut self, (): ()) -> Self::Future {
        pending()
    }
}

#[derive(Clone)]
enum Either {
    Never(NeverReady),
    Always,
}

impl Service<()> for Either {
    type Response = ();
    type Error = Infallible;
    type Future = Ready<Result<(), Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        match self {
            Self::Never(never) => never.poll_ready(cx),
            Self::Always => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok(()))
    }
}

#[tokio::test]
async fn no_request_waits_for_an_instance_that_is_not_its_own() {
    let clones = Arc::new(AtomicUsize::new(0));
    let made = clones.clone();
    let instances = [instance("never", "a:1"), instance("always", "b:1")];
    let balancer = Balancer::fixed(instances, RoundRobin::default());
    let mut balance = Balance::new(balancer.clone(), move |instance| {
        if instance.id.as_str() == "always" {
            return Ok(Either::Always);
        }
        made.fetch_add(1, SeqCst);
        Ok(Either::Never(NeverReady(made.clone())))
    });
    let mut stuck = Box::pin(balance.ready().await.unwrap().call(()));
    assert!(stuck.as_mut().now_or_never().is_none());
    assert_eq!((standing(&balancer, "never"), clones.load(SeqCst)), ((1, 0), 2));

    // The place that the stuck one waits for is its own: others go on, through the same value and through clones.
    within("the other", balance.ready().await.unwrap().call(())).await.unwrap();
    let mut second = Box::pin(balance.clone().oneshot(()));
    assert!(second.as_mut().now_or_never().is_none());
    within("the other", balance.clone().oneshot(())).await.unwrap();

    // Who gives up gives its place back.
    drop((stuck, second));
    assert_eq!((standing(&balancer, "never"), clones.load(SeqCst)), ((0, 2), 1));
}

#[tokio::test(start_paused = true)]
async fn with_nobody_to_ask_a_request_fails_at_once_or_waits() {
    let (lists, receiver) = watch::channel(None);
    let balancer = Balancer::follow(receiver, RoundRobin::default());
    let mut balance = Balance::new(balancer, named);
    let start = Instant::now();
    let error = ask(&mut balance, "").await.unwrap_err();
    assert!(matches!(error, Error::Nobody(PickError::NotReady)), "{error:?}");
    assert_eq!((error.to_string().as_str(), start.elapsed()), ("no instance can be asked", Duration::ZERO));

    let mut patient = balance.clone().wait(Duration::from_secs(5));
    let error = ask(&mut patient, "").await.unwrap_err();
    assert!(matches!(error, Error::Nobody(PickError::NotReady)), "{error:?}");
    assert_eq!(start.elapsed(), Duration::from_secs(5));

    // An empty list is none that it waits for; the next one is.
    let (answer, ()) = tokio::join!(ask(&mut patient, ""), async {
        lists.send_replace(list([]));
        until("the empty list is here", || {
            balance.balancer().pick(&Default::default()).unwrap_err() == PickError::Empty
        })
        .await;
        lists.send_replace(list([instance("a", "a:1")]));
    });
    assert_eq!(answer.unwrap(), "a");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_waited_for_once_no_list_will_come() {
    let (lists, receiver) = watch::channel(list([]));
    let balancer = Balancer::follow(receiver, RoundRobin::default());
    let mut patient = Balance::new(balancer, named).wait(Duration::MAX);
    let (error, ()) = tokio::join!(ask(&mut patient, ""), async {
        tokio::task::yield_now().await;
        drop(lists);
    });
    assert!(matches!(error, Err(Error::Nobody(PickError::Empty))), "{error:?}");
}
