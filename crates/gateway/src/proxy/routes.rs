//! Rules in place: each with its service and whatever chooses one of it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{COOKIE, HeaderValue};
use loadbalance::{Algorithm, Balancer, Filter, Hash, KeyKind, PickError, Request};
use proto::{InstanceId, ServiceName};
use tokio::time::timeout;

use super::Upstreams;
use super::connections::give_up_first;
use super::path::Path;
use super::problem::Problem;
use super::rules::{Choice, Hashed, Rule, Rules, To};
use super::service::{Chosen, Service};

/// How long new rules wait for the first word on who leads, once there are lists: both come together, where somebody does.
const FIRST_MASTERS: Duration = Duration::from_secs(1);

/// Rules in place.
pub(super) struct Routes {
    pub(super) rules: Rules,
    /// One for each rule.
    routes: Vec<Route>,
    pub(super) services: Vec<Arc<Service>>,
    balancers: HashMap<(ServiceName, Choice), Balancer>,
}

/// Where the requests of a rule go.
pub(super) struct Route {
    pub(super) rule: Arc<Rule>,
    pub(super) service: Arc<Service>,
    /// `None` for the master.
    balancer: Option<Balancer>,
}

/// What a request is chosen by.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Key<'r> {
    None,
    Client(IpAddr),
    Url(Cow<'r, str>),
    Bytes(Cow<'r, [u8]>),
}

impl Routes {
    /// What rules need to be put in place. What they share with the ones before stays as it is: turns, requests in flight, who is out, connections.
    pub(super) fn new(rules: Rules, before: Option<&Self>, upstreams: &dyn Upstreams) -> Self {
        let known = |name: &ServiceName| before?.services.iter().find(|it| it.name == *name).cloned();
        let service = |name: &ServiceName| {
            known(name).unwrap_or_else(|| Arc::new(Service::new(name, upstreams, &rules)))
        };
        let services: Vec<_> = rules.services().into_iter().map(service).collect();
        let mut balancers = HashMap::new();
        let mut routes = Vec::new();
        for rule in &rules.rules {
            let Some(service) = services.iter().find(|it| it.name == rule.service).cloned() else { continue };
            let balancer = match &rule.to {
                To::Master => {
                    service.follow_master(upstreams);
                    None
                }
                To::Balanced(choice) => {
                    let key = (service.name.clone(), choice.clone());
                    let new = || {
                        let known = before.and_then(|before| before.balancers.get(&key)).cloned();
                        known.unwrap_or_else(|| balancer(choice, &service))
                    };
                    Some(balancers.entry(key.clone()).or_insert_with(new).clone())
                }
            };
            routes.push(Route { rule: rule.clone(), service, balancer });
        }
        Self { rules, routes, services, balancers }
    }

    /// The services that those before do not name.
    pub(super) fn newcomers(&self, before: &Self) -> Vec<Arc<Service>> {
        let is_known = |service: &Service| before.services.iter().any(|it| it.name == service.name);
        self.services.iter().filter(|service| !is_known(service)).cloned().collect()
    }

    /// Waits until requests to these services of it can be answered, or will not be by waiting.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub(super) async fn ready(&self, services: &[Arc<Service>]) {
        for service in services {
            service.listed().await;
            for ((name, _), balancer) in &self.balancers {
                if *name == service.name {
                    // It ends without a list when none will come.
                    let _ = balancer.ready().await;
                }
            }
        }
        let led = async {
            for service in services {
                service.led().await;
            }
        };
        // There may be nobody.
        let _ = timeout(FIRST_MASTERS, led).await;
    }

    /// Has all services go by what these rules say of them.
    pub(super) fn take_effect(&self) {
        for service in &self.services {
            service.set(&self.rules);
        }
    }

    /// Lets go of a connection that nobody uses, to whichever instance, for there is no room for another one. Gives whether there
    /// was one.
    pub(super) fn make_room(&self) -> bool {
        give_up_first(self.services.iter().map(|service| &service.connections))
    }

    pub(super) fn matching(&self, path: &Path<'_>) -> Option<&Route> {
        self.routes.get(self.rules.place(path)?)
    }
}

fn balancer(choice: &Choice, service: &Service) -> Balancer {
    let algorithm: Box<dyn Algorithm> = match choice {
        Choice::Named(name) => name.algorithm(),
        Choice::Hash(_) => Box::new(Hash::by_key()),
    };
    // Others are reached through a broker, not from here.
    let reachable = Filter::new("with an address", |instance| instance.data.address.is_some());
    Balancer::builder(algorithm).filter(reachable).follow(service.lists.clone())
}

impl Route {
    /// What a request is chosen by.
    pub(super) fn key<'r>(
        &self,
        path: &'r Path<'_>,
        query: Option<&str>,
        headers: &HeaderMap,
        client: IpAddr,
    ) -> Key<'r> {
        let url = || match query {
            Some(query) => Cow::Owned(format!("{}?{query}", path.encoded())),
            None => Cow::Borrowed(path.encoded()),
        };
        let bytes = |address| match address {
            IpAddr::V4(address) => Key::Bytes(address.octets().to_vec().into()),
            IpAddr::V6(address) => Key::Bytes(address.octets().to_vec().into()),
        };
        let To::Balanced(choice) = &self.rule.to else { return Key::None };
        let found = match choice {
            Choice::Named(name) => {
                return match name.key() {
                    Some(KeyKind::Client) => Key::Client(client),
                    Some(KeyKind::Url) => Key::Url(url()),
                    Some(KeyKind::Bytes) | None => Key::None,
                };
            }
            Choice::Hash(Hashed::Path) => {
                return Key::Bytes(match url() {
                    Cow::Owned(url) => url.into_bytes().into(),
                    Cow::Borrowed(url) => url.as_bytes().into(),
                });
            }
            Choice::Hash(Hashed::Client) => None,
            Choice::Hash(Hashed::Header(name)) => headers.get(name).map(HeaderValue::as_bytes),
            Choice::Hash(Hashed::Cookie(name)) => cookie(headers, name),
        };
        found.filter(|it| !it.is_empty()).map_or_else(|| bytes(client), |it| Key::Bytes(it.to_vec().into()))
    }

    /// Who gets a request, of those who were not tried. `None` when all who could were.
    pub(super) fn choose(
        &self,
        key: &Key<'_>,
        tried: &HashSet<InstanceId>,
    ) -> Result<Option<Chosen>, Problem> {
        let Self { service, balancer, .. } = self;
        let nobody = |why: &str| Problem::nobody(&service.name, why);
        let Some(balancer) = balancer else {
            let master = service.master().ok_or_else(|| nobody("nobody is known to be its master"))?;
            return Ok(Some(master).filter(|master| !tried.contains(master.id())));
        };
        match service.pick(balancer, key.request(), tried) {
            Ok(chosen) => Ok(Some(chosen)),
            Err(PickError::Tried { .. }) => Ok(None),
            Err(PickError::NotReady | PickError::Closed) => {
                Err(nobody("there is no list of its instances yet"))
            }
            Err(PickError::Empty) => Err(nobody("it has no instance")),
            Err(_) => Err(nobody("it has no instance that takes requests")),
        }
    }
}

impl Key<'_> {
    fn request(&self) -> Request<'_> {
        match self {
            Self::None => Request::default(),
            Self::Client(address) => Request::client(*address),
            Self::Url(url) => Request::url(url),
            Self::Bytes(bytes) => Request::keyed(bytes),
        }
    }
}

/// The value of a cookie, without quotes; of several with this name the first.
fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    let lines = headers.get_all(COOKIE).into_iter().map(HeaderValue::as_bytes);
    let pairs = lines.flat_map(|line| line.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
    let mut values = pairs.filter_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
    let value = values.next()?;
    Some(value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, "xid=1; id=2;id=3".parse().unwrap());
        headers.append(COOKIE, "other=\"4\"; empty=; odd".parse().unwrap());
        let value = |name| cookie(&headers, name).map(|value| String::from_utf8_lossy(value).into_owned());
        assert_eq!(value("id").as_deref(), Some("2"));
        assert_eq!(value("xid").as_deref(), Some("1"));
        assert_eq!(value("other").as_deref(), Some("4"));
        assert_eq!(value("empty").as_deref(), Some(""));
        assert_eq!((value("odd"), value("i"), value("ID")), (None, None, None));
    }
}
