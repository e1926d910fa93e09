//! The systems that are replaced, one after the other: each with what plays its old programs, and ours beside them.

mod broker;
mod flat;
mod framework;
mod joining;
mod stage;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args as ClapArgs;
use cli::ending::INTERRUPTED;
use cli::log::Verbosity;
use cli::output::tell;
use cli::signals::Stop;
use cli::zookeeper::{Access, Security};

use self::stage::Stage;
use crate::connection::Connection;
use crate::table::table;

/// The tick of the ZooKeeper: sessions expire at whole ticks.
const TICK: Duration = Duration::from_millis(200);

/// How long ZooKeeper waits for a process that fell silent, in milliseconds: as little as is quick to watch.
const SESSION_MS: u64 = 2_000;

/// See [`crate::Command::Legacy`].
#[derive(ClapArgs, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    log: Verbosity,
}

const EXAMPLES: &str = "\
Example:
  demo legacy    with a ZooKeeper and a Mosquitto of its own, whatever ZK_CONNECT says

It shows time servers in the flat layout, a service with a master and normal instances, nodes that join a cluster, and services behind \
a message broker: what speaks as the old programs do, and ours beside it. The commands that it prints are those of one process each; \
to try them, name a ZooKeeper of yours by --zk. Nothing that it started stays behind.

Exit codes: 0 all was as it should be; 1 something was not, or could not be started; 2 not understood (nothing was started); 130 stopped before \
its end.";

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    args.log.start("error");
    let mut stop = Stop::listen()?;
    let stage = tokio::select! {
        stage = set(&args) => stage?,
        () = stop.requested() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    let shown = tokio::select! {
        shown = show(&stage) => Some(shown),
        () = stop.requested() => None,
    };
    let left = stage.clear().await;
    let Some(shown) = shown else { return Ok(ExitCode::from(INTERRUPTED)) };
    shown.context("it did not go as it should")?;
    left?;
    Ok(ExitCode::SUCCESS)
}

async fn set(args: &Args) -> anyhow::Result<Stage> {
    let server = zk_local::Server::builder().tick(TICK).progress(true).start().await;
    let server = server.context("there is no ZooKeeper to show it on")?;
    let connection = Connection {
        access: Access::new(server.connect_string(), SESSION_MS, Security::default()),
        log: args.log,
        ..Connection::default()
    };
    let said = format!("ZooKeeper: started one at {}", connection.access.zk);
    let stage = Stage::set(connection, server);
    stage.say(&said).await?;
    Ok(stage)
}

async fn show(stage: &Stage) -> anyhow::Result<()> {
    let rows = [
        ["time servers".to_owned(), "--layout flat".to_owned(), flat::show(stage).await?],
        ["master/normal".to_owned(), "--layout master-normal".to_owned(), framework::show(stage).await?],
        ["cluster join".to_owned(), "demo node".to_owned(), joining::show(stage).await?],
        ["message broker".to_owned(), "demo mq-server, mq-client".to_owned(), broker::show(stage).await?],
    ];
    stage.say("all four, side by side:").await?;
    tell(table(["SYSTEM", "HERE", "SHOWN"], &rows)).await
}
