//! Work that runs only while leading, and goes on in another process when that one dies, on a fake ZooKeeper.
//!
//! `cargo run -p examples --example leader_work`

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use leader::{Election, Error, Leadership, Root};
use proto::{NodeData, ServiceName};
use tokio::time::sleep;
use zk_session::Keeper;
use zk_session::fake::{FakeClient, FakeZk};

const STEPS: u32 = 100;

/// One worker: it works while it leads, until the work is done.
async fn worker(name: &str, client: FakeClient, done: Arc<AtomicU32>) -> Result<&str, Error> {
    let keeper = Keeper::start(client);
    let election = Election::new(keeper.sessions(), Root::default());
    let service = ServiceName::parse("nightly").map_err(|error| Error::Invalid(error.to_string().into()))?;
    let candidacy = election.campaign(&service, NodeData::behind_broker(name))?;

    // Called again whenever this process leads anew, so it looks how far the work is.
    let work = |leadership: Leadership| {
        let done = done.clone();
        async move {
            println!("{name} works from step {} on", done.load(Ordering::SeqCst));
            while done.load(Ordering::SeqCst) < STEPS {
                if !leadership.holds() {
                    // To return means that the work is done. Who leads no more waits to be dropped, and is called again.
                    pending::<()>().await;
                }
                done.fetch_add(1, Ordering::SeqCst);
                sleep(Duration::from_millis(20)).await;
            }
        }
    };
    candidacy.run_while_leader(work).await?;
    keeper.close().await;
    Ok(name)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let zk = FakeZk::with_timeout(Duration::from_secs(1));
    let done = Arc::new(AtomicU32::new(0));
    let (one, two) = (zk.client(), zk.client());
    let first = tokio::spawn(worker("one", one.clone(), done.clone()));
    while done.load(Ordering::SeqCst) == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    let second = tokio::spawn(worker("two", two, done.clone()));

    while done.load(Ordering::SeqCst) < STEPS / 2 {
        sleep(Duration::from_millis(5)).await;
    }
    println!("one is cut off");
    one.set_reachable(false);
    println!("{} finished", second.await??);
    first.abort();
    println!("{} steps were done", done.load(Ordering::SeqCst));
    Ok(())
}
