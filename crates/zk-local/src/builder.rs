//! How a server is asked for.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Config, Member};
use crate::error::{Error, cannot};
use crate::find::Installation;
use crate::folder::Folder;
use crate::ports::free_port;
use crate::progress::Progress;
use crate::server::{Launch, Server};

/// A tenth of the server's usual 2 s: sessions expire with this precision, and tests wait for that.
const TICK: Duration = Duration::from_millis(200);
/// It takes 0.2 s on an idle machine, and many servers are started at once on a busy one.
const START: Duration = Duration::from_secs(180);
/// Small, and quick to start: what a server for an hour does not need.
const JAVA: [&str; 3] = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
/// How often somebody else may be faster at the port that we chose.
pub(crate) const ATTEMPTS: usize = 5;

/// Settings of a [`Server`], or of all servers of an ensemble.
#[derive(Clone, Debug)]
pub struct Builder {
    tick: Duration,
    min_session: Option<Duration>,
    max_session: Option<Duration>,
    config: Vec<(String, String)>,
    properties: Vec<(String, String)>,
    class_path: Vec<PathBuf>,
    java_options: Vec<String>,
    folder: Option<PathBuf>,
    port: Option<u16>,
    installation: Option<Installation>,
    start_limit: Duration,
    progress: bool,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            tick: TICK,
            min_session: None,
            max_session: None,
            config: Vec::new(),
            properties: Vec::new(),
            class_path: Vec::new(),
            java_options: JAVA.map(str::to_owned).to_vec(),
            folder: None,
            port: None,
            installation: None,
            start_limit: START,
            progress: false,
        }
    }
}

impl Builder {
    /// The server's unit of time, 200 ms unless told. Sessions expire at whole ticks.
    #[must_use]
    pub fn tick(self, tick: Duration) -> Self {
        Self { tick, ..self }
    }

    /// The shortest session that it grants, two ticks unless told.
    #[must_use]
    pub fn min_session(self, timeout: Duration) -> Self {
        Self { min_session: Some(timeout), ..self }
    }

    /// The longest session that it grants, a minute unless told.
    #[must_use]
    pub fn max_session(self, timeout: Duration) -> Self {
        Self { max_session: Some(timeout), ..self }
    }

    /// One more line of `zoo.cfg`. It overrides what this crate writes there.
    #[must_use]
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.push((key.into(), value.into()));
        self
    }

    /// One more system property of the Java machine: `-Dname=value`.
    #[must_use]
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.push((name.into(), value.into()));
        self
    }

    /// One more jar or folder for the Java machine to load classes from.
    #[must_use]
    pub fn class_path(mut self, jar: impl Into<PathBuf>) -> Self {
        self.class_path.push(jar.into());
        self
    }

    /// Options of the Java machine, such as its heap and its collector, instead of the usual ones: those make a small server that starts
    /// quickly, and is short of memory with 100,000 nodes.
    #[must_use]
    pub fn java_options(self, options: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { java_options: options.into_iter().map(Into::into).collect(), ..self }
    }

    /// The folder for its configuration, log and data, which stays; a temporary one unless told.
    #[must_use]
    pub fn folder(self, folder: impl Into<PathBuf>) -> Self {
        Self { folder: Some(folder.into()), ..self }
    }

    /// Its client port; a free one unless told.
    #[must_use]
    pub fn port(self, port: u16) -> Self {
        Self { port: Some(port), ..self }
    }

    /// Which ZooKeeper to start; the one that [`Installation::find`] finds unless told.
    #[must_use]
    pub fn installation(self, installation: Installation) -> Self {
        Self { installation: Some(installation), ..self }
    }

    /// How long a start may take.
    #[must_use]
    pub fn start_limit(self, limit: Duration) -> Self {
        Self { start_limit: limit, ..self }
    }

    /// Whether to say on stderr what takes time, for people who wait. Installing is always said.
    #[must_use]
    pub fn progress(self, shown: bool) -> Self {
        Self { progress: shown, ..self }
    }

    /// Starts the server and waits until it serves.
    ///
    /// # Errors
    ///
    /// No ZooKeeper here, or it did not start; the text says why.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it leaves no server behind.
    pub async fn start(self) -> Result<Server, Error> {
        let mut launch = self.launch().await?;
        let progress = self.progress.then(|| Progress::start("starting a ZooKeeper server"));
        let mut attempt = 1;
        loop {
            let server = self.prepare(launch, self.choose_port()?, Vec::new())?;
            server.launch_process()?;
            match server.serving().await {
                Ok(()) => {
                    if let Some(progress) = progress {
                        progress.finish(&format!("ZooKeeper serves on {}", server.address()));
                    }
                    return Ok(server);
                }
                Err(_) if self.may_try_again(attempt) && server.lost_its_port() => {
                    attempt += 1;
                    launch = server.into_launch();
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The same settings, but any port and a temporary folder: for one of several servers.
    pub(crate) fn without_place(self) -> Self {
        Self { port: None, folder: None, ..self }
    }

    /// What to start, and where: the same for every attempt.
    pub(crate) async fn launch(&self) -> Result<Launch, Error> {
        let installation = match &self.installation {
            Some(installation) => installation.clone(),
            None => Installation::find().await?,
        };
        let folder = match &self.folder {
            Some(path) => Folder::named(path)?,
            None => Folder::temporary()?,
        };
        Ok(Launch {
            installation,
            folder,
            properties: self.properties.clone(),
            class_path: self.class_path.clone(),
            java_options: self.java_options.clone(),
            start_limit: self.start_limit,
        })
    }

    pub(crate) fn prepare(
        &self,
        launch: Launch,
        client_port: u16,
        members: Vec<Member>,
    ) -> Result<Server, Error> {
        let config = Config {
            data: launch.folder.data(),
            client_port,
            tick: self.tick,
            min_session: self.min_session,
            max_session: self.max_session,
            members,
            extra: self.config.clone(),
        };
        Server::prepare(launch, &config)
    }

    fn choose_port(&self) -> Result<u16, Error> {
        match self.port {
            Some(port) => Ok(port),
            None => free_port().map_err(cannot("find a free port")),
        }
    }

    fn may_try_again(&self, attempt: usize) -> bool {
        self.port.is_none() && attempt < ATTEMPTS
    }
}
