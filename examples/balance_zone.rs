//! Staying in one's zone: who is near is picked while there is somebody near, else anybody. On a fake ZooKeeper.
//!
//! `cargo run -p examples --example balance_zone`

use std::time::Duration;

use loadbalance::{Balancer, Filter, PickError, Picked, Request, RoundRobin};
use proto::{NodeData, ServiceName};
use registry::{Native, Registry};
use tokio::time::timeout;
use zk_session::Keeper;
use zk_session::fake::FakeZk;

/// No state is waited for longer.
const LIMIT: Duration = Duration::from_secs(30);

/// Two balancers over the lists of one discovery.
struct Near {
    here: Balancer,
    anywhere: Balancer,
}

impl Near {
    /// Somebody here. With the request's `tried`, second tries leave the zone once everybody here was tried.
    fn pick(&self, request: &Request<'_>) -> Result<Picked, PickError> {
        self.here.pick(request).or_else(|_| self.anywhere.pick(request))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let keeper = Keeper::start(FakeZk::default().client());
    let registry = Registry::new(keeper.sessions(), Native::default());
    let time = ServiceName::parse("time")?;
    // Where an instance is stands in its metadata. `Filter::version` and `Filter::metadata` ask for other things there.
    let announce = |address: &str, zone| -> anyhow::Result<_> {
        let data = NodeData::at(address.parse()?).with_metadata("zone", zone);
        Ok(registry.announce(&time, data)?)
    };
    let far = announce("10.1.0.1:80", "a")?;
    let near = [announce("10.2.0.1:80", "b")?, announce("10.2.0.2:80", "b")?];

    // The discovery feeds both: keep it. A filter is asked once for each list, and never for a pick.
    let discovery = registry.follow(&time);
    let here = Balancer::builder(RoundRobin::default()).filter(Filter::zone("b"));
    let balancer = Near {
        here: here.follow(discovery.instances()),
        anywhere: Balancer::follow(discovery.instances(), RoundRobin::default()),
    };
    timeout(LIMIT, balancer.anywhere.wait_for(|all| all.len() == 3)).await??;
    timeout(LIMIT, balancer.here.wait_for(|all| all.len() == 2)).await??;
    for _ in 0..3 {
        println!("near: {}", balancer.pick(&Request::default())?.id);
    }

    for instance in near {
        instance.withdraw().await;
    }
    timeout(LIMIT, balancer.here.wait_for(|all| all.is_empty())).await??;
    timeout(LIMIT, balancer.anywhere.wait_for(|all| all.len() == 1)).await??;
    println!("{}", balancer.here.explain(&Request::default()));
    println!("far: {}", balancer.pick(&Request::default())?.id);
    far.withdraw().await;
    keeper.close().await;
    Ok(())
}
