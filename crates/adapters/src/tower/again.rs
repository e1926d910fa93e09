//! Tries again where nothing was sent.

use std::future::{Ready, ready};

use http::Request;
use tower::retry::Policy;

use super::{Error, Tried};

/// Tries a request of HTTP again, at somebody else, when nothing of it was sent: the instance could not be connected to, or there was
/// nothing to ask it with. For `tower::retry` around [`Balance`](super::Balance).
///
/// So a crashed instance, which is in the list until its session is over, costs a connection and no request. It is safe for requests of any
/// kind, for none is done twice. What was sent and not answered is not tried again: only the caller knows whether it may be done twice.
/// Whom a request was tried at is added to the [`Tried`] among its extensions; nobody is asked twice.
///
/// Put a time-out around all of it, and one between: a connection that nobody answers is given up after 5 s by
/// `hyper::client`. Which errors tell that nothing was sent is for [`Balance::blame`](super::Balance::blame) to say, which `hyper::client` does.
///
/// # Examples
///
/// ```
/// use adapters::tower::{Again, Balance, Blame};
/// use http::{Request, Response};
/// use loadbalance::{Balancer, Instance, NodeData, RoundRobin};
/// use tower::{ServiceExt, retry::Retry, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let at = |address: &str| Instance::new(NodeData::at(address.parse().unwrap())).unwrap();
/// let balancer = Balancer::fixed([at("a:80"), at("b:80")], RoundRobin::default());
/// let balance = Balance::http(balancer, |instance| {
///     let is_up = instance.id.as_str() == "b:80";
///     Ok(service_fn(move |_: Request<()>| {
///         let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
///         std::future::ready(if is_up { Ok(Response::new(String::new())) } else { Err(refused) })
///     }))
/// })
/// .blame(|_| Blame::Unreached);
/// let answer = Retry::new(Again::new(2), balance).oneshot(Request::new(())).await?;
/// assert!(answer.status().is_success());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Again(u32);

impl Again {
    /// Tries so often after the first time.
    pub fn new(times: u32) -> Self {
        Self(times)
    }
}

impl<B: Clone, R> Policy<Request<B>, R, Error> for Again {
    type Future = Ready<()>;

    fn retry(&mut self, request: &mut Request<B>, result: &mut Result<R, Error>) -> Option<Ready<()>> {
        let error = result.as_ref().err().filter(|error| error.is_unsent())?;
        // With nobody to ask there is nobody to ask instead.
        let id = error.instance()?.clone();
        self.0 = self.0.checked_sub(1)?;
        request.extensions_mut().get_or_insert_with(Tried::default).add(id);
        Some(ready(()))
    }

    fn clone_request(&mut self, request: &Request<B>) -> Option<Request<B>> {
        Some(request.clone())
    }
}
