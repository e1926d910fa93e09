//! A client that asks somebody every half second, and somebody else where that fails.

use std::collections::HashSet;
use std::error::Error;
use std::pin::pin;
use std::time::Duration;

use loadbalance::{Balancer, PickError, Request, RoundRobin};
use proto::{Instance, ServiceName};
use registry::{Native, Registry};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tracing_subscriber::filter::LevelFilter;
use zk_session::{Keeper, ZooKeeper};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_max_level(LevelFilter::INFO).with_writer(std::io::stderr).init();
    let servers = std::env::var("ZK_CONNECT").map_err(|_| "set ZK_CONNECT to 127.0.0.1:2181 or the like")?;
    let keeper = Keeper::start(ZooKeeper::builder(&servers).build()?);
    let hello = ServiceName::parse("hello")?;

    // The discovery brings the lists: keep it.
    let discovery = Registry::new(keeper.sessions(), Native::default()).follow(&hello);
    let balancer = Balancer::follow(discovery.instances(), RoundRobin::from_anywhere());
    // One for all rounds: Ctrl-C between two of them counts, too.
    let mut stop = pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            () = round(&balancer) => {}
            stopped = &mut stop => break stopped?,
        }
    }
    keeper.close().await;
    Ok(())
}

async fn round(balancer: &Balancer) {
    match request(balancer).await {
        Ok(answer) => print!("{answer}"),
        Err(nobody) => println!("no answer: {nobody}"),
    }
    sleep(Duration::from_millis(500)).await;
}

/// Asks one after the other until somebody answers. For a while after a crash the list has who is not there any more.
async fn request(balancer: &Balancer) -> Result<String, PickError> {
    let mut tried = HashSet::new();
    loop {
        let request = Request::default().tried(&tried);
        let picked = balancer.pick_within(Duration::from_secs(5), &request).await?;
        match timeout(Duration::from_secs(5), ask(&picked)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(_)) | Err(_) => {
                tried.insert(picked.id.clone());
                picked.failed();
            }
        }
    }
}

async fn ask(instance: &Instance) -> std::io::Result<String> {
    let address = instance.data.address.as_ref().ok_or(std::io::ErrorKind::AddrNotAvailable)?;
    let mut connection = TcpStream::connect((address.host(), address.port())).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    Ok(answer)
}
