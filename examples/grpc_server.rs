//! A server of gRPC that is in the list while it is ready, and leaves without a failed RPC. On a fake ZooKeeper, or on the servers that ZK_CONNECT
//! names.
//!
//! `cargo run -p examples --example grpc_server`

use std::time::Duration;

use adapters::axum::Server;
use adapters::tonic::{Channel, error_of};
use adapters::tower::Error;
use loadbalance::{Balancer, RoundRobin};
use proto::{NodeData, ServiceName};
use registry::{Native, Registry};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};
use tonic::service::Routes;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// No state is waited for longer.
const LIMIT: Duration = Duration::from_secs(30);

/// It serves for so long after its weight is 0: clients hear of that in milliseconds, and a busy machine takes its time.
const HEARD: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let keeper = examples::keeper()?;
    let registry = Registry::new(keeper.sessions(), Native::default());
    let health = ServiceName::parse("example-grpc")?;
    let discovery = registry.follow(&health);
    let balancer = Balancer::follow(discovery.instances(), RoundRobin::default());

    // Any service of tonic will do, several of them too; this one comes with it. Routes are a router of axum, and that speaks HTTP/2.
    let (_reporter, service) = tonic_health::server::health_reporter();
    let router = Routes::new(service).into_axum_router();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let here = NodeData::at(listener.local_addr()?.to_string().parse()?);
    let (readiness, ready) = watch::channel(false);
    let server = Server::new(move || registry.announce(&health, here.clone())).ready(ready).heard(HEARD);
    // SIGTERM, in a program of yours: axum_server.rs has that.
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(listener, router, async { drop(stopped.await) }));

    // It is in the list once what it needs is there.
    println!("before it is ready: {} in the list", balancer.candidates().len());
    readiness.send_replace(true);
    timeout(LIMIT, balancer.wait_for(|all| all.len() == 1)).await??;
    let mut client = HealthClient::new(Channel::new(balancer.clone()));
    let answer = timeout(LIMIT, client.check(HealthCheckRequest::default())).await??;
    println!("it says {:?}", answer.get_ref().status());

    // Told to end, it answers for as long as anybody may pick it.
    drop(stop);
    let mut answered = 0;
    loop {
        match timeout(LIMIT, client.check(HealthCheckRequest::default())).await? {
            Ok(_) => answered += 1,
            Err(status) if matches!(error_of(&status), Some(Error::Nobody(_))) => break,
            Err(status) => return Err(status.into()),
        }
        sleep(Duration::from_millis(5)).await;
    }
    println!("{answered} RPCs were answered meanwhile, {:?}", timeout(LIMIT, serving).await???);
    keeper.close().await;
    Ok(())
}
