//! The Rust that pages show in part, compiled as they show it: `cargo run -p pages` compares. Nothing of it is run here; what it does is
//! proved where it is made.

#![expect(
    dead_code,
    unused_variables,
    reason = "a page shows what something is called, and not all that one does with it"
)]

use bytes::Bytes;
use http_body_util::Empty;
use leader::Term;
use loadbalance::{Balancer, Picked};
use proto::{NodeData, ServiceName};
use registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;
use zk_session::Keeper;
use zk_session::fake::FakeZk;

async fn registering() -> anyhow::Result<()> {
    // ANCHOR: registering
    use proto::{NodeData, ServiceName};
    use registry::{Native, Registry};
    use zk_session::{Keeper, ZooKeeper};

    let zookeeper = ZooKeeper::builder("zk1:2181,zk2:2181,zk3:2181").build()?;
    let keeper = Keeper::start(zookeeper);
    let registry = Registry::new(keeper.sessions(), Native::default());
    let time = ServiceName::parse("time")?;

    let here = registry.announce(&time, NodeData::at("10.0.0.7:8897".parse()?).with_metadata("zone", "b"))?;
    // … serve …
    here.drain()?; // still registered, gets no more requests
    // … serve on until clients have heard of it, 2 s for example, and what runs is finished …
    here.withdraw().await; // gone; without ZooKeeper this waits for it, so put a timeout around it
    keeper.close().await; // takes 2 s at most
    // ANCHOR_END: registering
    Ok(())
}

async fn following(registry: Registry, time: ServiceName) -> anyhow::Result<()> {
    // ANCHOR: following
    let discovery = registry.follow(&time);
    let instances = discovery.ready().await?; // waits for the first whole list: a List<Instance>
    let mut lists = discovery.instances(); // the latest list: a tokio watch channel; None before the first
    let mut changes = discovery.changes(); // or typed: changes.next().await tells what was added, removed, updated
    let source = discovery.view().borrow().as_ref().map(|view| view.source); // live, or stale since when
    // ANCHOR_END: following
    lists.changed().await?;
    changes.next().await;
    Ok(())
}

/// What is a request to somebody, for whoever reads.
async fn ask(picked: &Picked) -> anyhow::Result<String> {
    anyhow::bail!("{} is not asked", picked.id)
}

async fn balancing(registry: Registry, time: ServiceName) -> anyhow::Result<()> {
    let discovery = registry.follow(&time);
    // ANCHOR: balancing
    use loadbalance::{Balancer, Request, WeightedRoundRobin};

    // Keep the discovery: it brings the lists. Clone the balancer to share it.
    let balancer = Balancer::follow(discovery.instances(), WeightedRoundRobin::from_anywhere());
    balancer.ready().await?; // waits for the first whole list; put a timeout around it
    let mut tried = std::collections::HashSet::new();
    let answer = loop {
        let picked = balancer.pick(&Request::default().tried(&tried))?; // an error when nobody is left, which says why
        // picked.data.address is None for an instance behind a message broker; host() and port() of it are for a TcpStream.
        // ask() is yours; the request is in flight until `picked` is dropped.
        match ask(&picked).await {
            Ok(answer) => break answer,
            Err(_) => {
                tried.insert(picked.id.clone());
                picked.failed(); // and the next one, please
            }
        }
    };
    // ANCHOR_END: balancing
    Ok(())
}

/// What only the leader does, for whoever reads.
async fn write(term: Term, what: u64) -> anyhow::Result<()> {
    anyhow::bail!("{what} is not written in term {term}")
}

fn next() -> u64 {
    0
}

async fn leading(keeper: Keeper, time: ServiceName) -> anyhow::Result<()> {
    // ANCHOR: leading
    use leader::{Election, Root};

    let election = Election::new(keeper.sessions(), Root::default());
    let candidacy = election.campaign(&time, NodeData::at("10.0.0.7:8897".parse()?))?;
    let leadership = candidacy.elected().await?; // waits for its turn
    while leadership.holds() {
        write(leadership.term(), next()).await?; // the fencing token: every later leader has a greater one
    }
    candidacy.resign().await; // dropping the candidacy resigns, too: keep it while you lead

    let master = election.master(&time).await?; // who leads: asked once …
    let observer = election.observe(&time); // … or followed
    observer.ready().await?; // waits for the first answer
    let master = observer.master(); // from memory; None: nobody stands for election
    // ANCHOR_END: leading
    Ok(())
}

async fn standing(keeper: Keeper, time: ServiceName) -> anyhow::Result<()> {
    use leader::{Election, Root};
    // ANCHOR: standing
    let election = Election::new(keeper.sessions(), Root::default());
    let candidacy = election.campaign(&time, NodeData::at("10.0.0.7:8897".parse()?))?; // returns at once
    let leadership = candidacy.elected().await?; // waits for its turn
    while leadership.holds() {
        write(leadership.term(), next()).await?;
    }
    // ANCHOR_END: standing
    Ok(())
}

async fn with_other_libraries(
    registry: Registry,
    time: ServiceName,
    here: NodeData,
    balancer: Balancer,
    readiness: watch::Receiver<bool>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let (listener, router) = (TcpListener::bind("127.0.0.1:0").await?, axum::Router::new());
    // ANCHOR: adapters
    use std::time::Duration;
    use tonic_health::pb::health_client::HealthClient;
    use tower::{Service, ServiceExt};

    let mut client = adapters::hyper::client(balancer.clone()); // a service of tower: HTTP/1.1, and any layer around it
    let answer = client.ready().await?.call(http::Request::get("/time").body(Empty::<Bytes>::new())?).await?;

    let channel = adapters::tonic::Channel::new(balancer); // for the clients that tonic generates
    let mut client = HealthClient::new(channel.wait(Duration::from_secs(5))); // waits up to 5 s while nobody is registered

    // Registered while it is ready. To leave: weight 0, 2 s for clients to hear of it, no more connections, finish what runs.
    let server = adapters::axum::Server::new(move || registry.announce(&time, here.clone())).ready(readiness);
    server.serve(listener, router, stop).await?;
    // ANCHOR_END: adapters
    client.check(tonic_health::pb::HealthCheckRequest::default()).await?;
    Ok(())
}

async fn over_http(time: ServiceName) -> anyhow::Result<()> {
    // ANCHOR: http
    use registry::http::Gateways;

    let gateways = Gateways::builder("http://10.0.0.5:8480,http://10.0.0.6:8480").token("…").build()?;
    let discovery = gateways.follow(&time); // lists, views, changes as on ZooKeeper: a balancer takes them as they are
    let here = gateways.announce(&time, NodeData::at("10.0.0.7:8897".parse()?))?; // renewed until it is withdrawn
    // ANCHOR_END: http
    Ok(())
}

async fn testing() {
    // ANCHOR: testing
    let zk = FakeZk::default();
    let keeper = Keeper::start(zk.client());
    // … what is tested …
    for session in zk.sessions() {
        zk.expire(session);
    }
    zk.until(|zk| zk.get("/headkeeper/hello/instances/127.0.0.1:9001").is_some()).await;
    // ANCHOR_END: testing
}

fn permitted(password: String) -> anyhow::Result<()> {
    // ANCHOR: permissions
    use zk_session::{Acl, Reader, ZooKeeper};

    let zookeeper = ZooKeeper::builder("zk1:2181,zk2:2181,zk3:2181")
        .digest("registry", &password)
        .acl(Acl::Creator { readers: Some(Reader::Anyone) })
        .build()?;
    // ANCHOR_END: permissions
    Ok(())
}
