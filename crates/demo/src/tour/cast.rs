//! The processes of the tour, none of which outlives it.

use std::net::TcpListener;
use std::ops::Range;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use leader::Term;
use proto::{Address, ServiceName};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;
use zk_local::mortal;

use crate::connection::Connection;

/// How long a process may take to begin.
const BEGIN: Duration = Duration::from_secs(10);

/// How long a process may take to end when it is asked to. What it promises is less.
const END: Duration = Duration::from_secs(10);

/// How long a process may take for what it does by itself in a second.
const WHOLE: Duration = Duration::from_secs(30);

/// Where servers go when the usual ports are taken.
const OTHERS: Range<u16> = 8900..9000;

/// How many ports are tried for one server.
const ATTEMPTS: usize = 5;

/// A process of ours. Killed when this is dropped.
#[derive(Debug)]
pub(super) struct Player {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Player {
    /// Starts this program with other arguments.
    fn start(connection: &Connection, arguments: &[&str]) -> anyhow::Result<Self> {
        let program = this_program()?;
        let mut command = Command::from(mortal(&program));
        command.args(arguments);
        command.args(["--zk", &connection.zk, "--session-ms", &connection.session_ms.to_string()]);
        if connection.verbose == 0 && std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "error");
        }
        // A Ctrl-C in the terminal is for the tour, which then stops its players in order.
        command.process_group(0).kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start a process")?;
        let stdout = child.stdout.take().context("a process was started without its output")?;
        Ok(Self { child, lines: BufReader::new(stdout).lines() })
    }

    /// Its pid, while it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// The next line that it says; `None` when it ended.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when this is dropped before it is ready.
    pub(super) async fn line(&mut self) -> Option<String> {
        // A process whose output cannot be read says nothing.
        self.lines.next_line().await.ok().flatten()
    }

    /// The last line that it says before it ends by itself.
    pub(super) async fn last_line(&mut self) -> anyhow::Result<String> {
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
    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("cannot kill a process")
    }

    /// Asks it to end.
    pub(super) fn ask_to_stop(&self) {
        if let Some(pid) = self.pid().and_then(|pid| Pid::from_raw(pid.try_into().ok()?)) {
            // It is not waited for yet, so the pid is still its own; it may have ended by itself all the same.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Asks it to end, and waits until it did.
    pub(super) async fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        self.ask_to_stop();
        let Ok(ended) = timeout(END, self.child.wait()).await else {
            self.child.start_kill()?;
            bail!("a process did not end within {END:?} of being asked to");
        };
        Ok(ended?)
    }
}

/// A time server of the tour.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) address: Address,
    pub(super) weight: u32,
    pub(super) player: Player,
}

impl Host {
    /// A server on `port`, or on another one if that is taken.
    pub(super) async fn start(
        connection: &Connection,
        service: &ServiceName,
        port: u16,
        weight: u32,
    ) -> anyhow::Result<Self> {
        let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
        // Any free one would do at first, but could be some connection's by the time that the server comes back to it.
        let ports = [port].into_iter().chain(OTHERS).filter(is_free).chain([0]);
        let mut last = None;
        // Somebody can be faster than the server: another tour, perhaps.
        for port in ports.take(ATTEMPTS) {
            match Self::listen(connection, service, port, weight).await {
                Ok(host) => return Ok(host),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow!("there is no port for a server")))
    }

    async fn listen(
        connection: &Connection,
        service: &ServiceName,
        port: u16,
        weight: u32,
    ) -> anyhow::Result<Self> {
        let (listen, shown) = (format!("127.0.0.1:{port}"), weight.to_string());
        let arguments = ["server", "--listen", &listen, "--service", service.as_str(), "--weight", &shown];
        let mut player = Player::start(connection, &arguments)?;
        let said = timeout(BEGIN, player.line()).await.ok().flatten();
        let address = said.as_ref().and_then(|line| line.strip_prefix("listening on ")?.parse().ok());
        let address = address.with_context(|| format!("the server on {listen} did not start"))?;
        Ok(Self { address, weight, player })
    }
}

impl Host {
    /// Waits until it says itself that it leads in this term.
    pub(super) async fn leads(&mut self, service: &ServiceName, term: Term) -> anyhow::Result<()> {
        let wanted = format!("leads {service} in term {term}");
        let said = async {
            while let Some(line) = self.player.line().await {
                if line == wanted {
                    return true;
                }
            }
            false
        };
        ensure!(timeout(BEGIN, said).await == Ok(true), "{} did not say that it {wanted}", self.address);
        Ok(())
    }
}

/// A client that tells everything as JSON.
pub(super) fn client(
    connection: &Connection,
    service: &ServiceName,
    flags: &[&str],
) -> anyhow::Result<Player> {
    Player::start(connection, &[&["client", "--service", service.as_str(), "--json"], flags].concat())
}

/// Stops all of `players` at once.
pub(super) async fn stop_all<'a>(
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
fn this_program() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    let running = || PathBuf::from(format!("/proc/{}/exe", std::process::id()));
    Ok(if program.exists() { program } else { running() })
}
