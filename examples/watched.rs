//! What to watch, as Prometheus reads it: made of the channels when it is asked for. On real ZooKeeper servers, which ZK_CONNECT names, or on a
//! fake one without that.
//!
//! `cargo run -p examples --example watched`. Whoever has a registry of metrics already sets its gauges by the same lines.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::{Router, routing::get};
use http_body_util::BodyExt;
use loadbalance::{Balancer, RoundRobin};
use proto::{NodeData, ServiceName};
use registry::{Discovery, Native, Registration, Registry, Source, Status};
use tokio::time::timeout;
use tower::ServiceExt;
use zk_session::{Keeper, State};

/// What a program has of Headkeeper.
struct Watched {
    keeper: Keeper,
    here: Registration,
    discovery: Discovery,
    balancer: Balancer,
}

impl Watched {
    /// No channel is waited for: each has a latest value.
    fn metrics(&self) -> String {
        let connected = matches!(*self.keeper.sessions().state().borrow(), State::Connected { .. });
        let registered = matches!(*self.here.status().borrow(), Status::Registered { .. });
        let replaced = matches!(*self.here.status().borrow(), Status::Replaced);
        let view = self.discovery.view().borrow().clone();
        let stale = view.as_ref().map_or(f64::INFINITY, |view| match view.source {
            Source::Live => 0.0,
            Source::Stale { since } => since.elapsed().as_secs_f64(),
        });
        let unusable = view.map_or(0, |view| view.bad.len());
        let troubled = self.discovery.problem().borrow().is_some();
        let mut text = String::new();
        for (name, help, value) in [
            ("connected", "Whether there is a connection to ZooKeeper", f64::from(connected)),
            ("registered", "Whether this instance is in the list", f64::from(registered)),
            ("replaced", "Whether a newer process took its place", f64::from(replaced)),
            ("list_stale_seconds", "For how long the list is not known to be the truth", stale),
            ("list_unusable", "Nodes that cannot be used", unusable as f64),
            ("list_troubled", "Whether the service cannot be followed", f64::from(troubled)),
            ("candidates", "Instances to pick from", self.balancer.candidates().len() as f64),
        ] {
            let _ = writeln!(
                text,
                "# HELP example_{name} {help}\n# TYPE example_{name} gauge\nexample_{name} {value}"
            );
        }
        text
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let keeper = examples::keeper()?;
    let registry = Registry::new(keeper.sessions(), Native::default());
    let service = ServiceName::parse("example-watched")?;
    let here = registry.announce(&service, NodeData::at("127.0.0.1:8897".parse()?))?;
    let discovery = registry.follow(&service);
    let balancer = Balancer::follow(discovery.instances(), RoundRobin::default());
    // Two channels: who is listed may not have the answer yet that it is registered.
    let limit = Duration::from_secs(30);
    timeout(limit, balancer.wait_for(|all| all.len() == 1)).await??;
    timeout(limit, here.registered()).await??;
    let watched = Arc::new(Watched { keeper, here, discovery, balancer });

    // Serve this beside whatever the program serves; here it is asked once.
    let router = Router::new().route("/metrics", get(async move || watched.metrics()));
    let answer = router.oneshot(http::Request::get("/metrics").body(String::new())?).await?;
    print!("{}", String::from_utf8_lossy(&answer.into_body().collect().await?.to_bytes()));
    Ok(())
}
