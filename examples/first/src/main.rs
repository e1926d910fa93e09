//! A server, a client and a leader, on a ZooKeeper that is inside this process.

use std::error::Error;

use leader::{Election, Root};
use loadbalance::{Balancer, Request, RoundRobin};
use proto::{NodeData, ServiceName};
use registry::{Native, Registry};
use zk_session::Keeper;
use zk_session::fake::FakeZk;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let zk = FakeZk::default();
    let hello = ServiceName::parse("hello")?;

    // Two servers. Each would be a program of its own: a session, and an instance that is registered in it.
    let (one, two) = (Keeper::start(zk.client()), Keeper::start(zk.client()));
    let at_one = NodeData::at("127.0.0.1:9001".parse()?);
    let at_two = NodeData::at("127.0.0.1:9002".parse()?);
    let here = Registry::new(one.sessions(), Native::default()).announce(&hello, at_one.clone())?;
    let there = Registry::new(two.sessions(), Native::default()).announce(&hello, at_two.clone())?;
    here.registered().await?;
    there.registered().await?;

    // A client: it follows the service, and picks an instance for each request.
    let client = Keeper::start(zk.client());
    let discovery = Registry::new(client.sessions(), Native::default()).follow(&hello);
    let balancer = Balancer::follow(discovery.instances(), RoundRobin::default());
    balancer.ready().await?;
    for request in 1..=4 {
        let picked = balancer.pick(&Request::default())?;
        println!("request {request} goes to {}", picked.id);
    }

    // A leader: both stand for election, and the first in the line leads.
    let first = Election::new(one.sessions(), Root::default()).campaign(&hello, at_one)?;
    let leadership = first.elected().await?;
    let second = Election::new(two.sessions(), Root::default()).campaign(&hello, at_two)?;
    println!("{} leads: {}", first.id(), leadership.holds());

    // Its program ends, and its session with it. The other one leads, in a greater term, and the client has the news.
    one.close().await;
    println!("{} leads: {}", first.id(), leadership.holds());
    let next = second.elected().await?;
    println!(
        "{} leads: {}, in a greater term: {}",
        second.id(),
        next.holds(),
        next.term() > leadership.term()
    );
    let mut lists = discovery.instances();
    lists.wait_for(|list| list.as_ref().is_some_and(|list| list.len() == 1)).await?;
    println!("still there: {}", there.id());
    Ok(())
}
