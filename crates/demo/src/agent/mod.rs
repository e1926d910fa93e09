//! One process that an operator's script, a supervisor or a fault test can drive, and that says what it believes.

mod acting;
mod commands;
mod events;
mod lead;
mod limiter;
mod place;
mod register;
mod session;
mod voice;
mod watch;

use std::process::ExitCode;

use clap::{Args as ClapArgs, Subcommand};
use proto::{InstanceId, ServiceName};

use crate::connection::Connection;

/// See [`crate::Command::Agent`].
#[derive(ClapArgs, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    role: Role,
}

const EXAMPLES: &str = r#"Example, two terminals and a ZooKeeper on 127.0.0.1:2181:
  demo agent watch    --service time --name me
  demo agent register --service time --name a --port 8897

On stdout one JSON object per line, with what happened as "ev" and the time in nanoseconds of the machine's monotonic clock as "t"; the last is "bye". On stdin one JSON object per line:
  {"cmd":"update","weight":3}   {"cmd":"update","port":8898}   {"cmd":"deregister"}   {"cmd":"tasks"}   {"cmd":"quit"}
One that stands for election (demo agent lead) takes {"cmd":"resign"} instead of deregister. SIGTERM and SIGINT end it as quit does. The end of stdin means nothing.

Exit codes: 0 ended as it was asked to; 1 failed; 2 not understood (nothing was sent)."#;

const LEAD_EXAMPLES: &str = r#"Example, three terminals and a ZooKeeper on 127.0.0.1:2181; kill the one that leads with SIGKILL, or stop it with Ctrl-Z:
  demo ledger --listen 127.0.0.1:9000
  demo agent lead --service time --name a --ledger 127.0.0.1:9000
  demo agent lead --service time --name b --ledger 127.0.0.1:9000

On stdout one JSON object per line, as in the other roles. "leader-acquired" has the fencing token, which is greater for every later leader; it comes before the first act, and "leader-lost" after the last. On stdin one JSON object per line:
  {"cmd":"resign"}   {"cmd":"update","weight":3}   {"cmd":"update","port":8898}   {"cmd":"tasks"}   {"cmd":"quit"}
SIGTERM and SIGINT end it as quit does: it steps down, and the next one leads at once. The end of stdin means nothing.

Exit codes: 0 ended as it was asked to; 1 failed; 2 not understood (nothing was sent)."#;

#[derive(Debug, Subcommand)]
enum Role {
    /// Be an instance of a service
    #[command(after_help = EXAMPLES)]
    Register(register::Args),
    /// Follow the instances of a service
    #[command(after_help = EXAMPLES)]
    Watch(watch::Args),
    /// Stand for election among the processes of a service, and act on a ledger while leading
    #[command(after_help = LEAD_EXAMPLES)]
    Lead(lead::Args),
}

/// Who this is, in every role.
#[derive(ClapArgs, Debug)]
struct Identity {
    /// The service
    #[arg(long, value_name = "NAME")]
    service: ServiceName,

    /// Who this process is: the id in the path of the node that it makes
    #[arg(long, value_name = "ID")]
    name: InstanceId,

    #[command(flatten)]
    connection: Connection,
}

impl Args {
    /// Which ZooKeeper, and where in it.
    pub(crate) fn connection(&self) -> &Connection {
        let (Role::Register(register::Args { who, .. })
        | Role::Watch(watch::Args { who })
        | Role::Lead(lead::Args { who, .. })) = &self.role;
        &who.connection
    }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    args.connection().log.start("warn");
    match args.role {
        Role::Register(args) => register::run(args).await?,
        Role::Watch(args) => watch::run(args).await?,
        Role::Lead(args) => lead::run(args).await?,
    }
    Ok(ExitCode::SUCCESS)
}
