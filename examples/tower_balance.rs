//! Clients of anything: a service of tower that balances over a followed service, with a time-out and a second try elsewhere. Here
//! it speaks with servers of a protocol of their own, of which one is not there and one never answers.
//!
//! `cargo run -p examples --example tower_balance`, on a fake ZooKeeper, or on the servers that ZK_CONNECT names.

use std::future::{Ready, ready};
use std::time::Duration;

use adapters::tower::{Balance, Tried};
use anyhow::Context;
use examples::clock::{ask, serve};
use http::Request;
use http_body_util::BodyExt;
use loadbalance::{Balancer, LeastConnections};
use proto::{NodeData, ServiceName};
use registry::{Native, Registry};
use tokio::net::{TcpListener, TcpSocket};
use tower::retry::Policy;
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};

/// Tries twice more, whatever went wrong: what is asked for here may be done twice. `adapters::tower::Again` is for what may not.
#[derive(Clone)]
struct TwiceMore(u8);

impl<R> Policy<Request<()>, R, BoxError> for TwiceMore {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut Request<()>, result: &mut Result<R, BoxError>) -> Option<Ready<()>> {
        let failed = result.as_ref().err()?;
        println!("{failed}: {:?}", failed.source().map(ToString::to_string));
        self.0 = self.0.checked_sub(1)?;
        Some(ready(()))
    }

    fn clone_request(&mut self, request: &Request<()>) -> Option<Request<()>> {
        Some(request.clone())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let keeper = examples::keeper()?;
    let registry = Registry::new(keeper.sessions(), Native::default());
    let time = ServiceName::parse("example-clock")?;

    let well = TcpListener::bind("127.0.0.1:0").await?;
    let silent = TcpListener::bind("127.0.0.1:0").await?;
    // Nobody listens there, and nobody else can while we have it.
    let gone = TcpSocket::new_v4()?;
    gone.bind("127.0.0.1:0".parse()?)?;
    let mut here = Vec::new();
    for address in [well.local_addr()?, silent.local_addr()?, gone.local_addr()?] {
        here.push(registry.announce(&time, NodeData::at(address.to_string().parse()?))?);
    }
    tokio::spawn(serve(well));

    // The discovery feeds the balancer: keep it. The service for an instance is yours.
    let discovery = registry.follow(&time);
    let balancer = Balancer::follow(discovery.instances(), LeastConnections);
    balancer.wait_for(|all| all.len() == 3).await?;
    let balance = Balance::http(balancer, |instance| {
        let server = instance.data.address.clone().context("no address")?;
        Ok(service_fn(move |request| ask(server.clone(), request)))
    })
    .wait(Duration::from_secs(5)); // while nobody is registered

    // The time-out is for each try: inside what tries again, and around what counts a late answer as a failure.
    let client = ServiceBuilder::new().retry(TwiceMore(2)).timeout(Duration::from_secs(5)).service(balance);
    let tried = Tried::default();
    let request = Request::get("/time").extension(tried.clone()).body(())?;
    let answer = client.oneshot(request).await.map_err(anyhow::Error::from_boxed)?;
    let status = answer.status();
    let text = answer.into_body().collect().await?.to_bytes();
    println!("{status} after {} tries: {}", tried.ids().len(), String::from_utf8_lossy(&text));

    keeper.close().await;
    Ok(())
}
