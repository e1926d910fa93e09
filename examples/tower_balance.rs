//! Clients of anything: a service of tower that balances over a followed service, with a time-out and a second try elsewhere.
//!
//! `cargo run -p examples --example tower_balance`

use std::future::{Ready, ready};
use std::io::ErrorKind;
use std::time::Duration;

use adapters::tower::{Balance, Error, Tried};
use http::{Request, Response};
use http_body_util::Empty;
use loadbalance::{Balancer, LeastConnections};
use proto::{NodeData, ServiceName};
use registry::{Native, Registry};
use tower::retry::{Policy, Retry};
use tower::{ServiceExt, service_fn};
use zk_session::Keeper;
use zk_session::fake::FakeZk;

type Answer = Response<adapters::tower::InFlight<Empty<bytes::Bytes>>>;

/// Tries twice more. Whom the request's `Tried` names is not asked again.
#[derive(Clone)]
struct TwiceMore(u8);

impl Policy<Request<()>, Answer, Error> for TwiceMore {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut Request<()>, result: &mut Result<Answer, Error>) -> Option<Ready<()>> {
        let failed = result.as_ref().err()?;
        println!("{failed}: {:?}", std::error::Error::source(failed).map(ToString::to_string));
        self.0 = self.0.checked_sub(1)?;
        Some(ready(()))
    }

    fn clone_request(&mut self, request: &Request<()>) -> Option<Request<()>> {
        Some(request.clone())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let zk = FakeZk::default();
    let keeper = Keeper::start(zk.client());
    let registry = Registry::new(keeper.sessions(), Native::default());
    let time = ServiceName::parse("time")?;
    let ports = [8897, 8898, 8899];
    let at = |port| anyhow::Ok(NodeData::at(format!("127.0.0.1:{port}").parse()?));
    let here = registry.announce_all(&time, ports.map(at).into_iter().collect::<Result<Vec<_>, _>>()?)?;
    for registration in &here {
        registration.registered().await?;
    }

    // The discovery feeds the balancer: keep it. The service for an instance is yours; here two of three refuse.
    let discovery = registry.follow(&time);
    let balancer = Balancer::follow(discovery.instances(), LeastConnections);
    let balance = Balance::http(balancer, |instance| {
        let is_up = instance.id.as_str().ends_with("8899");
        Ok(service_fn(move |_: Request<()>| {
            ready(if is_up {
                Ok(Response::new(Empty::new()))
            } else {
                Err(std::io::Error::from(ErrorKind::ConnectionRefused))
            })
        }))
    })
    .wait(Duration::from_secs(5)); // for somebody to ask

    let tried = Tried::default();
    let request = Request::get("/").extension(tried.clone()).body(())?;
    let answer = Retry::new(TwiceMore(2), balance).oneshot(request).await?;
    println!("{} after {} tries", answer.status(), tried.ids().len());
    keeper.close().await;
    Ok(())
}
