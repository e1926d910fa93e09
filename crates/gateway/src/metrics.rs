//! What is counted, and what Prometheus reads of it.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::extract::MatchedPath;
use axum::http::{Method, Request, StatusCode};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, LabelSetEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;
use zk_session::{Source, State};

use crate::fleet::Followed;
use crate::leases::ByState;
use crate::{Fleet, Leases};

/// The upper bounds of how long a request took, in seconds.
const BOUNDS: [f64; 12] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0];

/// What is counted in a process, and what else can be asked when Prometheus asks.
pub struct Metrics {
    registry: Mutex<Registry>,
    requests: Family<Kind, Counter>,
    took: Family<Path, Histogram, fn() -> Histogram>,
    /// What of these two is for one kind, to be found at once.
    counts: RwLock<HashMap<Kind, Counts>>,
}

/// What is counted of one kind of requests.
struct Counts {
    requests: Counter,
    took: Histogram,
}

impl Metrics {
    pub(crate) fn new(fleet: Fleet, leases: Leases) -> Self {
        let mut registry = Registry::with_prefix("headkeeper");
        let requests = Family::default();
        registry.register("http_requests", "Requests that were answered", requests.clone());
        let took: Family<_, _, fn() -> Histogram> = Family::new_with_constructor(|| Histogram::new(BOUNDS));
        let help = "How long it took until an answer began, of those that do not wait for news";
        registry.register_with_unit("http_request_duration", help, Unit::Seconds, took.clone());
        registry.register_collector(Box::new(Now { fleet, leases }));
        Self { registry: Mutex::new(registry), requests, took, counts: RwLock::default() }
    }

    /// Asks this one as well, whenever Prometheus asks.
    pub fn collect(&self, collector: Box<dyn Collector>) {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner).register_collector(collector);
    }

    /// A request was answered that began then.
    pub(crate) fn answered(&self, arrived: Arrived, status: StatusCode) {
        let Arrived { begun, method, path, waits } = arrived;
        let kind = Kind { method, path, status };
        let count = |Counts { requests, took }: &Counts| {
            requests.inc();
            if !waits {
                took.observe(begun.elapsed().as_secs_f64());
            }
        };
        let known = self.counts.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(counts) = known.get(&kind) {
            return count(counts);
        }
        drop(known);
        let requests = self.requests.get_or_create_owned(&kind);
        let took = self.took.get_or_create_owned(&kind.path);
        let mut all = self.counts.write().unwrap_or_else(PoisonError::into_inner);
        count(all.entry(kind).or_insert(Counts { requests, took }));
    }

    /// All of it, as text in the format of OpenMetrics.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(text)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// What is to be known of a request once it is answered.
pub(crate) struct Arrived {
    begun: Instant,
    method: &'static str,
    path: Path,
    /// It is answered when there is news, whenever that is.
    waits: bool,
}

impl Arrived {
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        let method = match *request.method() {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            Method::PUT => "PUT",
            Method::POST => "POST",
            Method::PATCH => "PATCH",
            Method::DELETE => "DELETE",
            _ => "other",
        };
        let waits = request.uri().query().is_some_and(|query| query.contains("wait="));
        let path = Path(request.extensions().get().cloned());
        Self { begun: Instant::now(), method, path, waits }
    }
}

/// What requests are counted by. To look at a count nothing is written down, for that is done for every request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    method: &'static str,
    path: Path,
    status: StatusCode,
}

impl EncodeLabelSet for Kind {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        let Self { method, path, status } = self;
        [("method", *method), ("path", path.as_str()), ("status", status.as_str())].encode(encoder)
    }
}

/// A path as it is documented: one name for all services.
#[derive(Clone, Debug)]
struct Path(Option<MatchedPath>);

impl Path {
    fn as_str(&self) -> &str {
        self.0.as_ref().map_or("none", MatchedPath::as_str)
    }
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Path {}

impl Hash for Path {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // There are few, and hardly two of one length: that is enough to find one.
        state.write_usize(self.as_str().len());
    }
}

impl EncodeLabelSet for Path {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        [("path", self.as_str())].encode(encoder)
    }
}

/// What is not counted but true now.
#[derive(Debug)]
struct Now {
    fleet: Fleet,
    leases: Leases,
}

impl Collector for Now {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let state = match &*self.fleet.registry().sessions().state().borrow() {
            State::Connecting { .. } => "connecting",
            State::Connected { .. } => "connected",
            State::Suspended { .. } => "suspended",
            State::Closed => "closed",
        };
        let all = ["connecting", "connected", "suspended", "closed"];
        let states = all.map(|name| ([("state", name)], i64::from(name == state)));
        gauges(&mut encoder, "session_state", "In which state the ZooKeeper session is", states)?;

        let one = |name, help, value: usize| (name, help, [([("", ""); 0], whole(value))]);
        let followed = self.fleet.all_followed();
        for (name, help, value) in [
            one("services_followed", "Services that are followed", followed.len()),
            one("instances_registered", "Instances that this gateway registers", self.leases.len()),
            one(
                "instances_leaving",
                "Instances that are withdrawn, and may still be in ZooKeeper",
                self.leases.leaving(),
            ),
        ] {
            gauges(&mut encoder, name, help, value)?;
        }
        let ByState { registered, registering, replaced } = self.leases.by_state();
        let leases = [("registered", registered), ("registering", registering), ("replaced", replaced)];
        let leases = leases.map(|(state, count)| ([("state", state)], whole(count)));
        let help = "Instances that this gateway registers, by whether ZooKeeper has them";
        gauges(&mut encoder, "leases", help, leases)?;
        picks(&mut encoder, &followed)?;

        let known: Vec<_> = followed.iter().filter_map(|followed| followed.now()).collect();
        let (name, help, missing) = one(
            "services_without_list",
            "Services that are followed and have no list yet, and those that targets lack because no more may be followed",
            followed.len() - known.len() + self.fleet.left_out(),
        );
        gauges(&mut encoder, name, help, missing)?;
        let instances =
            known.iter().map(|now| ([("service", now.service.as_str())], whole(now.view.entries.len())));
        gauges(&mut encoder, "service_instances", "Instances of a service that is followed", instances)?;
        let ages = known.iter().map(|now| {
            let age = match now.view.source {
                Source::Live => Duration::ZERO,
                Source::Stale { since } => since.elapsed(),
            };
            ([("service", now.service.as_str())], age.as_secs_f64())
        });
        let help = "For how long the list of a service has not been known to be the truth; 0 while it is";
        gauges(&mut encoder, "service_list_stale_seconds", help, ages)?;
        let drained = known.iter().map(|now| {
            let drained = now.view.entries.iter().filter(|instance| instance.data.weight == 0).count();
            ([("service", now.service.as_str())], whole(drained))
        });
        gauges(&mut encoder, "service_instances_drained", "Instances with a weight of 0", drained)
    }
}

/// Counted by those that are followed, so that nothing is told of others.
fn picks(encoder: &mut DescriptorEncoder<'_>, followed: &[Arc<Followed>]) -> fmt::Result {
    let mut family =
        encoder.encode_descriptor("picks", "Picks that were asked for", None, MetricType::Counter)?;
    for followed in followed {
        for (algorithm, picks) in followed.picks() {
            for (outcome, count) in [("picked", picks.picked()), ("nobody", picks.nobody())] {
                if count > 0 {
                    let labels = [
                        ("service", followed.service().as_str()),
                        ("algorithm", algorithm.as_str()),
                        ("outcome", outcome),
                    ];
                    ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
                }
            }
        }
    }
    Ok(())
}

pub(crate) fn whole(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A gauge that has a value for each of these labels.
pub(crate) fn gauges<'a, V, const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = ([(&'a str, &'a str); N], V)>,
) -> fmt::Result
where
    ConstGauge<V>: EncodeMetric,
{
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        if N == 0 {
            return ConstGauge::new(value).encode(family);
        }
        ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
