//! A service of tower in which a balancer picks who answers each request.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use loadbalance::{Balancer, Instance, InstanceId, Key, PickError, Picked, Request};
use tokio::time::{Instant, timeout_at};
use tower::load::completion::{CompleteOnResponse, TrackCompletion};
use tower::{BoxError, Service, ServiceExt};

use super::asked::Asked;
use super::blame::{self, Blame, BlameOf};
use super::endpoints::Endpoints;
use super::{CompleteOnBody, Error, Tried};

type KeyOf<R> = dyn for<'r> Fn(&'r R) -> Option<Key<'r>> + Send + Sync;
type TriedOf<R> = dyn Fn(&R) -> Option<Tried> + Send + Sync;

/// Sends each request `R` to an instance that a [`Balancer`] picks for it, by a service `S` for that instance.
///
/// The service for an instance is made for its first request, is cloned for each, and is let go of once the instance may not be
/// picked any more or is elsewhere under the same id; requests that run keep their clone to their end. It is asked whether it is
/// ready when the instance was picked, so no request waits for one instance with the place of another: this service itself is
/// always ready. A service that is not ready yet, because it connects, holds that one request up; bound how long. Whoever wants to
/// push back has layers of tower for it: a concurrency limit, load shedding.
///
/// A request counts as in flight at its instance from when that was picked until `C` says that it is over: the answer is there
/// (`CompleteOnResponse`), or its body has come to its end ([`CompleteOnBody`]). It failed when `S` gives an error, and when it is
/// dropped before there is an answer: so an outer time-out counts as a failure of the instance, and so does a client who does not
/// wait. What failed is told to the balancer, and stays among those to pick from. An error that [`blame`](Self::blame) lays to whoever asked is
/// no failure.
///
/// An instance for which no service can be made is passed over, and counts as failed: somebody else is asked. Nothing is sent twice here:
/// [`Again`](super::Again) tries again where nothing was sent, and any other layer that tries again can have others asked by [`Tried`].
///
/// # Examples
///
/// ```
/// use adapters::tower::Balance;
/// use loadbalance::{Balancer, Instance, NodeData, RoundRobin};
/// use tower::{Service, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let at = |address: &str| Instance::new(NodeData::at(address.parse().unwrap())).unwrap();
/// let balancer = Balancer::fixed([at("a:80"), at("b:80")], RoundRobin::default()); // or Balancer::follow
///
/// let mut service = Balance::new(balancer, |instance| {
///     let id = instance.id.clone();
///     Ok(service_fn(move |request: &'static str| std::future::ready(Ok::<_, std::io::Error>(format!("{request} {id}")))))
/// });
/// assert_eq!(service.ready().await?.call("to").await?, "to a:80");
/// assert_eq!(service.ready().await?.call("to").await?, "to b:80");
/// # Ok(())
/// # }
/// ```
pub struct Balance<S, R, C = CompleteOnResponse> {
    endpoints: Arc<Endpoints<S>>,
    choice: Choice<R>,
    wait: Duration,
    blame: BlameOf,
    completion: C,
}

/// How an instance is chosen for a request.
struct Choice<R> {
    balancer: Balancer,
    key: Option<Arc<KeyOf<R>>>,
    tried: Option<Arc<TriedOf<R>>>,
}

impl<S: Clone + Send + 'static, R> Balance<S, R> {
    /// Balances by `balancer`, with the service that `make` gives for each instance. It is to connect lazily: it is made while a request
    /// waits.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn new(
        balancer: Balancer,
        make: impl Fn(&Instance) -> Result<S, BoxError> + Send + Sync + 'static,
    ) -> Self {
        let endpoints = Endpoints::new(balancer.clone(), Box::new(make));
        let choice = Choice { balancer, key: None, tried: None };
        let completion = CompleteOnResponse::default();
        Self { endpoints, choice, wait: Duration::ZERO, blame: blame::instance, completion }
    }
}

impl<S: Clone + Send + 'static, B> Balance<S, http::Request<B>, CompleteOnBody> {
    /// For HTTP: requests count to the end of the body, and whom their extension [`Tried`] names is not asked again.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn http(
        balancer: Balancer,
        make: impl Fn(&Instance) -> Result<S, BoxError> + Send + Sync + 'static,
    ) -> Self {
        Balance::new(balancer, make)
            .tried(|request: &http::Request<B>| request.extensions().get().cloned())
            .complete(CompleteOnBody::http())
    }
}

impl<S, R, C> Balance<S, R, C> {
    /// Chooses by what this finds in a request, for algorithms that need a key.
    #[must_use]
    pub fn key(mut self, key: impl for<'r> Fn(&'r R) -> Option<Key<'r>> + Send + Sync + 'static) -> Self {
        self.choice.key = Some(Arc::new(key));
        self
    }

    /// Asks nobody whom this finds among those who were tried for a request.
    #[must_use]
    pub fn tried(mut self, tried: impl Fn(&R) -> Option<Tried> + Send + Sync + 'static) -> Self {
        self.choice.tried = Some(Arc::new(tried));
        self
    }

    /// Lets a request wait so long for somebody to ask while there is nobody. Default: it does not wait. `Duration::MAX` is without a
    /// limit.
    #[must_use]
    pub fn wait(self, limit: Duration) -> Self {
        Self { wait: limit, ..self }
    }

    /// Says whose fault an error of the service for an instance is. Default: the instance's, which may have done what was asked.
    #[must_use]
    pub fn blame(self, blame: BlameOf) -> Self {
        Self { blame, ..self }
    }

    /// Counts requests as in flight until this says that they are over.
    #[must_use]
    pub fn complete<D>(self, completion: D) -> Balance<S, R, D> {
        let Self { endpoints, choice, wait, blame, .. } = self;
        Balance { endpoints, choice, wait, blame, completion }
    }

    /// Who picks.
    pub fn balancer(&self) -> &Balancer {
        &self.choice.balancer
    }
}

impl<S: Clone + Send + 'static, R, C> Balance<S, R, C> {
    /// For how many instances there is a service now.
    pub fn endpoints(&self) -> usize {
        self.endpoints.len()
    }

    /// Makes the service for an instance again also when its metadata change, for those who read them when they make it. Default: when its address or
    /// its unique code change, for a server may publish in its metadata what changes all the time. Clones that there are already do so, too.
    #[must_use]
    pub fn renew_by_metadata(self) -> Self {
        self.endpoints.renew_by_metadata();
        self
    }
}

impl<S, R, C> Service<R> for Balance<S, R, C>
where
    S: Service<R> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    R: Send + 'static,
    C: TrackCompletion<Picked, S::Response> + Send + 'static,
{
    type Response = C::Output;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<C::Output, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Self::Future {
        self.ask(request, |_| ())
    }
}

impl<S, R, C> Balance<S, R, C>
where
    S: Service<R> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    R: Send + 'static,
    C: TrackCompletion<Picked, S::Response> + Send + 'static,
{
    /// Asks somebody, and tells before that whom.
    pub(crate) fn ask(
        &self,
        request: R,
        whom: impl FnOnce(&InstanceId) + Send + 'static,
    ) -> Pin<Box<dyn Future<Output = Result<C::Output, Error>> + Send>> {
        let Self { endpoints, choice, wait, blame, completion } = self.clone();
        Box::pin(async move {
            let (service, asked, request) = choice.somebody(&endpoints, wait, request).await?;
            let id = asked.id().clone();
            whom(&id);
            // A request that runs keeps nothing but what it needs.
            drop((endpoints, choice));
            let source = match service.oneshot(request).await {
                Ok(response) => return Ok(completion.track_completion(asked.answered(), response)),
                Err(error) => error.into(),
            };
            let blame = blame(&*source);
            if blame == Blame::Asker {
                asked.answered().abandoned();
            }
            Err(Error::Failed { id, unsent: blame == Blame::Unreached, source })
        })
    }
}

impl<R> Choice<R> {
    /// Picks somebody who can be asked, with what to ask it with.
    async fn somebody<S: Clone + Send + 'static>(
        &self,
        endpoints: &Endpoints<S>,
        wait: Duration,
        mut request: R,
    ) -> Result<(S, Asked, R), Error> {
        // None: as long as it takes.
        let deadline = Instant::now().checked_add(wait);
        let mut tried = self.tried.as_ref().and_then(|tried| tried(&request));
        let mut unusable = None;
        loop {
            let picked;
            (picked, request) = match self.pick_until(deadline, request, tried.as_ref()).await {
                Ok(picked) => picked,
                Err(nobody) => return Err(unusable.unwrap_or(Error::Nobody(nobody))),
            };
            let instance = picked.candidate().instance().clone();
            let asked = Asked::new(picked);
            match endpoints.of(&instance) {
                Ok(service) => return Ok((service, asked, request)),
                Err(source) => {
                    let id = instance.id.clone();
                    tried.get_or_insert_default().add(id.clone());
                    unusable = Some(Error::Unusable { id, source });
                }
            }
        }
    }

    /// Picks at once if somebody is there. The request is not borrowed while it waits, and so need not be shared by threads.
    async fn pick_until(
        &self,
        deadline: Option<Instant>,
        request: R,
        tried: Option<&Tried>,
    ) -> Result<(Picked, R), PickError> {
        loop {
            match self.pick(&request, tried) {
                Err(error) if error.may_pass() => {
                    if !self.somebody_comes(deadline).await {
                        return self.pick(&request, tried).map(|picked| (picked, request));
                    }
                }
                picked => return picked.map(|picked| (picked, request)),
            }
        }
    }

    /// Waits until there is somebody to pick. `false` once nobody is waited for any more.
    async fn somebody_comes(&self, deadline: Option<Instant>) -> bool {
        let somebody = self.balancer.wait_for(|candidates| !candidates.is_empty());
        match deadline {
            None => somebody.await.is_ok(),
            // Who does not wait need not set a timer.
            Some(deadline) if deadline <= Instant::now() => false,
            Some(deadline) => matches!(timeout_at(deadline, somebody).await, Ok(Ok(_))),
        }
    }

    fn pick(&self, request: &R, tried: Option<&Tried>) -> Result<Picked, PickError> {
        let key = self.key.as_ref().and_then(|key| key(request));
        let asks = key.map_or_else(Request::default, Request::with_key);
        match tried {
            None => self.balancer.pick(&asks),
            Some(tried) => tried.pick(&self.balancer, asks),
        }
    }
}

impl<R> Clone for Choice<R> {
    fn clone(&self) -> Self {
        Self { balancer: self.balancer.clone(), key: self.key.clone(), tried: self.tried.clone() }
    }
}

impl<S, R, C: Clone> Clone for Balance<S, R, C> {
    fn clone(&self) -> Self {
        Self {
            endpoints: self.endpoints.clone(),
            choice: self.choice.clone(),
            wait: self.wait,
            blame: self.blame,
            completion: self.completion.clone(),
        }
    }
}

impl<S, R, C> fmt::Debug for Balance<S, R, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balance").field("balancer", &self.choice.balancer).finish_non_exhaustive()
    }
}
