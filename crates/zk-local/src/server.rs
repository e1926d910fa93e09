//! One ZooKeeper server, from start to stop.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::builder::Builder;
use crate::config::Config;
use crate::error::{Error, cannot};
use crate::find::Installation;
use crate::folder::{Folder, Snapshot};
use crate::process::{self, Process};
use crate::words::{self, Role};

/// A question that lands between a server's bind and its start is never answered, so none may wait long at first; on a loaded machine answers
/// take their time, so each waits twice as long as the one before, up to the most.
pub(crate) const QUESTION: Duration = Duration::from_millis(100);
pub(crate) const QUESTION_MOST: Duration = Duration::from_secs(2);
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(10);
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);
/// For a person's question, which a loaded machine may answer late.
const ANSWER: Duration = Duration::from_secs(20);
/// A server stops in a tenth of a second; the rest is for a loaded machine.
const STOP: Duration = Duration::from_secs(20);

/// A ZooKeeper server on 127.0.0.1, killed when this is dropped.
///
/// It keeps its port and its data while this value lives, however often it is stopped or killed and started again.
///
/// # Cancel safety
///
/// What only asks may be dropped at any time. Dropped, what starts or ends it was begun or was not, and goes on by itself if it was:
/// [`restart`](Self::restart) may leave it killed, [`pause`](Self::pause) paused. What is done to the files of a stopped one is done in one step.
#[derive(Debug)]
pub struct Server {
    // Declared first, so dropped first: the process must be gone before its folder is.
    process: Mutex<Option<Process>>,
    /// One start or stop at a time.
    turn: tokio::sync::Mutex<()>,
    port: u16,
    launch: Launch,
}

/// All that is needed to start the server, again and again.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) installation: Installation,
    pub(crate) folder: Folder,
    pub(crate) properties: Vec<(String, String)>,
    pub(crate) class_path: Vec<PathBuf>,
    pub(crate) java_options: Vec<String>,
    pub(crate) start_limit: Duration,
}

impl Server {
    /// Starts a server with the defaults of [`Server::builder`], and waits until it serves.
    ///
    /// # Errors
    ///
    /// No ZooKeeper here, or it did not start; the text says why.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it leaves no server behind.
    pub async fn start() -> Result<Self, Error> {
        Self::builder().start().await
    }

    /// A server with other settings than the usual ones.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A server that was not started yet.
    pub(crate) fn prepare(launch: Launch, config: &Config) -> Result<Self, Error> {
        let path = launch.folder.config();
        fs::write(&path, config.to_string()).map_err(cannot(format!("write {}", path.display())))?;
        let turn = tokio::sync::Mutex::default();
        Ok(Self { process: Mutex::default(), turn, port: config.client_port, launch })
    }

    /// Its only client port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where clients reach it.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Where clients reach it, as they want to be told.
    pub fn connect_string(&self) -> String {
        self.address().to_string()
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.with_process(|process| process.filter(|process| process.is_running()).map(Process::pid))
    }

    /// The file that has what it said.
    pub fn log(&self) -> PathBuf {
        self.launch.folder.log()
    }

    /// The folder of its transaction logs and snapshots: what it did is written there before anybody is answered.
    pub fn data(&self) -> PathBuf {
        self.launch.folder.versions()
    }

    /// Starts it, after it was stopped or killed, and waits until it serves.
    ///
    /// # Errors
    ///
    /// It runs already, or it did not start; the text says why.
    pub async fn start_again(&self) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        self.launch_process()?;
        self.serving().await
    }

    /// Kills it and starts it, with the same data on the same port, and waits until it serves.
    ///
    /// # Errors
    ///
    /// It did not start; the text says why.
    pub async fn restart(&self) -> Result<(), Error> {
        self.kill().await?;
        self.start_again().await
    }

    /// Ends it at once, as a crash would (SIGKILL), paused or not. Nothing when it does not run.
    ///
    /// # Errors
    ///
    /// The system does not let it die.
    pub async fn kill(&self) -> Result<(), Error> {
        self.end(Signal::KILL).await
    }

    /// Ends it as an operator would (SIGTERM). Nothing when it does not run.
    ///
    /// # Errors
    ///
    /// It did not end in time.
    pub async fn stop(&self) -> Result<(), Error> {
        self.resume()?;
        self.end(Signal::TERM).await
    }

    /// Freezes it (SIGSTOP), and waits until none of it runs: its connections stay, and nobody answers.
    ///
    /// # Errors
    ///
    /// The system refuses, or it was resumed at the same time.
    pub async fn pause(&self) -> Result<(), Error> {
        self.signal(Signal::STOP)?;
        let give_up = Instant::now() + STOP;
        while !self.with_process(|process| process.is_none_or(Process::is_still)) {
            if Instant::now() > give_up {
                let awaited = format!("the ZooKeeper server on {} to freeze", self.address());
                return Err(Error::TimedOut { awaited, limit: STOP });
            }
            sleep(BETWEEN_LOOKS).await;
        }
        Ok(())
    }

    /// Lets it go on after [`Server::pause`] (SIGCONT).
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn resume(&self) -> Result<(), Error> {
        self.signal(Signal::CONT)
    }

    /// Asks a four-letter word, such as `srvr` or `cons`, and returns the whole answer.
    ///
    /// # Errors
    ///
    /// It does not run, or does not answer.
    pub async fn four_letter(&self, word: &str) -> Result<String, Error> {
        words::ask(self.address(), word, ANSWER).await
    }

    /// The figures it watches itself by: packets, connections, watches …
    ///
    /// # Errors
    ///
    /// It does not run, or does not answer.
    pub async fn mntr(&self) -> Result<BTreeMap<String, String>, Error> {
        Ok(words::figures(&self.four_letter("mntr").await?))
    }

    /// What it is in its ensemble at the moment.
    ///
    /// # Errors
    ///
    /// It does not run, or does not answer.
    pub async fn role(&self) -> Result<Role, Error> {
        Ok(words::role(&self.four_letter("srvr").await?))
    }

    /// Copies the data of the stopped server, to be [restored](Server::restore_data) later.
    ///
    /// # Errors
    ///
    /// It runs, or files cannot be copied.
    pub async fn snapshot_data(&self) -> Result<Snapshot, Error> {
        let _turn = self.turn.lock().await;
        self.must_be_stopped()?;
        self.launch.folder.snapshot()
    }

    /// Puts the data of the stopped server back to what they were: what a restored backup does to clients.
    ///
    /// # Errors
    ///
    /// It runs, or files cannot be copied.
    pub async fn restore_data(&self, snapshot: &Snapshot) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        self.must_be_stopped()?;
        self.launch.folder.restore(snapshot)
    }

    /// Deletes the data of the stopped server.
    ///
    /// # Errors
    ///
    /// It runs, or files cannot be deleted.
    pub async fn wipe(&self) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        self.must_be_stopped()?;
        self.launch.folder.wipe()
    }

    /// Starts the process and does not wait for it to serve.
    pub(crate) fn launch_process(&self) -> Result<(), Error> {
        self.must_be_stopped()?;
        let started = Process::start(self.launch.command()?)?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(started);
        Ok(())
    }

    /// Waits until the process that was started serves clients, which a member of an ensemble does with the others.
    pub(crate) async fn serving(&self) -> Result<(), Error> {
        let limit = self.launch.start_limit;
        let give_up = Instant::now() + limit;
        let data = self.launch.folder.data();
        let data = data.to_string_lossy();
        let mut patience = QUESTION;
        loop {
            if self.pid().is_none() {
                return Err(Error::Ended(self.launch.last_words()));
            }
            let answer = words::ask(self.address(), "conf", patience).await;
            if matches!(answer, Err(Error::TimedOut { .. })) {
                patience = (2 * patience).min(QUESTION_MOST);
            }
            if answer.is_ok_and(|answer| words::serves(&answer, &data)) {
                return Ok(());
            }
            if Instant::now() > give_up {
                let awaited =
                    format!("the ZooKeeper server on {} ({})", self.address(), self.launch.last_words());
                return Err(Error::TimedOut { awaited, limit });
            }
            sleep(BETWEEN_QUESTIONS).await;
        }
    }

    /// Whether its start failed only because somebody was faster at its port.
    pub(crate) fn lost_its_port(&self) -> bool {
        self.pid().is_none() && self.launch.last_words().contains("BindException")
    }

    pub(crate) fn into_launch(self) -> Launch {
        self.launch
    }

    fn must_be_stopped(&self) -> Result<(), Error> {
        match self.pid() {
            None => Ok(()),
            Some(_) => Err(Error::WrongState("the ZooKeeper server runs, and must be stopped for this")),
        }
    }

    fn signal(&self, signal: Signal) -> Result<(), Error> {
        self.with_process(|process| process.map_or(Ok(()), |process| process.signal(signal)))
    }

    async fn end(&self, signal: Signal) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        self.signal(signal)?;
        let ended = self.with_process(|process| process.map(Process::ended));
        match ended {
            None => Ok(()),
            Some(ended) => tokio::time::timeout(STOP, ended).await.map_err(|_| Error::TimedOut {
                awaited: format!("the end of the ZooKeeper server on {}", self.address()),
                limit: STOP,
            }),
        }
    }

    fn with_process<T>(&self, look: impl FnOnce(Option<&Process>) -> T) -> T {
        look(self.process.lock().unwrap_or_else(PoisonError::into_inner).as_ref())
    }
}

impl Launch {
    fn command(&self) -> Result<std::process::Command, Error> {
        let path = self.folder.log();
        let log = File::create(&path).map_err(cannot(format!("write {}", path.display())))?;
        let errors = log.try_clone().map_err(cannot(format!("write {}", path.display())))?;
        let jars = self.installation.class_path().iter().chain(&self.class_path);
        let class_path = std::env::join_paths(jars).map_err(|error| {
            Error::Missing(format!("a folder of ZooKeeper's jars has a bad name: {error}"))
        })?;
        let mut command = process::mortal(self.installation.java());
        command.args(&self.java_options);
        command.arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn");
        command.args(self.properties.iter().map(|(name, value)| format!("-D{name}={value}")));
        command.arg("-cp").arg(class_path);
        command.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain").arg(self.folder.config());
        command.stdin(self.folder.stdin()?).stdout(log).stderr(errors).current_dir(self.folder.path());
        Ok(command)
    }

    /// The end of the log, on one line.
    fn last_words(&self) -> String {
        last_lines(&self.folder.log())
    }
}

fn last_lines(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    // A stack says where in the server, which helps nobody here.
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with("\tat ") && !line.is_empty()).collect();
    match lines.len() {
        0 => "it said nothing".to_owned(),
        many => format!("it said last: {}", lines[many.saturating_sub(8)..].join(" | ")),
    }
}
