//! What is accepted on the command line, and what is done with it.

mod connection;
mod flags;
mod stop;

use std::error::Error;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use clap::error::ErrorKind;
use gateway::guard::{Sites, Tokens, check_exposure};
use gateway::serve::{Limits, serve};
use gateway::{App, Fleet, Guard, api, fleet, tls};
use proto::ServiceName;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;
use zk_session::Keeper;

use self::connection::Connection;
use self::flags::{duration, number, socket};
use self::stop::Stop;

/// What a program ends with that was asked to stop once more before it was done, as shells have it for Ctrl-C.
const INTERRUPTED: u8 = 130;

/// How long what still runs may hold up the end of the process.
const LEFTOVERS: Duration = Duration::from_millis(50);

/// How long nodes may take to go. Without ZooKeeper there is no use in waiting longer: they go with the session.
const WITHDRAW: Duration = Duration::from_millis(700);

/// How long closing the session may take. A little less than the keeper itself allows, so that success can be told from giving up.
const CLOSE: Duration = Duration::from_millis(1_700);

/// The registry over HTTP: programs in any language register and discover services in ZooKeeper.
#[derive(Debug, Parser)]
#[command(name = "gateway", version, about, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where to listen; port 0 takes any that is free
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8480", value_parser = socket)]
    listen: SocketAddr,

    /// A service that is followed from the start and counts for /readyz; may be given several times. Others are followed when they are
    /// asked for
    #[arg(long, value_name = "NAME")]
    service: Vec<ServiceName>,

    /// A file of tokens, one a line behind the word read or write: then nobody is served without one. Needed where --listen is not an
    /// address of this machine alone
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,

    /// A name that clients reach it by, besides its address and localhost; may be given several times
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,

    /// A site whose pages may write, as in https://console.example; may be given several times
    #[arg(long, value_name = "ORIGIN")]
    origin: Vec<String>,

    /// Speak TLS, with the certificates of this file in PEM, the server's first
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The private key of the server's certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Serve nobody who does not show a certificate that one of those in this file has signed
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,

    /// How long what runs may take once it is asked to stop
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    finish: Duration,

    /// How many connections may be open at the same time; more wait
    #[arg(long, value_name = "N", default_value_t = 4_096, value_parser = number::<usize>(1..=1_000_000))]
    connections: usize,

    /// Say more on stderr; twice for much more
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,

    #[command(flatten)]
    connection: Connection,
}

const EXAMPLES: &str = "\
Example, with a ZooKeeper on 127.0.0.1:2181:
  gateway --service time &
  curl http://127.0.0.1:8480/v1/services/time
  curl 'http://127.0.0.1:8480/v1/services/time/pick?algorithm=url-hash&key=/data/video&explain=true'
  curl -N http://127.0.0.1:8480/v1/services/time/watch
  curl -X PUT -H 'content-type: application/json' -d '{\"server_ip\":\"127.0.0.1\",\"server_port\":8897,\"ttl\":30}' \
       http://127.0.0.1:8480/v1/services/time/instances/127.0.0.1:8897

It serves without ZooKeeper as well, from the last lists that it knows. SIGTERM and Ctrl-C: it accepts no more, withdraws what it registered, \
finishes what runs, and ends with 0.

Exit codes: 0 stopped, 1 failed, 2 not understood (nothing was sent), 130 asked to stop once more before it was done.";

/// A refusal that only came out when flags were looked at together. Nothing was sent.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

pub(crate) fn main(args: Args) -> ExitCode {
    match start(args) {
        Ok(code) => code,
        Err(error) if error.is::<Usage>() => {
            let usage = clap::Error::raw(ErrorKind::ValueValidation, format!("{error}\n"));
            usage.exit()
        }
        Err(error) => {
            // There is nobody left to tell when stderr is gone.
            let _ = writeln!(stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(args: Args) -> anyhow::Result<ExitCode> {
    args.connection.coherent().map_err(Usage)?;
    let (guard, tls) = (args.guard()?, args.tls()?);
    log(args.verbose);
    if tls.is_none() && guard.tokens.is_some() && check_exposure(args.listen, false).is_err() {
        warn!("tokens go over the network as they are: TLS keeps them secret (--tls-cert)");
    }
    let runtime = Runtime::new().context("cannot start")?;
    let outcome = runtime.block_on(run(args, guard, tls));
    runtime.shutdown_timeout(LEFTOVERS);
    outcome
}

impl Args {
    /// Who may ask for what.
    fn guard(&self) -> Result<Guard, Usage> {
        let tokens = self.tokens.as_deref().map(Tokens::load).transpose();
        let tokens = tokens.map_err(|error| Usage(format!("--tokens: {}", chain_of(&error))))?;
        let are_known = tokens.is_some() || self.tls_client_ca.is_some();
        check_exposure(self.listen, are_known).map_err(|exposed| Usage(exposed.to_string()))?;
        Ok(Guard { tokens, sites: Sites::new(self.host.clone(), self.origin.clone()) })
    }

    /// What speaks TLS, if that is asked for.
    fn tls(&self) -> Result<Option<TlsAcceptor>, Usage> {
        let (Some(chain), Some(key)) = (&self.tls_cert, &self.tls_key) else { return Ok(None) };
        let acceptor = tls::acceptor(chain, key, self.tls_client_ca.as_deref());
        acceptor.map(Some).map_err(|error| Usage(format!("TLS: {}", chain_of(&error))))
    }
}

async fn run(args: Args, guard: Guard, tls: Option<TlsAcceptor>) -> anyhow::Result<ExitCode> {
    let mut stop = Stop::listen()?;
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", args.listen))?;
    let address = listener.local_addr()?;

    let keeper = args.connection.keep()?;
    let sessions = keeper.sessions();
    let options = fleet::Options { roles: args.connection.has_roles(), ..fleet::Options::default() };
    let registry = args.connection.registry(sessions.clone());
    let fleet = Fleet::start(registry, args.connection.election(sessions), args.service, options);
    let app = App::new(fleet);
    let scheme = if tls.is_some() { "https" } else { "http" };
    say(format_args!("listening on {scheme}://{address}"));

    let limits = Limits { finish: args.finish, connections: args.connections, ..Limits::default() };
    let closing = {
        let app = app.clone();
        async move { app.closing().await }
    };
    let serving = tokio::spawn(serve(listener, tls, api::router(app.clone(), guard), limits, closing));
    stop.requested().await;
    info!("asked to stop");
    app.close();
    let leaving = async {
        let (cut, left) = tokio::join!(serving, app.leases().close(WITHDRAW));
        if left > 0 {
            warn!(instances = left, "not withdrawn in time: they go with the session");
        }
        let cut = cut.context("what served has failed")?;
        if cut > 0 {
            warn!(connections = cut, "cut off what did not end in time");
        }
        close(keeper).await;
        say("stopped");
        Ok(ExitCode::SUCCESS)
    };
    tokio::select! {
        done = leaving => done,
        () = stop.requested() => Ok(INTERRUPTED.into()),
    }
}

async fn close(keeper: Keeper) {
    if timeout(CLOSE, keeper.close()).await.is_err() {
        warn!("ZooKeeper cannot be reached: what we registered there expires");
    }
}

/// An error with its causes, on one line.
fn chain_of(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// For whoever watches. It goes on when nobody does.
fn say(text: impl std::fmt::Display) {
    let mut out = stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Starts the log, which `RUST_LOG` may have otherwise.
fn log(verbose: u8) {
    // The client's library says at each try to connect what we say once.
    let usual = match verbose {
        0 => "info,zookeeper_client=error",
        1 => "debug,zookeeper_client=warn",
        _ => "trace,zookeeper_client=info",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        // Its complaint about a closed stderr would be a panic.
        .log_internal_errors(false);
    if let Err(error) = subscriber.try_init() {
        let _ = writeln!(stderr(), "cannot log: {}", &*error as &dyn Error);
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_fit_together() {
        Args::command().debug_assert();
    }
}
