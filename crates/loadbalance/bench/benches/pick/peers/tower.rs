//! tower's balancer by the power of two choices, which counts the requests in flight. It wants to be borrowed exclusively, so
//! threads share it behind a mutex.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::task::noop_waker_ref;
use tower::Service;
use tower::balance::p2c::Balance;
use tower::discover::ServiceList;
use tower::load::{CompleteOnResponse, PendingRequests};

use crate::list::List;
use crate::measure::{Lap, lap};

type Balancer = Balance<ServiceList<Vec<PendingRequests<Answers>>>, ()>;

/// A service that answers at once with its place.
pub(crate) struct Answers(usize);

impl Service<()> for Answers {
    type Response = usize;
    type Error = Infallible;
    type Future = Ready<Result<usize, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok(self.0))
    }
}

pub(crate) fn balancer(list: &List) -> Mutex<Balancer> {
    let service = |place| PendingRequests::new(Answers(place), CompleteOnResponse::default());
    let services = (0..list.instances.len()).map(service).collect::<Vec<_>>();
    let mut balancer = Balance::new(ServiceList::new(services));
    // It takes them in a few at a time.
    while balancer.len() < list.instances.len() {
        let _ = balancer.poll_ready(&mut Context::from_waker(noop_waker_ref()));
    }
    Mutex::new(balancer)
}

pub(crate) fn balancer_lap(balancer: &Mutex<Balancer>) -> Lap<'_> {
    let pick = move |_: &mut (), _| {
        let mut balancer = balancer.lock().unwrap_or_else(PoisonError::into_inner);
        match balancer.poll_ready(&mut Context::from_waker(noop_waker_ref())) {
            Poll::Ready(Ok(())) => balancer.call(()).now_or_never().and_then(Result::ok),
            _ => None,
        }
    };
    lap(|| (), pick)
}
