//! One process, the ways by which it reaches the servers, and what it says.

use std::fs;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use cli::zookeeper::by_flags_alone;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use zk_local::{Direction, Ensemble, Proxy, Traffic, mortal};

use super::Launch;
use crate::history::{Command, Event, Life, Nanos, What};
use crate::recorder::Recorder;
use crate::who::{Role, Who};

/// Longer than anything that is promised about an end.
const END: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(crate) struct Process {
    who: Who,
    /// The port that it registers, if it registers.
    port: Option<u16>,
    /// One for each server.
    ways: Vec<Proxy>,
    launch: Arc<Launch>,
    lives: u32,
    running: Option<Running>,
}

/// A process that was started.
#[derive(Debug)]
struct Running {
    life: Life,
    pid: u32,
    stdin: ChildStdin,
    signals: mpsc::UnboundedSender<(Signal, oneshot::Sender<()>)>,
    ended: watch::Receiver<bool>,
}

impl Process {
    pub(super) async fn new(
        who: Who,
        port: Option<u16>,
        ensemble: &Ensemble,
        launch: Arc<Launch>,
    ) -> anyhow::Result<Self> {
        let mut ways = Vec::new();
        for server in ensemble.servers() {
            ways.push(Proxy::start(server.address()).await?);
        }
        Ok(Self { who, port, ways, launch, lives: 0, running: None })
    }

    pub(crate) fn who(&self) -> Who {
        self.who
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.as_ref().is_some_and(|running| !*running.ended.borrow())
    }

    /// Starts it, as it was started before.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        let launch = &*self.launch;
        let zk: Vec<_> = self.ways.iter().map(Proxy::connect_string).collect();
        let mut command = tokio::process::Command::from(command(launch, self.who, self.port, &zk.join(",")));
        command.kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("cannot start {}", self.who))?;
        let pid = child.id().context("a process ended before it was seen")?;
        let stdin = child.stdin.take().context("a process has no stdin")?;
        let stdout = BufReader::new(child.stdout.take().context("a process has no stdout")?);

        let life = Life { who: self.who, life: self.lives };
        self.lives += 1;
        launch.recorder.note(What::Started { life, pid, port: self.port });
        let (signals, orders) = mpsc::unbounded_channel();
        let (tell_ended, ended) = watch::channel(false);
        let recorder = Arc::clone(&launch.recorder);
        tokio::spawn(async move {
            attend(life, child, stdout.lines(), orders, &recorder).await;
            tell_ended.send_replace(true);
        });
        self.running = Some(Running { life, pid, stdin, signals, ended });
        Ok(())
    }

    /// Sends a signal, and returns when it was sent.
    pub(crate) async fn signal(&self, signal: Signal) {
        if let Some(running) = &self.running {
            let (done, sent) = oneshot::channel();
            if running.signals.send((signal, done)).is_ok() {
                // An error means that the process ended meanwhile.
                let _ = sent.await;
            }
        }
    }

    /// Ends it as a crash would.
    pub(crate) async fn kill(&mut self) {
        self.signal(Signal::KILL).await;
        self.ended().await;
    }

    /// Asks it to end, by a signal or a command, and waits for that.
    pub(crate) async fn quit(&mut self, by_signal: bool) {
        if by_signal {
            if let Some(running) = &self.running {
                self.launch.recorder.note(What::Told { life: running.life, command: Command::Quit });
            }
            self.signal(Signal::TERM).await;
        } else {
            self.tell(Command::Quit).await;
        }
        if timeout(END, self.ended()).await.is_err() {
            self.kill().await;
        }
    }

    async fn ended(&mut self) {
        if let Some(running) = &mut self.running {
            let _ = running.ended.wait_for(|ended| *ended).await;
        }
        self.running = None;
    }

    /// Says something to it.
    pub(crate) async fn tell(&mut self, command: Command) {
        let Some(running) = &mut self.running else { return };
        self.launch.recorder.note(What::Told { life: running.life, command });
        // Every command is an object without anything that could fail.
        let line = serde_json::to_string(&command).unwrap_or_default() + "\n";
        // One that ended meanwhile is told of by its end.
        let _ = running.stdin.write_all(line.as_bytes()).await;
    }

    /// Gives it another port to register.
    pub(crate) async fn update(&mut self) {
        if let Some(port) = self.port {
            // Far enough from the others, and back.
            let port = if port < 30_000 { port + 20_000 } else { port - 19_900 };
            self.port = Some(port);
            self.tell(Command::Update { port }).await;
        }
    }

    /// It reaches nobody any more, and learns it at once; or it does again.
    pub(crate) fn cut_off(&self, off: bool) {
        for way in &self.ways {
            way.refuse(off);
            if off {
                way.cut();
            }
        }
    }

    /// Its connections end, and it may connect again.
    pub(crate) fn cut(&self) {
        self.ways.iter().for_each(Proxy::cut);
    }

    pub(crate) fn stall(&self, direction: Direction) {
        self.ways.iter().for_each(|way| way.stall(direction));
    }

    /// The next answer of each server is lost.
    pub(crate) fn lose_replies(&self) {
        self.ways.iter().for_each(Proxy::lose_next_reply);
    }

    /// Everything between it and the servers works again.
    pub(crate) fn heal(&self) {
        self.ways.iter().for_each(Proxy::heal);
    }

    /// What passes between it and the servers.
    pub(super) fn traffic(&self) -> Vec<watch::Receiver<Traffic>> {
        self.ways.iter().map(Proxy::traffic).collect()
    }

    /// Takes down what it uses, if it is there.
    pub(super) fn measure(&self) {
        if let Some(Running { life, pid, .. }) = &self.running
            && let Some((descriptors, rss_kib)) = uses(*pid)
        {
            self.launch.recorder.note(What::Uses { life: *life, descriptors, rss_kib });
        }
    }
}

/// The process as it is started, again and again.
fn command(launch: &Launch, who: Who, port: Option<u16>, zk: &str) -> std::process::Command {
    let role = match who.role {
        Role::Instance => "register",
        Role::Watcher => "watch",
        Role::Candidate => "lead",
    };
    let session_ms = launch.session.as_millis().to_string();
    let broken = launch.broken.as_ref().filter(|_| who.role == Role::Candidate);
    let mut command = mortal(broken.unwrap_or(&launch.demo));
    command.arg(if broken.is_some() { "candidate" } else { "agent" });
    command.args(broken.is_none().then_some(role));
    command.args(["--service", &launch.service, "--name", &who.to_string()]);
    command.args(["--zk", zk, "--session-ms", &session_ms]);
    if who.role == Role::Candidate {
        command.args(["--ledger", &launch.ledger.to_string()]);
    }
    if let Some(port) = port.filter(|_| broken.is_none()) {
        command.args(["--port", &port.to_string()]);
    }
    // Our servers know nobody, and everything to reach them is in the flags.
    by_flags_alone(&mut command).env("RUST_LOG", "off");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// Hears what a process says, signals it, and sees its end.
async fn attend(
    life: Life,
    mut child: Child,
    mut lines: Lines<BufReader<ChildStdout>>,
    mut orders: mpsc::UnboundedReceiver<(Signal, oneshot::Sender<()>)>,
    recorder: &Recorder,
) {
    let mut speaks = true;
    let ended = loop {
        tokio::select! {
            line = lines.next_line(), if speaks => match line {
                Ok(Some(line)) => hear(life, &line, recorder),
                Ok(None) | Err(_) => speaks = false,
            },
            Some((signal, done)) = orders.recv() => {
                // Not waited for yet, so the pid is still its own.
                if let Some(pid) = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
                    let _ = kill_process(pid, signal);
                }
                let _ = done.send(());
            }
            ended = child.wait() => break ended,
        }
    };
    let code = ended.ok().and_then(|status| status.code());
    let at = crate::history::now();
    // What it said at last is still in the pipe.
    while speaks && let Ok(Some(line)) = lines.next_line().await {
        hear(life, &line, recorder);
    }
    recorder.note_at(at, What::Ended { life, code });
}

/// How many descriptors a process has open, and how many KiB it holds in memory; none of one that ended.
fn uses(pid: u32) -> Option<(usize, u64)> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some((descriptors, rss.trim().trim_end_matches(" kB").parse().ok()?))
}

/// A line with an event.
#[derive(Deserialize)]
struct Line {
    t: Nanos,
    #[serde(flatten)]
    event: Event,
}

fn hear(life: Life, line: &str, recorder: &Recorder) {
    match serde_json::from_str(line) {
        Ok(Line { t, event }) => recorder.note_at(t, What::Said { life, event }),
        Err(_) => recorder.note(What::Garbled { life, line: line.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn nobody_takes_what_the_shell_says_of_another_zookeeper() {
        let launch = Launch {
            demo: PathBuf::from("demo"),
            broken: None,
            service: "chaos".to_owned(),
            ledger: ([127, 0, 0, 1], 9).into(),
            session: Duration::from_secs(2),
            recorder: Arc::default(),
        };
        for who in Who::all() {
            let command = command(&launch, who, None, "127.0.0.1:9");
            for variable in cli::zookeeper::variables() {
                let is_removed = command.get_envs().any(|(name, value)| name == variable && value.is_none());
                assert!(is_removed, "{who} is told of {variable}");
            }
        }
    }
}
