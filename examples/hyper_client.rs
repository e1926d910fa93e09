//! A client of HTTP/1.1 that follows a service, and two servers of axum that come and go under it.
//!
//! `cargo run -p examples --example hyper_client`, on a fake ZooKeeper, or on the servers that ZK_CONNECT names.

use std::time::Duration;

use adapters::axum::Server;
use adapters::tower::{Again, AnsweredBy};
use axum::{Router, routing::get};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use loadbalance::{Balancer, RoundRobin};
use proto::{NodeData, ServiceName};
use registry::{Native, Registry};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;
use tower::retry::Retry;

/// No answer is waited for longer.
const LIMIT: Duration = Duration::from_secs(30);

/// A server serves for so long after its weight is 0: clients hear of that in milliseconds, and a busy machine takes its time.
const HEARD: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let keeper = examples::keeper()?;
    let registry = Registry::new(keeper.sessions(), Native::default());
    let time = ServiceName::parse("example-now")?;
    let mut servers = Vec::new();
    for _ in 0..2 {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let here = NodeData::at(listener.local_addr()?.to_string().parse()?);
        let (registry, time) = (registry.clone(), time.clone());
        let server = Server::new(move || registry.announce(&time, here.clone())).heard(HEARD);
        let router = Router::new().route("/now", get(async || "noon"));
        let (stop, stopped) = oneshot::channel::<()>();
        servers.push((stop, tokio::spawn(server.serve(listener, router, async { drop(stopped.await) }))));
    }

    // The discovery feeds the balancer: keep it.
    let discovery = registry.follow(&time);
    let balancer = Balancer::follow(discovery.instances(), RoundRobin::default());
    balancer.wait_for(|all| all.len() == 2).await?;
    // Where no connection can be made nothing was sent, and somebody else is asked.
    let client = Retry::new(Again::new(2), adapters::hyper::client(balancer).wait(LIMIT));
    let ask = async || {
        let request = Request::get("/now").body(Empty::<Bytes>::new())?;
        // Around both: a server may stop in the middle of its answer, too.
        let asked = async {
            let answer = client.clone().oneshot(request).await?;
            let by = answer.extensions().get::<AnsweredBy>().map(|by| by.0.id.clone());
            anyhow::Ok((by, answer.into_body().collect().await?.to_bytes()))
        };
        timeout(LIMIT, asked).await?
    };
    for _ in 0..4 {
        println!("{:?}", ask().await?);
    }

    // One leaves while requests run, and none of them fails.
    let mut requests = 0;
    let (stop, serving) = servers.swap_remove(0);
    drop(stop);
    while !serving.is_finished() {
        ask().await?;
        requests += 1;
        sleep(Duration::from_millis(5)).await;
    }
    println!("{:?}, and {requests} requests were answered meanwhile", serving.await??);
    let (stop, serving) = servers.remove(0);
    drop(stop);
    println!("{:?}", serving.await??);
    keeper.close().await;
    Ok(())
}
