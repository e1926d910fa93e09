//! Several ZooKeeper servers that form one service.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::builder::{ATTEMPTS, Builder};
use crate::config::Member;
use crate::error::{Error, cannot};
use crate::leading::{leader_among, leaders_among};
use crate::ports::free_port;
use crate::progress::Progress;
use crate::proxy::{Direction, Proxy};
use crate::server::{QUESTION_MOST, Server};

/// Followers call a leader as soon as it is elected, mostly before it listens.
const LEADS_SOON: Duration = Duration::from_secs(1);

/// ZooKeeper servers on 127.0.0.1 that elect a leader among them, killed when this is dropped.
///
/// Each is a [`Server`] that can be stopped, killed and paused alone. One that starts serves only when more than half
/// of them do; to start several, use [`Ensemble::start_again`].
#[derive(Debug)]
pub struct Ensemble {
    servers: Vec<Server>,
    /// The ways between the servers, where they lead through proxies.
    links: Vec<Link>,
}

/// The way by which one server reaches another.
#[derive(Debug)]
struct Link {
    from: usize,
    to: usize,
    quorum: Proxy,
    election: Proxy,
}

/// Settings of an [`Ensemble`].
#[derive(Clone, Debug)]
pub struct EnsembleBuilder {
    size: usize,
    server: Builder,
    separable: bool,
    progress: bool,
}

impl EnsembleBuilder {
    /// Settings for all its servers. Each chooses its own port and temporary folder all the same.
    #[must_use]
    pub fn servers(self, server: Builder) -> Self {
        Self { server, ..self }
    }

    /// Leads what the servers say to each other through proxies, for [`Ensemble::isolate`]. It is slower, and works only
    /// as long as the runtime in which it was started.
    #[must_use]
    pub fn separable(self) -> Self {
        Self { separable: true, ..self }
    }

    /// Whether to say on stderr what takes time, for people who wait. Installing is always said.
    #[must_use]
    pub fn progress(self, shown: bool) -> Self {
        Self { progress: shown, ..self }
    }

    /// Starts the servers and waits until all of them serve.
    ///
    /// # Errors
    ///
    /// No ZooKeeper here, or they did not start; the text says why.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it leaves no server behind.
    pub async fn start(self) -> Result<Ensemble, Error> {
        let progress =
            self.progress.then(|| Progress::start(&format!("starting {} ZooKeeper servers", self.size)));
        let mut attempt = 1;
        loop {
            let ensemble = self.prepare().await?;
            match ensemble.start_again().await {
                Ok(()) => {
                    if let Some(progress) = progress {
                        progress.finish(&format!("ZooKeeper serves on {}", ensemble.connect_string()));
                    }
                    return Ok(ensemble);
                }
                Err(_) if attempt < ATTEMPTS && ensemble.servers.iter().any(Server::lost_its_port) => {
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Chooses ports, and writes configurations that name them.
    async fn prepare(&self) -> Result<Ensemble, Error> {
        let ports = (0..3 * self.size).map(|_| free_port()).collect::<Result<Vec<_>, _>>();
        let mut ports = ports.map_err(cannot("find free ports"))?;
        let clients = ports.split_off(2 * self.size);
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let pairs = (1..).zip(ports.chunks(2));
        let members = pairs.map(|(id, pair)| Member { id, quorum: at(pair[0]), election: at(pair[1]) });
        let members: Vec<_> = members.collect();
        let links = if self.separable { links(&members).await? } else { Vec::new() };

        let server = self.server.clone().without_place();
        let mut servers = Vec::new();
        for (from, client) in clients.into_iter().enumerate() {
            let launch = server.launch().await?;
            launch.folder.set_id(members[from].id)?;
            let seen = members.iter().enumerate().map(|(to, member)| match link(&links, from, to) {
                Some(link) => {
                    Member { quorum: link.quorum.address(), election: link.election.address(), ..*member }
                }
                None => *member,
            });
            servers.push(server.prepare(launch, client, seen.collect())?);
        }
        Ok(Ensemble { servers, links })
    }
}

/// A link from each to each other.
async fn links(members: &[Member]) -> Result<Vec<Link>, Error> {
    let mut links = Vec::new();
    for from in 0..members.len() {
        for (to, member) in members.iter().enumerate().filter(|(to, _)| *to != from) {
            let (quorum, election) =
                (Proxy::start(member.quorum).await?, Proxy::start(member.election).await?);
            quorum.wait_for_server(LEADS_SOON);
            links.push(Link { from, to, quorum, election });
        }
    }
    for there in &links {
        if let Some(back) = link(&links, there.to, there.from) {
            there.election.introduce_as(back.election.address());
        }
    }
    Ok(links)
}

fn link(links: &[Link], from: usize, to: usize) -> Option<&Link> {
    links.iter().find(|link| (link.from, link.to) == (from, to))
}

impl Ensemble {
    /// Starts so many servers with the usual settings, and waits until all of them serve.
    ///
    /// # Errors
    ///
    /// No ZooKeeper here, or they did not start; the text says why.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it leaves no server behind.
    pub async fn start(size: usize) -> Result<Self, Error> {
        Self::builder(size).start().await
    }

    /// An ensemble of so many servers, with other settings than the usual ones.
    pub fn builder(size: usize) -> EnsembleBuilder {
        EnsembleBuilder { size, server: Builder::default(), separable: false, progress: false }
    }

    /// Its servers.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// One of its servers.
    ///
    /// # Panics
    ///
    /// There is no such server: they are counted from 0.
    pub fn server(&self, index: usize) -> &Server {
        &self.servers[index]
    }

    /// Where clients reach all of its servers.
    pub fn connect_string(&self) -> String {
        self.servers.iter().map(Server::connect_string).collect::<Vec<_>>().join(",")
    }

    /// Which of its servers leads; waits until one does, and none beside it.
    ///
    /// # Errors
    ///
    /// None or several lead for a long time.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn leader(&self) -> Result<usize, Error> {
        leader_among(&self.addresses()).await
    }

    /// Those who say that they lead. One that is cut off says so for a while beside its successor. Those that do not answer
    /// are waited for, 2 s in all.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn leaders(&self) -> Vec<usize> {
        leaders_among(&self.addresses(), QUESTION_MOST).await
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        self.servers.iter().map(Server::address).collect()
    }

    /// Starts those of its servers that do not run, and waits until all serve.
    ///
    /// # Errors
    ///
    /// They did not start; the text says why.
    ///
    /// # Cancel safety
    ///
    /// Servers that were started go on to start when it is dropped.
    pub async fn start_again(&self) -> Result<(), Error> {
        for server in self.servers.iter().filter(|server| server.pid().is_none()) {
            server.launch_process()?;
        }
        for server in &self.servers {
            server.serving().await?;
        }
        Ok(())
    }

    /// Cuts a server off from the others, silently: nothing arrives any more either way, and its clients still reach it.
    ///
    /// It finds out after `syncLimit` ticks (10 unless told), and the others do.
    ///
    /// # Errors
    ///
    /// The ensemble was not built [separable](EnsembleBuilder::separable).
    ///
    /// # Panics
    ///
    /// There is no such server: they are counted from 0.
    pub fn isolate(&self, index: usize) -> Result<(), Error> {
        self.of(index)?.for_each(|proxy| proxy.stall(Direction::Both));
        Ok(())
    }

    /// Lets a server reach the others again. What was under way arrives late, as in a network.
    ///
    /// # Errors
    ///
    /// The ensemble was not built [separable](EnsembleBuilder::separable).
    ///
    /// # Panics
    ///
    /// There is no such server: they are counted from 0.
    pub fn rejoin(&self, index: usize) -> Result<(), Error> {
        self.of(index)?.for_each(Proxy::heal);
        Ok(())
    }

    /// The proxies between a server and the others.
    fn of(&self, index: usize) -> Result<impl Iterator<Item = &Proxy>, Error> {
        if self.links.is_empty() {
            return Err(Error::WrongState("only an ensemble that was built separable can be separated"));
        }
        // Without this nothing would be cut off, and nobody told.
        assert!(index < self.servers.len(), "there is no server {index} among {}", self.servers.len());
        let links = self.links.iter().filter(move |link| link.from == index || link.to == index);
        Ok(links.flat_map(|link| [&link.quorum, &link.election]))
    }
}
