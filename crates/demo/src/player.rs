//! Processes of this program that a command starts, none of which outlives it.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use cli::zookeeper::by_flags_alone;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;
use zk_local::mortal;

use crate::connection::Connection;

/// How long a process may take to end when it is asked to. What it promises is less.
const END: Duration = Duration::from_secs(60);

/// How long a process may take for what it does by itself in a second.
const WHOLE: Duration = Duration::from_secs(120);

/// A process of ours. Killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Player {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Player {
    /// Starts this program with other arguments, on this ZooKeeper.
    pub(crate) fn start(connection: &Connection, arguments: &[&str]) -> anyhow::Result<Self> {
        Self::start_other(&this_program()?, connection, arguments)
    }

    /// The same with another program that takes these flags.
    pub(crate) fn start_other(
        program: &Path,
        connection: &Connection,
        arguments: &[&str],
    ) -> anyhow::Result<Self> {
        let zookeeper = connection.access.handed_on();
        let zookeeper: Vec<_> = zookeeper.iter().map(String::as_str).collect();
        Self::spawn(program, &[arguments, &zookeeper].concat(), connection.log.verbose > 0)
    }

    /// The same for a command that needs no ZooKeeper. What it logs is seen where `verbose`, but for errors.
    pub(crate) fn start_alone(arguments: &[&str], verbose: bool) -> anyhow::Result<Self> {
        Self::spawn(&this_program()?, arguments, verbose)
    }

    fn spawn(program: &Path, arguments: &[&str], verbose: bool) -> anyhow::Result<Self> {
        let mut command = Command::from(mortal(program));
        command.args(arguments);
        // A ZooKeeper of ours is reached without an identity; to another one the flags have it.
        by_flags_alone(command.as_std_mut());
        if !verbose && std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "error");
        }
        // A Ctrl-C in the terminal is for whoever started it, and then stops it in order.
        command.process_group(0).kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start a process")?;
        let stdout = child.stdout.take().context("a process was started without its output")?;
        Ok(Self { child, lines: BufReader::new(stdout).lines() })
    }

    /// Its pid, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// The next line that it says; `None` when it ended.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when this is dropped before it is ready.
    pub(crate) async fn line(&mut self) -> Option<String> {
        // A process whose output cannot be read says nothing.
        self.lines.next_line().await.ok().flatten()
    }

    /// The last line that it says before it ends by itself.
    pub(crate) async fn last_line(&mut self) -> anyhow::Result<String> {
        let all = async {
            let mut last = None;
            while let Some(line) = self.line().await {
                last = Some(line);
            }
            last
        };
        let last =
            timeout(WHOLE, all).await.with_context(|| format!("a process did not end within {WHOLE:?}"))?;
        last.context("a process ended without a word")
    }

    /// Ends it as a crash would, and waits until it is gone.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("cannot kill a process")
    }

    /// Asks it to end.
    pub(crate) fn ask_to_stop(&self) {
        if let Some(pid) = self.pid().and_then(|pid| Pid::from_raw(pid.try_into().ok()?)) {
            // It is not waited for yet, so the pid is still its own; it may have ended by itself all the same.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Asks it to end, and waits until it did.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        self.ask_to_stop();
        let Ok(ended) = timeout(END, self.child.wait()).await else {
            self.child.start_kill()?;
            bail!("a process did not end within {END:?} of being asked to");
        };
        Ok(ended?)
    }
}

/// Stops all of `players` at once.
pub(crate) async fn stop_all<'a>(
    players: impl IntoIterator<Item = &'a mut Player>,
) -> anyhow::Result<Vec<ExitStatus>> {
    let mut ended = Vec::new();
    let stops: Vec<_> = players.into_iter().map(Player::stop).collect();
    for stop in futures::future::join_all(stops).await {
        ended.push(stop?);
    }
    Ok(ended)
}

/// This program, also when it was built again meanwhile and the file that it was started from is gone.
pub(crate) fn this_program() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    // Where it can be had it is the one that runs, whatever becomes of the file.
    let running = PathBuf::from(format!("/proc/{}/exe", std::process::id()));
    Ok(if running.exists() { running } else { program })
}
