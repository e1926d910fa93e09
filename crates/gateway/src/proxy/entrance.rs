//! What a server holds: requests in, answers out, by rules that can be replaced.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::FutureExt;
use hyper::body::Incoming;
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response, Uri};
use proto::ServiceName;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};
use tracing::info;

use super::Upstreams;
use super::admission::{check, check_size};
use super::body::Body;
use super::exchange::Exchange;
use super::figures::{Figures, Outcome};
use super::forwarded::client;
use super::lookups::Lookups;
use super::outgoing::Outgoing;
use super::path::Path;
use super::peer::Peer;
use super::problem::Problem;
use super::routes::{Route, Routes};
use super::rules::{Rules, RulesError};
use super::sending::Bounds;
use super::service::Service;

/// A reverse proxy. Cloning gives the same one again.
#[derive(Clone)]
pub struct Proxy {
    shared: Arc<Shared>,
}

/// How often connections are looked for that nobody uses any more.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

struct Shared {
    upstreams: Arc<dyn Upstreams>,
    routes: ArcSwap<Routes>,
    /// Also held while rules are put in place: one after the other.
    waiting: Mutex<Option<Waiting>>,
    lookups: Arc<Lookups>,
    /// Of requests that no rule is for.
    figures: Arc<Figures>,
    tunnels_over: watch::Sender<bool>,
}

/// Rules that are put in place once there is a list of each service that those in place do not name.
struct Waiting {
    routes: Arc<Routes>,
    newcomers: Vec<Arc<Service>>,
    task: AbortHandle,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How a service is served.
#[derive(Clone, Debug)]
pub struct Served {
    /// Its name.
    pub service: ServiceName,
    /// What became of its requests.
    pub figures: Arc<Figures>,
    /// Whether there is a list of its instances, be it an old one.
    pub has_list: bool,
    /// How many of its instances are left out because they failed too often.
    pub ejected: usize,
    /// How many connections to its instances are kept while nobody uses them.
    pub idle_connections: usize,
}

impl Proxy {
    /// A proxy that goes by these rules.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn new(upstreams: Arc<dyn Upstreams>, rules: Rules) -> Self {
        Self::looking_up(Lookups::default(), upstreams, rules)
    }

    fn looking_up(lookups: Lookups, upstreams: Arc<dyn Upstreams>, rules: Rules) -> Self {
        let routes = ArcSwap::from_pointee(Routes::new(rules, None, &*upstreams));
        let shared = Arc::new(Shared {
            upstreams,
            routes,
            waiting: Mutex::default(),
            lookups: Arc::new(lookups),
            figures: Arc::default(),
            tunnels_over: watch::Sender::new(false),
        });
        tokio::spawn(sweep(Arc::downgrade(&shared)));
        Self { shared }
    }

    /// Goes by other rules as soon as there is a list of each service that those in place do not name: at once where none is new, and not before
    /// ZooKeeper is back where it is away. Until then the ones in place stay; whatever else was to follow them is given up. Requests that are
    /// under way end by the rules that they began with. What both have in common stays as it is: turns, requests in flight, who is left out,
    /// connections.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn replace(&self, rules: Rules) {
        let mut waiting = self.shared.waiting();
        *waiting = None;
        let before = self.shared.routes.load_full();
        let routes = Arc::new(Routes::new(rules, Some(&before), &*self.shared.upstreams));
        let newcomers = routes.newcomers(&before);
        if routes.ready(&newcomers).now_or_never().is_some() {
            return self.shared.put_in_place(routes);
        }
        let names: Vec<_> = newcomers.iter().map(|service| service.name.as_str()).collect();
        info!(services = names.join(", "), "rules wait for lists of services; those of before stay in place");
        let (shared, awaited) = (Arc::downgrade(&self.shared), (routes.clone(), newcomers.clone()));
        let task = tokio::spawn(async move {
            let (routes, newcomers) = awaited;
            routes.ready(&newcomers).await;
            let Some(shared) = shared.upgrade() else { return };
            let mut waiting = shared.waiting();
            // Others may have been to follow since.
            if waiting.take_if(|waiting| Arc::ptr_eq(&waiting.routes, &routes)).is_some() {
                shared.put_in_place(routes);
            }
        });
        *waiting = Some(Waiting { routes, newcomers, task: task.abort_handle() });
    }

    /// Reads other rules and [goes by them](Self::replace) as soon as it can.
    ///
    /// # Errors
    ///
    /// When they are wrong: then the old ones stay in place.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn reload(&self, text: &str) -> Result<(), RulesError> {
        Rules::read(text).map(|rules| self.replace(rules))
    }

    /// How each service is served that a rule names, in the order of the rules.
    pub fn served(&self) -> Vec<Served> {
        let served = |service: &Arc<Service>| Served {
            service: service.name.clone(),
            figures: service.figures.clone(),
            has_list: service.has_list(),
            ejected: service.ejection.out(),
            idle_connections: service.connections.idle(),
        };
        self.shared.routes.load().services.iter().map(served).collect()
    }

    /// The services without a list that rules wait for which are to be put in place; none while no rules wait.
    pub fn awaited(&self) -> Vec<ServiceName> {
        let waiting = self.shared.waiting();
        let newcomers = waiting.iter().flat_map(|waiting| &waiting.newcomers);
        newcomers.filter(|service| !service.has_list()).map(|service| service.name.clone()).collect()
    }

    /// What became of requests that no rule is for, or that were refused before one was looked for.
    pub fn unmatched(&self) -> &Arc<Figures> {
        &self.shared.figures
    }

    /// Closes a connection to an instance that nobody uses, where files or memory are wanting for something else. Gives whether there
    /// was one.
    pub fn make_room(&self) -> bool {
        self.shared.routes.load().make_room()
    }

    /// Ends what became a tunnel: such connections do not end by themselves when a server stops. New ones end at once.
    pub fn end_tunnels(&self) {
        self.shared.tunnels_over.send_replace(true);
    }

    /// Answers a request: with what an instance answers, or why there is no such answer.
    ///
    /// The connection has to be served with upgrades for WebSockets to work, and through [`Strict`](super::Strict), which refuses
    /// what has two lengths and is shown each answer by [`Upgraded`](super::Upgraded). A tunnel keeps the stream of its connection until it ends, and with it what that stream holds: the place
    /// that a connection takes among so many, say.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time: then the client is taken to have left, and its request to an instance is broken off.
    pub async fn handle(&self, request: Request<Incoming>, peer: &Peer) -> Response<Body> {
        let begun = Instant::now();
        let routes = self.shared.routes.load_full();
        let (mut parts, body) = request.into_parts();
        let uri = parts.uri.clone();
        let found = check(&mut parts, &body).and_then(|()| {
            let path = Path::read(uri.path()).map_err(|refused| Problem::refused(refused.to_string()))?;
            let route = routes.matching(&path).ok_or_else(Problem::no_rule)?;
            Ok((path, route))
        });
        let (path, route) = match found {
            Ok(found) => found,
            Err(problem) => {
                self.shared.figures.begin(begun).end(problem.outcome);
                return problem.response();
            }
        };
        let counting = route.service.figures.begin(begun);
        let trusted = &routes.rules.trusted;
        let client = client(&parts.headers, peer.address(), trusted);
        let key = route.key(&path, uri.query(), &parts.headers, client);
        let target = target(route, &path, &uri);
        let limits = &route.rule.limits;
        let answer = match check_size(&body, limits.body) {
            Ok(()) => {
                let bounds = Bounds { waited: limits.request, most: limits.body };
                let outgoing = Outgoing::new(parts, (body, bounds), peer, trusted, target);
                let lookups = &self.shared.lookups;
                let exchange = Exchange { routes: &routes, route, lookups, begun, outgoing };
                exchange.run(&key, &self.shared.tunnels_over).await
            }
            Err(problem) => Err(problem),
        };
        let (outcome, response) = match answer {
            Ok(response) => (Outcome::of(response.status()), response),
            Err(problem) => (problem.outcome, problem.response()),
        };
        response.map(|body| body.counted(counting, outcome))
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Option<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_in_place(&self, routes: Arc<Routes>) {
        routes.take_effect();
        info!(rules = routes.rules.len(), services = routes.services.len(), "rules are in place");
        self.routes.store(routes);
    }
}

/// Lets go of connections that nobody uses any more, as long as there is a proxy.
async fn sweep(proxy: Weak<Shared>) {
    loop {
        sleep(SWEEP_EVERY).await;
        let Some(proxy) = proxy.upgrade() else { return };
        for service in &proxy.routes.load_full().services {
            service.connections.sweep();
        }
    }
}

/// What an instance is asked for.
fn target(route: &Route, path: &Path<'_>, uri: &Uri) -> Uri {
    let asked = route.rule.path(path);
    let target = match (uri.path_and_query(), uri.query()) {
        (Some(target), _) if asked == uri.path() => Some(target.clone()),
        (_, Some(query)) => PathAndQuery::try_from(format!("{asked}?{query}")).ok(),
        (_, None) => PathAndQuery::try_from(asked).ok(),
    };
    // A path that was read is one.
    target.map_or_else(Uri::default, Uri::from)
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("rules", &self.shared.routes.load().rules.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::pending;
    use std::net::SocketAddr;

    use bytes::Bytes;
    use http_body_util::Empty;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use loadbalance::{Instance, Instances, NodeData};

    use super::*;

    struct Listed(watch::Sender<Option<Instances>>);

    impl Upstreams for Listed {
        fn instances(&self, _: &ServiceName) -> watch::Receiver<Option<Instances>> {
            self.0.subscribe()
        }

        fn master(&self, _: &ServiceName) -> watch::Receiver<Option<Arc<Instance>>> {
            watch::Sender::default().subscribe()
        }
    }

    /// What a client of this proxy is answered.
    async fn ask(proxy: &Proxy) -> u16 {
        let (client, server) = tokio::io::duplex(4096);
        let proxy = proxy.clone();
        tokio::spawn(async move {
            let peer = Peer::from(SocketAddr::from(([127, 0, 0, 1], 1)));
            let service = service_fn(async |request| Ok::<_, Infallible>(proxy.handle(request, &peer).await));
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service).await
        });
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(client)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get("/").header("host", "test").body(Empty::<Bytes>::new()).unwrap();
        sender.send_request(request).await.unwrap().status().as_u16()
    }

    #[tokio::test(start_paused = true)]
    async fn no_instance_is_blamed_for_a_name_that_is_not_looked_up_in_time() {
        let instance = |name: &str| {
            let data = NodeData::at(format!("{name}.example:80").parse().unwrap());
            Arc::new(Instance { id: name.parse().unwrap(), data })
        };
        let list = ["a", "b", "c", "d"].map(instance).into_iter().collect();
        let lists = Arc::new(Listed(watch::Sender::new(Some(list))));
        let rules = "[[rule]]\npath = \"/\"\nservice = \"s\"\n[ejection]\nfailures = 1";
        let silent = Lookups::by(|_| pending().boxed());
        let proxy = Proxy::looking_up(silent, lists, Rules::read(rules).unwrap());
        let begun = Instant::now();
        for _ in 0..3 {
            assert_eq!(ask(&proxy).await, 502);
        }
        // Each was waited for as long as a connection, and then another one was tried.
        assert_eq!(begun.elapsed().as_secs(), 3 * 3 * 2);
        let served = proxy.served();
        assert_eq!((served[0].ejected, served[0].figures.retries()), (0, 6));
        assert_eq!(served[0].figures.ended(Outcome::Unreachable), 3);
    }
}
