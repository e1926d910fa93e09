//! Results go to stdout, everything else to stderr; neither may panic when nobody reads it.

use std::error::Error;
use std::fmt::Display;
use std::io::{ErrorKind, Write, stderr, stdout};

use anyhow::Context;

/// Stdout is closed.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the output any more")]
pub struct NobodyReads;

/// Prints one line of results, at once.
///
/// # Errors
///
/// [`NobodyReads`], or what else keeps stdout from being written, a full disk perhaps.
pub fn print(line: impl Display) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(NobodyReads.into()),
        written => written.context("cannot write to stdout"),
    }
}

/// The same for whoever watches something that goes on when nobody does.
pub fn say(line: impl Display) {
    let _ = print(line);
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
