//! How a program ends: with which code, after what was said, and within the time that a supervisor gives.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use zk_session::Keeper;

use crate::output::{NobodyReads, complain, last_words};

/// What a program ends with whose command line was not understood. Nothing was sent.
pub const NOT_UNDERSTOOD: u8 = 2;

/// What a program ends with that was stopped before it was done, as shells have it for Ctrl-C.
pub const INTERRUPTED: u8 = 130;

/// How long nodes may take to go. Without ZooKeeper there is no use in waiting longer: they go with the session.
pub const WITHDRAW: Duration = Duration::from_millis(700);

/// How long closing a session may take. A little less than the keeper itself allows, so that success can be told from
/// giving up.
const CLOSE: Duration = Duration::from_millis(1_700);

/// How long what still runs when a program is done may hold up the end of the process.
const LEFTOVERS: Duration = Duration::from_millis(50);

/// A refusal that only came out when flags were looked at together, or when the files were read that they name. Nothing was sent.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Runs what a program does on a runtime of its own, and sees to it that what it [said](crate::output::say) is written.
///
/// # Errors
///
/// Those of `body`, and that there can be no runtime.
pub fn run(body: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let runtime = Runtime::new().context("cannot start")?;
    let outcome = runtime.block_on(async {
        let outcome = body.await;
        last_words().await;
        outcome
    });
    runtime.shutdown_timeout(LEFTOVERS);
    outcome
}

/// Says on stderr why a program failed, if it did: what it ends with.
pub fn code(outcome: anyhow::Result<ExitCode>) -> ExitCode {
    match outcome {
        Ok(code) => code,
        // As when `head` has seen enough: whoever asked does not want more.
        Err(error) if error.is::<NobodyReads>() => ExitCode::SUCCESS,
        Err(error) if error.is::<Usage>() => {
            complain(&format!("error: {error}\n\nFor more information, try '--help'."));
            ExitCode::from(NOT_UNDERSTOOD)
        }
        Err(error) => {
            complain(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Closes the session: whether it is known to be over, and its nodes with it. Otherwise it expires.
pub async fn close(keeper: Keeper) -> bool {
    timeout(CLOSE, keeper.close()).await.is_ok()
}
