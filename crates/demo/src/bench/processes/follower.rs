//! A follower that is a process of its own, as a bench sees it.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use proto::ServiceName;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, sleep, timeout};
use zk_local::mortal;

use crate::bench::processes::look::{Fingerprint, Look, now_ns};
use crate::player::this_program;

/// Longer than deletions are held before they are published: a list that did not change for so long is the last one.
const QUIET: Duration = Duration::from_millis(300);
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
/// How long a list may take to become the truth, and a process to answer or to end.
const PATIENCE: Duration = Duration::from_secs(120);

/// Who follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Registry,
    BareClient,
}

/// A process of this program that follows a service. Killed when this is dropped.
pub(crate) struct Follower {
    child: Child,
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Follower {
    /// Starts it, waits for its first list and gives what it then says.
    pub(crate) async fn start(
        connect: &str,
        service: &ServiceName,
        way: Way,
    ) -> anyhow::Result<(Self, Look)> {
        let mut command = Command::from(mortal(&this_program()?));
        command.args(["bench-follow", "--zk", connect, "--service", service.as_str()]);
        if way == Way::BareClient {
            command.arg("--raw");
        }
        command.process_group(0).kill_on_drop(true).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start a follower")?;
        let questions = child.stdin.take().context("a follower was started without its input")?;
        let answers = child.stdout.take().context("a follower was started without its output")?;
        let mut follower = Self { child, questions, answers: BufReader::new(answers).lines() };
        let first = follower.answer().await?;
        Ok((follower, first))
    }

    /// Looks at it.
    pub(crate) async fn look(&mut self) -> anyhow::Result<Look> {
        self.ask("look\n").await
    }

    /// The same; what is seen later begins here.
    pub(crate) async fn mark(&mut self) -> anyhow::Result<Look> {
        self.ask("mark\n").await
    }

    /// Waits until its list is this one and stays it.
    pub(crate) async fn settled(&mut self, wanted: Fingerprint) -> anyhow::Result<Look> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let look = self.look().await?;
            let quiet = Duration::from_nanos(now_ns().saturating_sub(look.changed_ns));
            if look.fingerprint == wanted.0 && quiet >= QUIET {
                return Ok(look);
            }
            if Instant::now() > give_up {
                bail!(
                    "after {PATIENCE:?} a follower's list is not the truth; it has {} instances",
                    look.size
                );
            }
            sleep(BETWEEN_LOOKS).await;
        }
    }

    /// Ends it in order.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        drop(self.questions);
        let ended = timeout(PATIENCE, self.child.wait()).await.context("a follower does not end")??;
        if !ended.success() {
            bail!("a follower ended badly: {ended}");
        }
        Ok(())
    }

    async fn ask(&mut self, question: &str) -> anyhow::Result<Look> {
        self.questions.write_all(question.as_bytes()).await.context("a follower cannot be asked")?;
        self.answer().await
    }

    async fn answer(&mut self) -> anyhow::Result<Look> {
        let line = timeout(PATIENCE, self.answers.next_line()).await.context("a follower does not answer")?;
        Ok(serde_json::from_str(&line?.context("a follower ended early")?)?)
    }
}
