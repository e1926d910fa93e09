//! A candidate as it is found in many programs, to show what comes of it: it leads until it is told that its session expired.
//!
//! Everything else is as it should be: the same election, a node in the line, a token. Only the guard is not asked.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use clap::Args as ClapArgs;
use leader::{Candidacy, Election, InstanceId, NodeData, Root, ServiceName, Term};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines, stdin};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};
use zk_session::{Keeper, SessionId, Sessions, State, ZooKeeper};

use crate::history::{self, Event, SessionState, now};

const PACE: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(ClapArgs, Debug)]
pub(crate) struct Args {
    #[arg(long)]
    service: ServiceName,
    #[arg(long)]
    name: InstanceId,
    #[arg(long)]
    zk: String,
    #[arg(long)]
    session_ms: u64,
    #[arg(long)]
    ledger: SocketAddr,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let timeout = Duration::from_millis(args.session_ms);
    let keeper = Keeper::start(ZooKeeper::builder(&args.zk).session_timeout(timeout).build()?);
    let sessions = keeper.sessions();
    let election = Election::new(sessions.clone(), Root::default());
    say(&Event::Ready)?;
    let mut term = signal(SignalKind::terminate())?;
    let mut lines = BufReader::new(stdin()).lines();
    tokio::select! {
        led = lead(&args, &sessions, &election) => led?,
        told = tell_of(&sessions) => told?,
        _ = term.recv() => {}
        () = told_to_quit(&mut lines) => {}
    }
    keeper.close().await;
    say(&Event::Bye { clean: true })
}

/// Says what becomes of the session.
async fn tell_of(sessions: &Sessions) -> anyhow::Result<()> {
    let mut states = sessions.state();
    let mut connected = None;
    loop {
        let now = match *states.borrow_and_update() {
            State::Connected { id, .. } => Some(history::SessionId(id.0)),
            _ => None,
        };
        if let Some(session_id) = now.or(connected).filter(|_| now != connected) {
            let state = if now.is_some() { SessionState::Connected } else { SessionState::Suspended };
            say(&Event::Session { state, session_id })?;
        }
        connected = now;
        states.changed().await?;
    }
}

async fn told_to_quit(lines: &mut Lines<BufReader<tokio::io::Stdin>>) {
    while let Ok(Some(line)) = lines.next_line().await {
        if line.contains("quit") {
            return;
        }
    }
    std::future::pending::<()>().await;
}

/// Stands for election again and again.
async fn lead(args: &Args, sessions: &Sessions, election: &Election) -> anyhow::Result<()> {
    loop {
        let data = NodeData::behind_broker(args.name.as_str());
        let candidacy: Candidacy = election.campaign_as(&args.service, args.name.clone(), data)?;
        let leadership = candidacy.elected().await?;
        let (Term(token), session_id) = (leadership.term(), leadership.session());
        let session = history::SessionId(session_id.0);
        say(&Event::LeaderAcquired { token, path: leadership.path().to_owned(), session_id: session })?;
        let expired = expired(sessions, session_id);
        let reason = tokio::select! {
            () = expired => "session-ended",
            () = act(args, token) => "fenced",
        };
        say(&Event::LeaderLost { token, reason: reason.to_owned() })?;
    }
}

/// Waits until ZooKeeper says that the session is over, as one can know only with a connection.
async fn expired(sessions: &Sessions, ours: SessionId) {
    let mut state = sessions.state();
    let other = |state: &State| matches!(state, State::Connected { id, .. } if *id != ours);
    let _ = state.wait_for(other).await;
}

/// Acts until the ledger refuses.
async fn act(args: &Args, token: i64) {
    for seq in 0_u64.. {
        let Ok(Ok(mut stream)) = timeout(PATIENCE, TcpStream::connect(args.ledger)).await else { continue };
        let line = serde_json::json!({ "who": args.name.as_str(), "token": token, "seq": seq }).to_string();
        if matches!(timeout(PATIENCE, ask(&mut stream, &line)).await, Ok(Ok(false))) {
            return;
        }
        sleep(PACE).await;
    }
}

#[derive(Deserialize)]
struct Answer {
    ok: bool,
}

async fn ask(stream: &mut TcpStream, line: &str) -> anyhow::Result<bool> {
    stream.write_all(format!("{line}\n").as_bytes()).await?;
    let answer = BufReader::new(stream).lines().next_line().await?.context("no answer")?;
    Ok(serde_json::from_str::<Answer>(&answer)?.ok)
}

fn say(event: &Event) -> anyhow::Result<()> {
    let mut line = serde_json::to_value(event)?;
    line["t"] = now().into();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
