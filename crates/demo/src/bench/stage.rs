//! What every bench works with: a server, sessions of both sides, and instances to announce.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use futures::future::try_join_all;
use proto::{Address, NodeData, Root, ServiceName};
use registry::{Native, Registration, Registry};
use tokio::time::{sleep, timeout};
use zk_local::{Proxy, Server};
use zk_session::{Keeper, Link, SessionId, State, ZooKeeper};
use zookeeper_client::{Acls, Client, CreateMode, CreateOptions, Error};

use super::report::progress::Progress;

/// No session may end while it is measured, however busy the machine is.
pub(crate) const SESSION: Duration = Duration::from_secs(30);
/// How the server is run: as those of comparisons with other libraries are, and with more memory than all of this needs.
const JAVA: [&str; 3] = ["-Xms512m", "-Xmx2g", "-XX:+UseParallelGC"];
const PAUSE: Duration = Duration::from_millis(10);
pub(crate) const ROOT: &str = "/headkeeper-bench";
/// How long it may take that what a scenario left is gone, and that a directory has what is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server, and a client that looks at it while others are measured.
pub(crate) struct Stage {
    connect: String,
    server: Option<Server>,
    root: Root,
    pub(crate) witness: Client,
    progress: Arc<Progress>,
}

/// Our side: a session that is open, and a registry on it.
pub(crate) struct Ours {
    keeper: Keeper,
    pub(crate) registry: Registry,
}

impl Stage {
    pub(crate) async fn set(zk: Option<&str>, progress: Arc<Progress>) -> anyhow::Result<Self> {
        let server = match zk {
            Some(_) => None,
            None => Some(Server::builder().java_options(JAVA).start().await?),
        };
        let connect = match (zk, &server) {
            (Some(zk), _) => zk.to_owned(),
            (None, Some(server)) => server.connect_string(),
            (None, None) => return Err(anyhow!("there is no server")),
        };
        let witness = raw(&connect).await?;
        Ok(Self { connect, server, root: Root::parse(ROOT)?, witness, progress })
    }

    /// What a scenario tells of where it is.
    pub(crate) fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// Takes away what the scenario left, for the next size begins with nothing.
    pub(crate) async fn clear(&self) -> anyhow::Result<()> {
        let deleted = timeout(PATIENCE, delete_all(&self.witness)).await;
        deleted.with_context(|| format!("{ROOT} does not become empty"))?
    }

    /// What runs the server, for the record.
    pub(crate) async fn server(&self) -> anyhow::Result<String> {
        let Some(server) = &self.server else { return Ok(format!("ZooKeeper at {}", self.connect)) };
        let answer = server.four_letter("srvr").await?;
        let version = answer.lines().find_map(|line| line.strip_prefix("Zookeeper version: "));
        let version = version.and_then(|version| version.split(['-', ',']).next()).unwrap_or("unknown");
        Ok(format!(
            "ZooKeeper {version}, one server on the same machine, forceSync=no; Java with {}",
            JAVA.join(" ")
        ))
    }

    /// Where the server is, if it is ours: only then it can be asked what it counted, and be put behind a proxy.
    pub(crate) fn own_server(&self) -> Option<&Server> {
        self.server.as_ref()
    }

    /// A way to the server that can be cut and slowed down, where the server is ours.
    pub(crate) async fn way(&self) -> anyhow::Result<Option<Proxy>> {
        match &self.server {
            Some(server) => Ok(Some(Proxy::start(server.address()).await?)),
            None => Ok(None),
        }
    }

    /// Where clients reach the server by that way, or without it.
    pub(crate) fn through(&self, way: Option<&Proxy>) -> String {
        way.map_or_else(|| self.connect.clone(), Proxy::connect_string)
    }

    /// Where clients reach the server.
    pub(crate) fn connect(&self) -> &str {
        &self.connect
    }

    /// Below what everything is.
    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    /// A session of the bare client.
    pub(crate) async fn raw(&self) -> anyhow::Result<Client> {
        raw(&self.connect).await
    }

    /// A session of ours, connected.
    pub(crate) async fn ours(&self) -> anyhow::Result<Ours> {
        let ours = self.start()?;
        ours.link().await?;
        Ok(ours)
    }

    /// The same, not waiting for the connection.
    pub(crate) fn start(&self) -> anyhow::Result<Ours> {
        self.start_at(&self.connect)
    }

    /// The same through another address.
    pub(crate) fn start_at(&self, connect: &str) -> anyhow::Result<Ours> {
        self.start_for(connect, SESSION)
    }

    /// The same for a session that the server gives up after another time.
    pub(crate) fn start_for(&self, connect: &str, session: Duration) -> anyhow::Result<Ours> {
        Ours::start(connect, session)
    }

    /// Makes the directory of a service that nobody used before.
    pub(crate) async fn service(&self, name: &str) -> anyhow::Result<ServiceName> {
        let service = ServiceName::parse(name)?;
        let parents = CreateMode::Persistent.with_acls(Acls::anyone_all());
        self.witness.mkdir(&self.directory(&service), &parents).await?;
        Ok(service)
    }

    pub(crate) fn directory(&self, service: &ServiceName) -> String {
        self.root.instances_dir(service)
    }

    /// The nodes of instances as the registry makes them: paths and values.
    pub(crate) fn nodes(
        &self,
        service: &ServiceName,
        instances: &[NodeData],
    ) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
        let node = |data: &NodeData| {
            Ok((self.root.instance_path(service, &data.default_id()?), proto::encode(data)?))
        };
        instances.iter().map(node).collect()
    }

    /// Waits until a directory has so many children, by looking; not for ever.
    pub(crate) async fn until_children(&self, directory: &str, wanted: usize) -> anyhow::Result<()> {
        let looking = async {
            while self.witness.list_children(directory).await?.len() != wanted {
                sleep(PAUSE).await;
            }
            Ok(())
        };
        let found = timeout(PATIENCE, looking).await;
        found.with_context(|| format!("{directory} does not get {wanted} children within {PATIENCE:?}"))?
    }

    /// Refuses a run that did not do its work.
    pub(crate) async fn must_have(&self, directory: &str, wanted: usize) -> anyhow::Result<()> {
        match self.witness.list_children(directory).await?.len() {
            found if found == wanted => Ok(()),
            found => Err(anyhow!("{directory} has {found} children instead of {wanted}")),
        }
    }

    /// How often a child was made or deleted in a directory, as its server counts.
    pub(crate) async fn touched(&self, directory: &str) -> anyhow::Result<i32> {
        let stat = self.witness.check_stat(directory).await?;
        Ok(stat.with_context(|| format!("{directory} is gone"))?.cversion)
    }

    /// Does something, and tells how many requests the server received meanwhile, of whomever.
    pub(crate) async fn counted<T>(
        &self,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<(T, Option<u64>)> {
        let Some(server) = &self.server else { return Ok((work.await?, None)) };
        let packets = async || -> anyhow::Result<u64> {
            let figures = server.mntr().await?;
            Ok(figures.get("zk_packets_received").context("the server does not count")?.parse()?)
        };
        let before = packets().await?;
        let asked = packets().await?;
        let done = work.await?;
        let after = packets().await?;
        // The question is counted, too.
        Ok((done, Some((after - asked).saturating_sub(asked - before))))
    }
}

impl Ours {
    /// A session on the servers of a bench, which give it up after such a time; not waiting for the connection.
    pub(crate) fn start(connect: &str, session: Duration) -> anyhow::Result<Self> {
        let keeper = Keeper::start(ZooKeeper::builder(connect).session_timeout(session).build()?);
        let registry = Registry::new(keeper.sessions(), Native { root: Root::parse(ROOT)? });
        Ok(Self { keeper, registry })
    }

    pub(crate) async fn link(&self) -> anyhow::Result<Link> {
        self.keeper.sessions().next().await.context("the keeper was closed")
    }

    /// Which session it is.
    pub(crate) async fn session(&self) -> anyhow::Result<SessionId> {
        Ok(self.link().await?.id())
    }

    /// Waits until it is connected to another session than that one.
    pub(crate) async fn another_session(&self, before: SessionId) -> anyhow::Result<()> {
        let mut state = self.keeper.sessions().state();
        state.wait_for(|now| matches!(now, State::Connected { id, .. } if *id != before)).await?;
        Ok(())
    }

    /// Ends the session, and with it all its nodes.
    pub(crate) async fn close(self) {
        self.keeper.close().await;
    }
}

/// Instances that say about as much as real ones do.
pub(crate) fn instances(count: u32) -> anyhow::Result<Vec<NodeData>> {
    let instance = |number: u32| {
        let [_, high, middle, low] = number.to_be_bytes();
        let mut data = NodeData::at(Address::new(&format!("10.{high}.{middle}.{low}"), 8897)?)
            .with_weight(1 + number % 100)
            .with_metadata("version", "2.14.0")
            .with_metadata("zone", "b");
        // Any time will do; but given, so that both sides write the same bytes.
        data.registered_at = 1_700_000_000_000 + u64::from(number);
        Ok(data)
    };
    (0..count).map(instance).collect()
}

/// An instance with a name as long as those that orchestrators give: of 100,000, the names alone are 5 MB.
pub(crate) fn long_named(number: u32, weight: u32) -> anyhow::Result<NodeData> {
    let host = format!("instance-{number:07}.pool-b.zone-1.region-2.example.net");
    let mut data = NodeData::at(Address::new(&host, 8897)?)
        .with_weight(weight)
        .with_metadata("version", "2.14.0")
        .with_metadata("zone", "b");
    // Any time will do; but given, so that the same instance is the same bytes.
    data.registered_at = 1_700_000_000_000 + u64::from(number);
    Ok(data)
}

/// Waits until all are known to be registered.
pub(crate) async fn registered(all: &[Registration]) -> anyhow::Result<()> {
    for registration in all {
        registration.registered().await?;
    }
    Ok(())
}

/// How instances are stored.
pub(crate) fn ephemeral() -> CreateOptions<'static> {
    CreateMode::Ephemeral.with_acls(Acls::anyone_all())
}

/// A session of the bare client.
pub(crate) async fn raw(connect: &str) -> anyhow::Result<Client> {
    Ok(Client::connector().with_session_timeout(SESSION).connect(connect).await?)
}

/// Takes away what a bench left that was stopped. Bound it: there may be no server.
pub(crate) async fn clear(connect: &str) -> anyhow::Result<()> {
    delete_all(&raw(connect).await?).await
}

async fn delete_all(client: &Client) -> anyhow::Result<()> {
    // A node that comes meanwhile is of a session that ends; another turn finds it.
    while !delete_below(client, ROOT.to_owned()).await? {
        sleep(PAUSE).await;
    }
    Ok(())
}

/// Deletes a node with all below it, in requests that do not wait for each other. Tells whether all of it is gone.
async fn delete_below(client: &Client, path: String) -> Result<bool, Error> {
    let children = match client.list_children(&path).await {
        Err(Error::NoNode) => return Ok(true),
        listed => listed?,
    };
    let below = children.into_iter().map(|child| Box::pin(delete_below(client, format!("{path}/{child}"))));
    try_join_all(below).await?;
    match client.delete(&path, None).await {
        Ok(()) | Err(Error::NoNode) => Ok(true),
        Err(Error::NotEmpty) => Ok(false),
        Err(error) => Err(error),
    }
}
