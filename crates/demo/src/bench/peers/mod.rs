//! Our side of comparisons with other ZooKeeper libraries: commands that a driver starts as it starts theirs.
//!
//! The driver writes the instances, with the JSON that Curator writes, changes them and counts what the server received; the
//! commands tell when `registry::Discovery` shows a change. Nothing here makes up for what the library does or leaves out.

mod cold_watch;
mod curator;
mod watch;

use std::process::ExitCode;

use clap::Subcommand;
use cli::flags::number;
use cli::log::Verbosity;
use cli::zookeeper::{Access, Security, servers};
use proto::{Root, ServiceName};
use registry::Registry;
use zk_session::Sessions;

use self::curator::Curator;
use super::MOST;
use super::stage::SESSION;
use crate::connection::Connection;

const EXAMPLES: &str = "\
Examples, a ZooKeeper on 127.0.0.1:2181 and ten instances below /services/time:
  demo bench watch 127.0.0.1:2181 /services time 10 50
  demo bench coldwatch 127.0.0.1:2181 /services time 10 7

Exit codes: 0 done, 1 failed, 2 not understood (nothing was sent).";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Be a driver's watcher: follow a service in many sessions, and say when its size changes
    #[command(after_help = EXAMPLES)]
    Watch(watch::Args),
    /// Say how long it takes in a new session until all instances of a service are known, in milliseconds
    #[command(name = "coldwatch", after_help = EXAMPLES)]
    ColdWatch(cold_watch::Args),
}

/// What both commands are told.
#[derive(clap::Args, Debug)]
struct Place {
    /// ZooKeeper's servers
    #[arg(value_name = "HOST:PORT[,...]", value_parser = servers)]
    hosts: String,
    /// The directory of all services
    #[arg(value_name = "/BASE")]
    base: Root,
    /// The service, whose instances are nodes with Curator's JSON
    service: ServiceName,
    /// How many instances there are
    #[arg(value_parser = number::<usize>(0..=MOST.into()))]
    instances: usize,
}

impl Place {
    /// A session of its own for whoever follows.
    fn connection(&self) -> Connection {
        let session_ms = SESSION.as_millis().try_into().unwrap_or(u64::MAX);
        let access = Access::new(self.hosts.clone(), session_ms, Security::default());
        Connection { access, ..Connection::default() }
    }

    fn registry(&self, sessions: Sessions) -> Registry {
        Registry::new(sessions, Curator { base: self.base.clone() })
    }
}

pub(crate) async fn run(command: Command) -> anyhow::Result<ExitCode> {
    Verbosity::default().start("warn");
    match command {
        Command::Watch(args) => watch::run(args).await?,
        Command::ColdWatch(args) => cold_watch::run(args).await?,
    }
    Ok(ExitCode::SUCCESS)
}
