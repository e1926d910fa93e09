//! A process of this program that does one part of a bench, so that its memory is that of the part.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::time::timeout;
use zk_local::mortal;

use super::words::{Ask, BEGUN, Role, Told};
use crate::player::this_program;

/// How long anything may take. Announcing 100,000 instances took 49 s where the server was short of memory and the machine busy.
const LIMIT: Duration = Duration::from_secs(300);
const END: Duration = Duration::from_secs(30);

/// The process. Killed when this is dropped.
pub(crate) struct Child {
    process: tokio::process::Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Child {
    /// Starts it; its part begins at once.
    pub(crate) fn start(role: &Role) -> anyhow::Result<Self> {
        let mut command = Command::from(mortal(&this_program()?));
        command.args(["bench", "--part"]).arg(serde_json::to_string(role)?);
        if std::env::var_os("RUST_LOG").is_none() {
            command.env("RUST_LOG", "error");
        }
        // A Ctrl-C in the terminal is for whoever started it.
        command.process_group(0).kill_on_drop(true).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().context("cannot start a part of the bench")?;
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
        let (stdin, stdout) = stdin.zip(stdout).context("a part was started without its pipes")?;
        Ok(Self { process, stdin, lines: BufReader::new(stdout).lines() })
    }

    /// Asks, and returns when the child has begun to look: whatever happens after that is in what it will tell.
    pub(crate) async fn expect(&mut self, ask: &Ask) -> anyhow::Result<()> {
        let mut line = serde_json::to_string(ask)?;
        line.push('\n');
        self.stdin.write_all(line.as_bytes()).await.context("a part of the bench does not listen")?;
        let begun = self.line().await?;
        ensure!(begun == BEGUN, "a part of the bench said {begun:?}");
        Ok(())
    }

    /// What the child tells when what was asked for last is so.
    pub(crate) async fn told(&mut self) -> anyhow::Result<Told> {
        let line = self.line().await?;
        serde_json::from_str(&line).with_context(|| format!("a part of the bench said {line:?}"))
    }

    /// Asks, and returns when it is so.
    pub(crate) async fn ask(&mut self, ask: &Ask) -> anyhow::Result<Told> {
        self.expect(ask).await?;
        self.told().await
    }

    /// Ends it in order: its sessions are closed.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        let Self { mut process, stdin, lines } = self;
        drop((stdin, lines));
        let ended = timeout(END, process.wait()).await;
        let status = ended.with_context(|| format!("a part of the bench did not end in {END:?}"))??;
        if !status.success() {
            bail!("a part of the bench ended with {status}");
        }
        Ok(())
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        let line = timeout(LIMIT, self.lines.next_line()).await;
        let line = line.with_context(|| format!("a part of the bench says nothing for {LIMIT:?}"))??;
        line.context("a part of the bench ended")
    }
}
