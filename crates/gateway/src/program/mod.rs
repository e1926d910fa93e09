//! What is accepted on the command line, and what is done with it.

mod args;
mod files;
mod hangup;
mod proxying;
mod reading_again;
mod serving;

use std::process::ExitCode;
use std::sync::Arc;

use clap::CommandFactory;
use cli::ending::{INTERRUPTED, code};
use cli::listening::listen;
use cli::output::say;
use cli::signals::Stop;
use gateway::fleet::Callable;
use gateway::guard::check_exposure;
use gateway::proxy::Proxy;
use gateway::serve::{Limits, Replaceable};
use gateway::{App, Fleet, api, fleet};
use leader::Election;
use registry::Registry;
use tracing::{info, warn};

pub(crate) use self::args::Args;
use self::args::Entrance;
use self::hangup::ReadAgain;
use self::proxying::Proxying;
use self::reading_again::{Reading, TokensFile};
use self::serving::Serving;

pub(crate) fn main(args: Args) -> ExitCode {
    code(match &args.teach {
        Some(what) => what.run(Args::command()),
        None => start(args),
    })
}

fn start(args: Args) -> anyhow::Result<ExitCode> {
    args.place.coherent()?;
    // Where one is registered by election, nothing is made here.
    if !args.place.registers_by_election() {
        args.place.open_to_old_programs(&args.access.security)?;
    }
    args.access.check()?;
    let entrance = args.entrance()?;
    let callable = Callable::of(&*args.place.instances(), &args.service.iter().cloned().collect());
    let proxying = args.proxying.read(args.place.has_elections(), callable)?;
    args.log.start("info");
    files::allow_all();
    files::tell_if_few(args.connections, Limits::default().streams, proxying.is_some());
    if entrance.tls.is_none()
        && entrance.guard.tokens.is_some()
        && check_exposure(args.listen, false).is_err()
    {
        warn!("tokens go over the network as they are: TLS keeps them secret (--tls-cert)");
    }
    cli::ending::run(run(args, entrance, proxying))
}

async fn run(args: Args, entrance: Entrance, proxying: Option<Proxying>) -> anyhow::Result<ExitCode> {
    let (mut stop, read_again) = (Stop::listen()?, ReadAgain::listen()?);
    let listener = listen("--listen", args.listen).await?;
    let proxying = match proxying {
        None => None,
        Some(proxying) => Some((listen("--proxy", proxying.listen).await?, proxying)),
    };

    let keeper = args.access.keep()?;
    let sessions = keeper.sessions();
    let options = fleet::Options { roles: args.place.registers_by_election(), ..fleet::Options::default() };
    let registry = Registry::with_layout(sessions.clone(), args.place.instances());
    let election =
        args.place.has_elections().then(|| Election::with_layout(sessions, args.place.candidates()));
    let fleet = Fleet::start(registry, election, args.service.clone(), options);
    let app = App::with_waiting(fleet.clone(), (args.connections / 4 * 3).max(1));
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
