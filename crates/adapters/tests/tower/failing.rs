//! Who fails is told to the balancer.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use adapters::tower::{Balance, Error};
use loadbalance::{Balancer, LeastConnections, RoundRobin};
use tower::timeout::Timeout;
use tower::{ServiceExt, service_fn};

use crate::common::{instance, standing};
use crate::{Names, ask, named};

#[tokio::test]
async fn who_fails_is_told_to_the_balancer_and_stays() {
    let instances = [instance("a", "a:1"), instance("down", "b:1")];
    let balancer = Balancer::fixed(instances, RoundRobin::default());
    let mut balance = Balance::new(balancer.clone(), named);
    assert_eq!(ask(&mut balance, "").await.unwrap(), "a");
    let error = ask(&mut balance, "").await.unwrap_err();
    assert!(matches!(&error, Error::Failed { id, .. } if id.as_str() == "down"), "{error:?}");
    assert_eq!(error.to_string(), "instance down did not answer");
    assert_eq!((standing(&balancer, "a"), standing(&balancer, "down")), ((0, 0), (0, 1)));
    assert_eq!((balance.endpoints(), balancer.candidates().len()), (2, 2));

    // An algorithm that minds passes over it.
    let mut balance = Balance::new(
        Balancer::fixed([instance("a", "a:1"), instance("down", "b:1")], LeastConnections),
        named,
    );
    let mut failed = 0;
    for _ in 0..50 {
        failed += usize::from(ask(&mut balance, "").await.is_err());
    }
    assert!((1..=8).contains(&failed), "{failed} of 50 failed");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_in_time_failed() {
    let balancer = Balancer::fixed([instance("a", "a:1")], RoundRobin::default());
    let balance =
        Balance::new(balancer.clone(), |_| Ok(service_fn(|()| pending::<Result<(), Infallible>>())));
    let asked = Timeout::new(balance, Duration::from_secs(1)).oneshot(());
    let counted = async {
        tokio::task::yield_now().await;
        standing(&balancer, "a")
    };
    let (answer, counted) = tokio::join!(asked, counted);
    assert!(answer.is_err());
    assert_eq!((counted, standing(&balancer, "a")), ((1, 0), (0, 1)));
}

#[tokio::test]
async fn one_that_cannot_be_asked_is_an_error_and_failed() {
    let balancer = Balancer::fixed([instance("a", "a:1")], RoundRobin::default());
    let mut balance: Balance<Names, String> = Balance::new(balancer.clone(), |_| Err("no address".into()));
    let error = ask(&mut balance, "").await.unwrap_err();
    assert_eq!(error.to_string(), "instance a cannot be asked");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "no address");
    assert_eq!(standing(&balancer, "a"), (0, 1));
}
