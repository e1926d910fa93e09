//! One program that shows Headkeeper at work: a server, a client, an operator's view, an agent for scripts, and a tour.

mod agent;
mod bench;
mod broker;
mod candidate;
mod choice;
mod client;
mod connection;
mod ending;
mod flags;
#[cfg(test)]
mod hostile;
mod ledger;
mod legacy;
mod logging;
mod master;
mod mq;
mod node;
mod nodes;
mod output;
mod player;
mod registered;
mod server;
mod stop;
mod table;
mod tour;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::connection::{Connection, Usage};
use crate::output::{NobodyReads, complain};

/// How long what still runs when a command is done may hold up the end of the process.
const LEFTOVERS: Duration = Duration::from_millis(50);

/// Servers that register themselves in ZooKeeper, clients that find them, and what happens when things break.
#[derive(Debug, Parser)]
#[command(name = "demo", version, about, propagate_version = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  demo tour                                            all of it, in half a minute
  demo server --listen 127.0.0.1:8897 --service time   a server that registers itself
  demo client --service time --requests 5              a client that finds it
  demo client --algorithm weight-round-robin           the same, by weight
  demo nodes --service time --watch                    what is registered, as it changes
  demo master --service time --watch                   who leads, as it changes
  demo node --make-master-on-error                     the first node of a cluster without ZooKeeper

Exit codes: 0 done, 1 failed, 2 not understood (nothing was sent), 130 stopped before it was done.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Be a time server that registers itself
    Server(server::Args),
    /// Find time servers and ask them, chosen by an algorithm
    Client(client::Args),
    /// List what is registered
    Nodes(nodes::Args),
    /// Say who leads a service
    Master(master::Args),
    /// Be a node that joins a cluster over TCP, or starts one; no ZooKeeper
    Node(node::Args),
    /// See all of it in half a minute, with nothing prepared
    Tour(tour::Args),
    /// See the old Go systems, each with ours beside it, with nothing prepared
    Legacy(legacy::Args),
    /// Be a server behind a message broker: addressed by its ServerUniqueCode
    MqServer(mq::server::Args),
    /// Find servers behind a message broker, and stick to one of them
    MqClient(mq::client::Args),
    /// Be a resource that refuses outdated leaders, for `agent lead --ledger`
    Ledger(ledger::Args),
    /// Measure what is done on a real ZooKeeper, beside the same by the bare client
    Bench(bench::Args),
    /// Drive one process by lines on stdin and see on stdout what it believes, for scripts and fault tests
    Agent(agent::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(code) => code,
        // As when `head` has seen enough: whoever asked does not want more.
        Err(error) if error.is::<NobodyReads>() => ExitCode::SUCCESS,
        Err(error) if error.is::<Usage>() => {
            complain(&format!("error: {error}\n\nFor more information, try '--help'."));
            ExitCode::from(2)
        }
        Err(error) => {
            complain(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

impl Command {
    /// The flags of commands that are told which ZooKeeper, and where in it.
    fn connection(&self) -> Option<&Connection> {
        match self {
            Self::Server(args) => Some(&args.connection),
            Self::Client(args) => Some(&args.connection),
            Self::Nodes(args) => Some(&args.connection),
            Self::Master(args) => Some(&args.connection),
            Self::MqServer(args) => Some(&args.connection),
            Self::MqClient(args) => Some(&args.connection),
            Self::Agent(args) => Some(args.connection()),
            Self::Node(_) | Self::Tour(_) | Self::Legacy(_) | Self::Ledger(_) | Self::Bench(_) => None,
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    command.connection().map_or(Ok(()), Connection::coherent)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let outcome = runtime.block_on(async {
        match command {
            Command::Server(args) => server::run(args).await,
            Command::Client(args) => client::run(args).await,
            Command::Nodes(args) => nodes::run(args).await,
            Command::Master(args) => master::run(args).await,
            Command::MqServer(args) => mq::server::run(args).await,
            Command::MqClient(args) => mq::client::run(args).await,
            Command::Ledger(args) => ledger::run(args).await,
            Command::Node(args) => node::run(args).await,
            Command::Tour(args) => tour::run(args).await,
            Command::Legacy(args) => legacy::run(args).await,
            Command::Bench(args) => bench::run(args).await,
            Command::Agent(args) => agent::run(args).await,
        }
    });
    runtime.shutdown_timeout(LEFTOVERS);
    outcome
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_fit_together() {
        Cli::command().debug_assert();
    }
}
