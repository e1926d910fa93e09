//! Results go to stdout, everything else to stderr; neither may panic when nobody reads it.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write, stderr, stdout};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context;
use tokio::time::{sleep, timeout};

use crate::lines::Lines;
use crate::signals::Stop;

/// How long a stalled reader may hold up the end.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// What is [said](say) goes here: whoever watches may stall, and nothing is to stand still for that.
static LINES: OnceLock<Lines> = OnceLock::new();

/// Stdout is closed.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the output any more")]
pub struct NobodyReads;

/// Prints one line of results, at once. Blocks for as long as the reader stalls: for what has nothing else to do, and not for what stands
/// beside [`say`], which it would overtake.
///
/// # Errors
///
/// [`NobodyReads`], or what else keeps stdout from being written, a full disk perhaps.
pub fn print(line: impl Display) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    outcome(writeln!(out, "{line}").and_then(|()| out.flush()))
}

/// Prints a line for whoever watches something that goes on when nobody does: never waits. While the reader stalls lines are kept, and from
/// some number on lost, which is told on stderr when it goes on. [`ending::run`](crate::ending::run) sees to it that the last of
/// them are written.
pub fn say(line: impl Display) {
    lines().say(format!("{line}\n"));
}

/// Prints a line of results, and waits until it is written: for what is to lose none, and has to end while its reader stalls.
///
/// # Errors
///
/// As [`print()`].
///
/// # Cancel safety
///
/// May be dropped at any time, and the line is printed all the same once the reader goes on.
pub async fn tell(line: impl Display) -> anyhow::Result<()> {
    outcome(lines().tell(format!("{line}\n")).await)
}

/// Tells the last line, to a reader who stalls until somebody asks to stop. Where that is `stopped` already it is told for as long as a
/// stalled reader may hold up the end.
///
/// # Errors
///
/// As [`print()`].
pub async fn conclude(line: impl Display, stop: &mut Stop, stopped: bool) -> anyhow::Result<()> {
    let enough = async {
        match stopped {
            true => sleep(LAST_WORDS).await,
            false => stop.requested().await,
        }
    };
    tokio::select! {
        told = tell(line) => told,
        () = enough => Ok(()),
    }
}

/// Waits until what was said is written, no longer than a stalled reader may hold up the end.
pub(crate) async fn last_words() {
    if let Some(lines) = LINES.get() {
        let _ = timeout(LAST_WORDS, lines.all_written()).await;
    }
}

fn lines() -> &'static Lines {
    let lost = |lines| complain(&format!("{lines} lines were lost: stdout did not take them in time"));
    LINES.get_or_init(|| Lines::to(stdout(), lost))
}

fn outcome(written: io::Result<()>) -> anyhow::Result<()> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(NobodyReads.into()),
        written => written.context("cannot write to stdout"),
    }
}

/// Says something to the person at the terminal.
pub fn complain(text: &str) {
    // There is nobody left to tell when stderr is gone.
    let _ = writeln!(stderr(), "{text}");
}

/// An error with its causes, on one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
