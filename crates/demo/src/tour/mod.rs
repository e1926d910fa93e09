//! All of it in half a minute: servers, clients, algorithms, who leads, a death and a return, as separate processes.

mod cast;
mod console;
mod shares;
mod stage;
mod story;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args as ClapArgs;
use cli::ending::INTERRUPTED;
use cli::flags::number;
use cli::log::Verbosity;
use cli::output::{complain, say};
use cli::signals::Stop;
use cli::zookeeper::{Access, Security, servers};
use proto::ServiceName;

use self::stage::Stage;
use crate::connection::Connection;

/// The tick of a ZooKeeper of our own: sessions expire at whole ticks.
const TICK: Duration = Duration::from_millis(200);

/// See [`crate::Command::Tour`].
#[derive(ClapArgs, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A ZooKeeper that runs already; without it one is started here, and installed where that is needed and possible
    #[arg(long, env = "ZK_CONNECT", value_name = "HOST:PORT[,...][/CHROOT]", value_parser = servers)]
    zk: Option<String>,

    /// How long ZooKeeper waits for a process that fell silent, in milliseconds
    #[arg(long, value_name = "N", default_value_t = 4_000, allow_negative_numbers = true, value_parser = number::<u64>(1_000..=20_000))]
    session_ms: u64,

    /// Stay up at the end, until Ctrl-C, with the console of a gateway to look at where its program is beside this one
    #[arg(long)]
    keep: bool,

    #[command(flatten)]
    security: Security,

    #[command(flatten)]
    log: Verbosity,
}

const EXAMPLES: &str = "\
Examples:
  demo tour                               with a ZooKeeper of its own
  demo tour --keep                        and stay up, to be played with from another terminal
  ZK_CONNECT=127.0.0.1:2181 demo tour     with yours

It starts three time servers (8897, 8898, 8899, or other ports where these are taken) with the weights 5, 1 and 1 and a client, \
shows three algorithms that choose a server, kills the server that leads, and looks whether all was as promised. Nothing that it started stays behind.

Exit codes: 0 all was as promised; 1 something was not, or could not be started; 2 not understood (nothing was started); 130 stopped before its end.";

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let theirs = args.zk.as_deref().map(|zk| connection(zk, &args, args.security.clone()));
    if let Some(theirs) = &theirs {
        theirs.check_flags()?;
    }
    args.log.start("error");
    let mut stop = Stop::listen()?;
    let mut stage = tokio::select! {
        stage = set(&args, theirs) => stage?,
        () = stop.requested() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    let told = tokio::select! {
        told = story::tell(&mut stage, args.keep) => Some(told),
        () = stop.requested() => None,
    };
    let interrupted = told.is_none();
    let staying = stage.is_staying();
    if interrupted {
        // Nobody has to hear it.
        say(stage.line("stopping everything"));
    }
    // Whatever happened: what was started is stopped.
    let left = stage.clear().await;
    told.transpose().context("the tour did not go as promised")?;
    left?;
    if interrupted && !staying {
        complain("the tour was stopped before its end");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    Ok(ExitCode::SUCCESS)
}

/// Brings up ZooKeeper, or finds the one that was named.
async fn set(args: &Args, theirs: Option<Connection>) -> anyhow::Result<Stage> {
    let session = Duration::from_millis(args.session_ms);
    match theirs {
        Some(theirs) => {
            let zk = theirs.access.zk.clone();
            // Somebody else's: servers of theirs may be called time.
            let service = ServiceName::parse(&format!("time-tour-{}", std::process::id()))?;
            let stage = Stage::set(theirs, service, None)?;
            stage.say(&format!("ZooKeeper: the one at {zk}, as ZK_CONNECT or --zk says")).await?;
            Ok(stage)
        }
        None => {
            let server = zk_local::Server::builder()
                .tick(TICK)
                .max_session(session.max(TICK * 20))
                .progress(true)
                .start()
                .await
                .context("there is no ZooKeeper for the tour")?;
            let (zk, pid) = (server.connect_string(), server.pid().unwrap_or_default());
            let stage = Stage::set(
                connection(&zk, args, Security::default()),
                ServiceName::parse("time")?,
                Some(server),
            )?;
            stage.say(&format!("ZooKeeper: started one at {zk} (pid {pid})")).await?;
            Ok(stage)
        }
    }
}

fn connection(zk: &str, args: &Args, security: Security) -> Connection {
    Connection {
        access: Access::new(zk.to_owned(), args.session_ms, security),
        log: args.log,
        ..Connection::default()
    }
}
