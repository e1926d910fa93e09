//! A resource that refuses outdated leaders: it keeps the greatest token that it has seen.

mod book;
mod serving;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args as ClapArgs;
use cli::flags::socket;
use cli::listening::listen;
use cli::log::Verbosity;
use cli::output::say;
use cli::signals::Stop;
use tokio::sync::mpsc;

use self::book::News;
use self::serving::{MANY, Shared, serve};
use crate::output::one_line;

/// So much may wait for whoever reads.
const WAITING: usize = 1024;

/// See [`crate::Command::Ledger`].
#[derive(ClapArgs, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where to listen; port 0 takes any that is free
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9000", value_parser = socket)]
    listen: SocketAddr,

    /// One JSON object per line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    log: Verbosity,
}

const EXAMPLES: &str = r#"Example; the agent needs a ZooKeeper on 127.0.0.1:2181:
  demo ledger --listen 127.0.0.1:9000 &
  demo agent lead --service time --name a --ledger 127.0.0.1:9000

It reads lines like {"who":"a","token":7,"seq":1} and answers each with {"ok":true,"max":7}, or {"ok":false,"max":9} when it has seen a greater token. It says when the token changes hands, whom it refused, and at the end how many acts it accepted. It checks nobody's identity, and forgets everything when it ends: so start it again when somebody sent a token that is greater than all to come. SIGTERM and Ctrl-C end it.

Exit codes: 0 stopped; 1 failed, as when the port is taken; 2 not understood."#;

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    args.log.start("info");
    let mut stop = Stop::listen()?;
    let listener = listen("--listen", args.listen).await?;
    args.say(&News::Listening { at: listener.local_addr()?.to_string() });

    let (news, mut told) = mpsc::channel(WAITING);
    let shared = Shared::new(news);
    let serving = tokio::spawn(serve(listener, shared.clone(), MANY));
    loop {
        tokio::select! {
            biased;
            () = stop.requested() => break,
            Some(news) = told.recv() => args.say(&news),
        }
    }
    // Nobody is owed anything: who gets no answer does not know, as when the machine had failed.
    serving.abort();
    let _ = serving.await;
    while let Ok(news) = told.try_recv() {
        args.say(&news);
    }
    args.say(&shared.with(|book| book.end()));
    Ok(ExitCode::SUCCESS)
}

impl Args {
    /// For whoever watches. A ledger goes on when nobody does.
    fn say(&self, news: &News) {
        say(if self.json { one_line(news.json()) } else { news.text() });
    }
}
