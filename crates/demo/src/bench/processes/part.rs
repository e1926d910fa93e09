//! The side of the process that is started for one part of a bench.

use std::process::ExitCode;
use std::time::Duration;

use cli::output::print;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::announcing::Announcing;
use super::bare::Bare;
use super::crowd::Crowd;
use super::following::Following;
use super::words::{Ask, BEGUN, Role, Told};
use crate::bench::stage::SESSION;

/// What a process does, and how it answers.
pub(super) trait Part {
    /// Tells what it is asked once that is so. It says when it has [`begun`] to look: whatever happens after that is in what it tells.
    async fn answer(&mut self, ask: Ask) -> anyhow::Result<Told>;

    /// Closes its sessions.
    async fn end(self);
}

/// Plays a role, given as JSON, to the end of stdin.
///
/// # Errors
///
/// ZooKeeper is lost, or something is asked that this role has no answer for.
pub(crate) async fn run(role: &str) -> anyhow::Result<ExitCode> {
    match serde_json::from_str(role)? {
        Role::Announce { connect, service, sessions, each } => {
            play(Announcing::begin(&connect, &service, sessions, each).await?).await?;
        }
        Role::Follow { connect, services, sessions, consumer } => {
            play(Following::begin(&connect, &services, sessions, SESSION, consumer).await?).await?;
        }
        Role::FollowSlowly { connect, service, session_ms, consumer } => {
            let session = Duration::from_millis(session_ms);
            play(Following::begin(&connect, &[service], 1, session, consumer).await?).await?;
        }
        Role::FollowBare { connect, service } => play(Bare::begin(&connect, &service).await?).await?,
        Role::CrowdBare { connect, service, sessions } => {
            play(Crowd::begin(&connect, &service, sessions).await?).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Says that a process has begun to look.
pub(super) fn begun() -> anyhow::Result<()> {
    print(BEGUN)
}

async fn play(mut part: impl Part) -> anyhow::Result<()> {
    let mut asked = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = asked.next_line().await? {
        let told = part.answer(serde_json::from_str(&line)?).await?;
        print(serde_json::to_string(&told)?)?;
    }
    part.end().await;
    Ok(())
}
