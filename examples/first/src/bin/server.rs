//! A server that registers, answers everybody who connects, and says so once a second while it leads.

use std::error::Error;
use std::time::Duration;

use leader::{Candidacy, Election, Root};
use proto::{NodeData, ServiceName};
use registry::{Native, Registry};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};
use tracing_subscriber::filter::LevelFilter;
use zk_session::{Keeper, ZooKeeper};

/// How long it serves on once it is told to end: clients hear within milliseconds, or as soon as they are connected to ZooKeeper again.
const HEARD: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Without this nothing of what the libraries say is seen.
    tracing_subscriber::fmt().with_max_level(LevelFilter::INFO).with_writer(std::io::stderr).init();
    let servers = std::env::var("ZK_CONNECT").map_err(|_| "set ZK_CONNECT to 127.0.0.1:2181 or the like")?;
    let listen = std::env::args().nth(1).ok_or("where to listen is missing: 127.0.0.1:9001 for example")?;
    let bound = TcpListener::bind(&listen).await;
    let listener = bound.map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    let address = listener.local_addr()?.to_string();

    // Nothing here waits for ZooKeeper: without it the program starts, serves, and is registered later.
    let keeper = Keeper::start(ZooKeeper::builder(&servers).build()?);
    let hello = ServiceName::parse("hello")?;
    let data = NodeData::at(address.parse()?);
    let here = Registry::new(keeper.sessions(), Native::default()).announce(&hello, data.clone())?;
    let candidacy = Election::new(keeper.sessions(), Root::default()).campaign(&hello, data)?;

    let mut work = Box::pin(async {
        tokio::select! {
            served = serve(listener, &address) => served.map_err(Box::<dyn Error>::from),
            ended = lead(&candidacy) => ended.map_err(Box::from),
        }
    });
    // Ctrl-C, or SIGTERM, which a deploy sends.
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = &mut work => ended?,
        stopped = ctrl_c() => stopped?,
        _ = terminated.recv() => {}
    }

    // In order: clients are told, and whoever has not heard yet is served; then the next one leads, and the session ends. All of it is
    // bounded, for ZooKeeper may be away. Where a newer process has our place there is nothing to drain, and clients have to hear of that.
    let _ = here.drain();
    let _ = timeout(HEARD, work).await;
    let leave = async { (candidacy.resign().await, here.withdraw().await) };
    let _ = timeout(Duration::from_secs(1), leave).await;
    keeper.close().await;
    Ok(())
}

async fn serve(listener: TcpListener, address: &str) -> std::io::Result<()> {
    loop {
        let (mut connection, _) = listener.accept().await?;
        let answer = format!("hello from {address}\n");
        tokio::spawn(async move { connection.write_all(answer.as_bytes()).await });
    }
}

/// Waits for its turn, acts while it leads, and waits again.
async fn lead(candidacy: &Candidacy) -> Result<(), leader::Error> {
    loop {
        let leadership = candidacy.elected().await?;
        // The guard is asked right before each act. What is acted upon should get the term as well, and refuse older ones.
        while leadership.holds() {
            println!("leading in term {}", leadership.term());
            sleep(Duration::from_secs(1)).await;
        }
    }
}
