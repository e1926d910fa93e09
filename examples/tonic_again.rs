//! Clients of gRPC that ask somebody else where nothing was sent: one that crashed is in the list until its session is over, and costs no RPC.
//!
//! `cargo run -p examples --example tonic_again`, on a fake ZooKeeper, or on the servers that ZK_CONNECT names.

use std::time::Duration;

use adapters::tonic::{Channel, error_of};
use adapters::tower::{AnsweredBy, Tried};
use loadbalance::{Balancer, RoundRobin};
use proto::{NodeData, ServiceName};
use registry::{Native, Registry};
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::timeout;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// No answer is waited for longer.
const LIMIT: Duration = Duration::from_secs(30);

/// Asks until something was sent, or nobody is left. Safe for any RPC: none is done twice. Whoever may repeat what was sent, too, looks at
/// the code of the status instead.
async fn check(client: &HealthClient<Channel>) -> Result<Response<HealthCheckResponse>, Status> {
    let tried = Tried::default();
    loop {
        let mut request = Request::new(HealthCheckRequest::default());
        // Those in here are not asked again.
        request.extensions_mut().insert(tried.clone());
        match client.clone().check(request).await {
            Err(status) if is_for_another_one(&status) => println!("not sent: {}", status.message()),
            answer => return answer,
        }
    }
}

/// Nothing was sent, and it was for somebody: with nobody to ask there is nobody to ask instead.
fn is_for_another_one(status: &Status) -> bool {
    error_of(status).is_some_and(|error| error.is_unsent() && error.instance().is_some())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let keeper = examples::keeper()?;
    let registry = Registry::new(keeper.sessions(), Native::default());
    let health = ServiceName::parse("example-again")?;

    // One that serves, and one that crashed.
    let well = TcpListener::bind("127.0.0.1:0").await?;
    // Nobody listens there, and nobody else can while we have it.
    let gone = TcpSocket::new_v4()?;
    gone.bind("127.0.0.1:0".parse()?)?;
    let mut here = Vec::new();
    for address in [well.local_addr()?, gone.local_addr()?] {
        here.push(registry.announce(&health, NodeData::at(address.to_string().parse()?))?);
    }
    let (_reporter, service) = tonic_health::server::health_reporter();
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(well)));

    // The discovery feeds the balancer: keep it.
    let discovery = registry.follow(&health);
    let balancer = Balancer::follow(discovery.instances(), RoundRobin::default());
    timeout(LIMIT, balancer.wait_for(|all| all.len() == 2)).await??;
    let client = HealthClient::new(Channel::new(balancer));
    for _ in 0..4 {
        let answer = timeout(LIMIT, check(&client)).await??;
        let by = answer.extensions().get::<AnsweredBy>().map(|by| by.0.id.clone());
        println!("{by:?} says {:?}", answer.get_ref().status());
    }
    keeper.close().await;
    Ok(())
}
