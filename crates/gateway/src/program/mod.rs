//! What is accepted on the command line, and what is done with it.

mod args;
mod connection;
mod files;
mod flags;
mod output;
mod proxying;
mod reading_again;
mod serving;
mod signals;

use std::io::{Write, stderr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::error::ErrorKind;
use gateway::guard::check_exposure;
use gateway::proxy::Proxy;
use gateway::serve::{Limits, Replaceable};
use gateway::{App, Fleet, api, fleet};
use tokio::runtime::Runtime;
use tracing::{info, warn};

pub(crate) use self::args::Args;
use self::args::{Entrance, Usage};
use self::output::{log, say};
use self::proxying::Proxying;
use self::reading_again::{Reading, TokensFile};
use self::serving::{Serving, listen};
use self::signals::{ReadAgain, Stop};

/// What a program ends with that was asked to stop once more before it was done, as shells have it for Ctrl-C.
const INTERRUPTED: u8 = 130;

/// How long what still runs may hold up the end of the process.
const LEFTOVERS: Duration = Duration::from_millis(50);

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
    let entrance = args.entrance()?;
    let proxying = args.proxying.read(args.connection.has_masters())?;
    log(args.verbose);
    files::allow_all();
    files::tell_if_few(args.connections, Limits::default().streams, proxying.is_some());
    if entrance.tls.is_none()
        && entrance.guard.tokens.is_some()
        && check_exposure(args.listen, false).is_err()
    {
        warn!("tokens go over the network as they are: TLS keeps them secret (--tls-cert)");
    }
    let runtime = Runtime::new().context("cannot start")?;
    let outcome = runtime.block_on(run(args, entrance, proxying));
    runtime.shutdown_timeout(LEFTOVERS);
    outcome
}

async fn run(args: Args, entrance: Entrance, proxying: Option<Proxying>) -> anyhow::Result<ExitCode> {
    let (mut stop, read_again) = (Stop::listen()?, ReadAgain::listen()?);
    let listener = listen(args.listen).await?;
    let proxying = match proxying {
        None => None,
        Some(proxying) => Some((listen(proxying.listen).await?, proxying)),
    };

    let keeper = args.connection.keep()?;
    let sessions = keeper.sessions();
    let options = fleet::Options { roles: args.connection.has_roles(), ..fleet::Options::default() };
    let registry = args.connection.registry(sessions.clone());
    let fleet = Fleet::start(registry, args.connection.election(sessions), args.service.clone(), options);
    let app = App::with_waiting(fleet.clone(), (args.connections - args.connections / 4).max(1));
    let limits = Limits { finish: args.finish, connections: args.connections, ..Limits::default() };

    let mut serving = Serving::new(app.clone(), limits);
    let mut reading = Reading { tokens: None, rules: None, tls: Vec::new() };
    let api = Replaceable::new(api::router(app.clone(), entrance.guard));
    if let Some(path) = args.tokens.clone() {
        reading.tokens = Some(TokensFile { path, sites: args.sites(), app: app.clone(), api: api.clone() });
    }
    reading.tls.extend(entrance.tls.clone());
    serving.registry(listener, entrance.tls, api)?;
    if let Some((listener, proxying)) = proxying {
        let proxy = Proxy::new(Arc::new(fleet), proxying.rules);
        reading.rules = Some((proxying.file, proxy.clone()));
        reading.tls.extend(proxying.tls.clone());
        serving.proxy(listener, proxying.tls, proxy)?;
    }

    let failed = tokio::select! {
        () = stop.requested() => None,
        failed = serving.failed() => Some(failed),
        never = reading.run(read_again) => match never {},
    };
    match &failed {
        None => info!("asked to stop"),
        Some(error) => warn!(%error, "what served has failed"),
    }
    tokio::select! {
        left = serving.leave(keeper) => {
            failed.map_or(left, Err)?;
            say("stopped");
            Ok(ExitCode::SUCCESS)
        }
        () = stop.requested() => Ok(INTERRUPTED.into()),
    }
}
