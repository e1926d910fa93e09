//! A Mosquitto of our own: a real message broker on this machine that cannot be left behind.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, bail};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// How long it may take to listen: milliseconds on an idle machine.
const UP_WITHIN: Duration = Duration::from_secs(20);

/// Between two looks at whether it listens.
const LOOK: Duration = Duration::from_millis(10);

/// A broker on a free port of 127.0.0.1, which keeps nothing on disk. Killed when this is dropped, and when this process ends,
/// however it ends.
#[derive(Debug)]
pub(crate) struct Mosquitto {
    port: u16,
    program: PathBuf,
    folder: TempDir,
    running: Option<Running>,
}

impl Mosquitto {
    /// Starts one that everybody may use, and waits until it accepts connections.
    ///
    /// # Errors
    ///
    /// When there is no Mosquitto on this machine, or it does not start; with what it said.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        Self::start_with("allow_anonymous true\n").await
    }

    /// The same with other lines of configuration than those that let everybody in.
    pub(crate) async fn start_with(lines: &str) -> anyhow::Result<Self> {
        let program = find()?;
        let mut tries = 0;
        loop {
            let port = zk_local::free_port()?;
            let folder = tempfile::Builder::new().prefix("mosquitto-").tempdir()?;
            // As whoever we are: the kernel would not end it with us once it has become somebody else.
            let config = format!(
                "listener {port} 127.0.0.1\npersistence false\nuser root\nset_tcp_nodelay true\nlog_dest stderr\nlog_type error\nlog_type information\n{lines}"
            );
            std::fs::write(folder.path().join("mosquitto.conf"), config)?;
            let mut broker = Self { port, program: program.clone(), folder, running: None };
            tries += 1;
            match broker.start_again().await {
                Ok(()) => return Ok(broker),
                // Somebody else may have been faster to take the port.
                Err(_) if tries < 3 => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// What leads a program to it, also after it was stopped and started again.
    pub(crate) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Kills it: every connection ends, and everything it knew is gone.
    pub(crate) fn stop(&mut self) {
        self.running = None;
    }

    /// Starts it on the same port, and waits until it accepts connections.
    pub(crate) async fn start_again(&mut self) -> anyhow::Result<()> {
        self.stop();
        let (log, folder) = (self.folder.path().join("log"), self.folder.path());
        let mut command = zk_local::mortal(&self.program);
        command.arg("-c").arg(folder.join("mosquitto.conf"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(&log)?);
        let running = self.running.insert(Running::start(command)?);
        // By its own word: somebody else may listen there, and answer before ours has found that out.
        let up = async {
            while !std::fs::read_to_string(&log)?.lines().any(|line| line.ends_with(" running")) {
                if running.has_ended() {
                    bail!("it ended");
                }
                sleep(LOOK).await;
            }
            Ok(())
        };
        let up =
            timeout(UP_WITHIN, up).await.unwrap_or_else(|_| bail!("it does not listen within {UP_WITHIN:?}"));
        up.with_context(|| {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            format!("{} does not start; it said: {}", self.program.display(), said.trim().escape_debug())
        })
    }
}

/// A child that is killed when this is dropped.
#[derive(Debug)]
struct Running {
    child: Child,
    /// Closed when this is dropped: lets the thread that started the child end.
    _starter: mpsc::Sender<()>,
}

impl Running {
    /// Starts it on a thread of its own. The kernel kills a child when the thread that started it ends, and ours may do that while
    /// the broker is still used.
    fn start(mut command: std::process::Command) -> anyhow::Result<Self> {
        let (tell, started) = mpsc::channel();
        let (starter, dropped) = mpsc::channel::<()>();
        std::thread::Builder::new().name("mosquitto".to_owned()).spawn(move || {
            if tell.send(command.spawn()).is_ok() {
                // An error is what is waited for.
                let _ = dropped.recv();
            }
        })?;
        let child = started.recv().context("the thread that starts a broker ended")?;
        Ok(Self { child: child.context("cannot start the broker")?, _starter: starter })
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that ended by itself is not there to be killed, and then there is nothing to wait for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where Debian has it, where ordinary users have no path to; or on the `PATH`.
fn find() -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("mosquitto"));
    let mut places = std::iter::once(Path::new("/usr/sbin/mosquitto").to_owned()).chain(on_path);
    let found = places.find(|file| file.is_absolute() && file.is_file());
    found.context("there is no Mosquitto on this machine: scripts/setup.sh mosquitto (on Debian: apt-get install mosquitto)")
}
