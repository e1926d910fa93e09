//! Clients of gRPC: a channel that follows a service, and in which each RPC is picked for.
//!
//! `cargo run -p examples --example tonic_channel`, on a fake ZooKeeper, or on the servers that ZK_CONNECT names.

use std::time::Duration;

use adapters::tonic::Channel;
use adapters::tower::AnsweredBy;
use loadbalance::{Balancer, LeastConnections};
use proto::{NodeData, ServiceName};
use registry::{Native, Registry};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let keeper = examples::keeper()?;
    let registry = Registry::new(keeper.sessions(), Native::default());
    let health = ServiceName::parse("example-health")?;

    // Two servers. Any service of tonic will do; this one comes with it.
    let mut registrations = Vec::new();
    for _ in 0..2 {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let here = NodeData::at(listener.local_addr()?.to_string().parse()?);
        let (_reporter, service) = tonic_health::server::health_reporter();
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        registrations.push(registry.announce(&health, here)?);
    }

    // The discovery feeds the balancer: keep it.
    let discovery = registry.follow(&health);
    let balancer = Balancer::follow(discovery.instances(), LeastConnections);
    balancer.wait_for(|all| all.len() == 2).await?;
    let channel =
        Channel::with_endpoints(balancer.clone(), |endpoint, _| endpoint.timeout(Duration::from_secs(30)))
            .wait(Duration::from_secs(30)); // while nobody is registered
    let mut client = HealthClient::new(channel);

    // A stream counts for as long as it runs, so RPCs go to the other one.
    let stream = client.watch(HealthCheckRequest::default()).await?;
    println!("{:?} is watched", stream.extensions().get::<AnsweredBy>().map(|by| by.0.id.clone()));
    for _ in 0..3 {
        let answer = client.check(HealthCheckRequest::default()).await?;
        println!(
            "{:?} says {:?}",
            answer.extensions().get::<AnsweredBy>().map(|by| by.0.id.clone()),
            answer.get_ref().status()
        );
    }
    drop(stream);

    for registration in registrations {
        registration.withdraw().await;
    }
    balancer.wait_for(|all| all.is_empty()).await?;
    let nobody = HealthClient::new(Channel::new(balancer)).check(HealthCheckRequest::default()).await;
    println!("{:?}", nobody.map_err(|status| (status.code(), status.message().to_owned())));
    keeper.close().await;
    Ok(())
}
