//! A server of axum that is in the list while it is healthy, and leaves in order; on real ZooKeeper servers, which ZK_CONNECT names,
//! or on a fake one without that.
//!
//! `cargo run -p examples --example axum_server`; with ZK_CONNECT=127.0.0.1:2181 it stays until Ctrl-C or SIGTERM.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use adapters::axum::Server;
use axum::Router;
use axum::routing::{get, post};
use proto::{NodeData, ServiceName};
use registry::{InstanceChange, Native, Registry};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Whether what this server needs is there: a database, a cache that is warm.
static HEALTHY: AtomicBool = AtomicBool::new(true);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let is_real = std::env::var_os("ZK_CONNECT").is_some();
    let keeper = examples::keeper()?;
    let registry = Registry::new(keeper.sessions(), Native::default());
    let time = ServiceName::parse("example-time")?;
    let discovery = registry.follow(&time);
    let mut changes = discovery.changes();

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let here = NodeData::at(listener.local_addr()?.to_string().parse()?).with_weight(3);
    match is_real {
        true => println!("try: curl -X POST http://{}/sick, and /well", listener.local_addr()?),
        false => println!("it falls sick by itself, and ends; with ZK_CONNECT it stays, for you to try"),
    }
    let router = Router::new()
        .route("/now", get(async || "noon"))
        .route("/sick", post(async || HEALTHY.store(false, Relaxed)))
        .route("/well", post(async || HEALTHY.store(true, Relaxed)));

    // Ctrl-C, or SIGTERM, which a deploy sends; on a fake ZooKeeper nobody else can come, and this shows one change and ends.
    let mut terminated = signal(SignalKind::terminate())?;
    let stop = async {
        let shown = async {
            while let Some(told) = changes.next().await {
                told.iter().for_each(show);
                let is_drained = told.iter().any(|change| change.instance().data.weight == 0);
                if !is_real {
                    if is_drained {
                        return;
                    }
                    HEALTHY.store(false, Relaxed);
                }
            }
        };
        tokio::select! {
            () = shown => {}
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
        }
    };
    let server = Server::new(move || registry.announce(&time, here.clone()))
        .probe(Duration::from_millis(500), async || HEALTHY.load(Relaxed))
        .finish(Duration::from_secs(30));
    let ended = server.serve(listener, router, stop).await?;
    println!("{} connections were cut off", ended.cut);
    keeper.close().await;
    Ok(())
}

fn show(change: &InstanceChange) {
    let instance = change.instance();
    println!("{} with weight {}", instance.id, instance.data.weight);
}
