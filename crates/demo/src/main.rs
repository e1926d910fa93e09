//! One program that shows Headkeeper at work: a server, a client, an operator's view, an agent for scripts, and a tour.

mod agent;
mod bench;
mod broker;
mod candidate;
mod choice;
mod client;
mod connection;
#[cfg(test)]
mod hostile;
mod ledger;
mod legacy;
mod many;
mod master;
mod mq;
mod node;
mod nodes;
mod output;
mod player;
mod registered;
mod server;
mod table;
mod tour;
mod withdrawal;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use cli::ending::code;
use cli::teaching::Teach;

use crate::connection::Connection;

/// Servers that register themselves in ZooKeeper, clients that find them, and what happens when things break.
#[derive(Debug, Parser)]
#[command(name = "demo", version, propagate_version = true, after_help = EXAMPLES)]
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
  demo completions bash                                commands and flags, completed by a shell

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
    #[command(flatten)]
    Teach(Teach),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    code(run(cli.command))
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
            Self::Node(_)
            | Self::Tour(_)
            | Self::Legacy(_)
            | Self::Ledger(_)
            | Self::Bench(_)
            | Self::Teach(_) => None,
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    command.connection().map_or(Ok(()), Connection::check_flags)?;
    cli::ending::run(async {
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
            Command::Teach(what) => what.run(Cli::command()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_teaches_by_an_example_and_says_what_it_ends_with() {
        assert_eq!(cli::teaching::without_lessons(&Cli::command()), Vec::<String>::new());
    }

    #[test]
    fn it_understands_what_pages_say() {
        assert_eq!(pages::misunderstood(&Cli::command()).unwrap(), Vec::<String>::new());
    }
}
