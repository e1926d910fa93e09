//! What runs while the old systems are shown: a ZooKeeper, processes of this program, and what plays the old programs.

use std::time::Duration;

use anyhow::{Context, bail};
use cli::ending;
use cli::output::tell;
use cli::zookeeper::Layout;
use jiff::Timestamp;
use proto::Address;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use zk_local::Server;
use zk_session::{Keeper, Kind, Name, Presence, Spec, Status};

use crate::connection::Connection;
use crate::player::{self, Player};

/// How long something that takes milliseconds may take on a loaded machine.
pub(super) const SOON: Duration = Duration::from_secs(60);

/// What is shown, and what it is shown with.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) connection: Connection,
    begun: Instant,
    zookeeper: Server,
}

impl Stage {
    pub(super) fn set(connection: Connection, zookeeper: Server) -> Self {
        Self { connection, begun: Instant::now(), zookeeper }
    }

    /// Tells the person at the terminal, with the time since the beginning.
    pub(super) async fn say(&self, text: &str) -> anyhow::Result<()> {
        tell(format!("{:5.1} s  {text}", self.begun.elapsed().as_secs_f64())).await
    }

    /// Shows the command that would do the same in a terminal.
    pub(super) async fn command(&self, text: &str) -> anyhow::Result<()> {
        tell(format!("         $ demo {text}")).await
    }

    /// The same ZooKeeper, with services in another layout.
    pub(super) fn connection(&self, layout: Layout, place: &str) -> anyhow::Result<Connection> {
        let mut connection = self.connection.clone();
        connection.place.layout = layout;
        match layout {
            Layout::Flat => connection.place.dir = place.parse()?,
            Layout::Native | Layout::MasterNormal => connection.place.root = place.parse()?,
        }
        Ok(connection)
    }

    /// Ends what everybody here needs.
    pub(super) async fn clear(self) -> anyhow::Result<()> {
        self.zookeeper.stop().await.context("ZooKeeper did not stop")
    }
}

/// What plays an old program: it keeps one node as that program does, and answers connections with one line as those did,
/// without an end of the line, and without reading what it was sent.
#[derive(Debug)]
pub(super) struct Old {
    pub(super) address: Address,
    keeper: Keeper,
    presence: Presence,
    answering: JoinHandle<()>,
}

impl Old {
    /// Listens on any port, and makes the node that `node` says for the address: its directory, its name, its value.
    pub(super) async fn start(
        connection: &Connection,
        node: impl FnOnce(&Address) -> (String, String, Vec<u8>),
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address: Address = listener.local_addr()?.to_string().parse()?;
        let (directory, name, data) = node(&address);
        let keeper = connection.keep()?;
        let spec = Spec { directory, name: Name::Own(name), data, parents: Kind::Persistent };
        let presence = Presence::hold(keeper.sessions(), spec)?;
        let mut status = presence.status();
        let held = status.wait_for(|status| matches!(status, Status::Held(_)));
        timeout(SOON, held).await.context("ZooKeeper did not take the node of an old program")??;
        let answering = tokio::spawn(answer(listener, address.clone()));
        Ok(Self { address, keeper, presence, answering })
    }

    /// Ends as those programs do that are asked to.
    pub(super) async fn end(self) {
        self.answering.abort();
        self.presence.withdraw().await;
        ending::close(self.keeper).await;
    }
}

async fn answer(listener: TcpListener, address: Address) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let line = format!("{address} {:.0}", Timestamp::now());
        // Whoever hung up meanwhile is not to be answered.
        let _ = stream.write_all(line.as_bytes()).await;
    }
}

/// The next line for which `wanted` gives something.
pub(super) async fn said<T>(
    player: &mut Player,
    what: &str,
    wanted: impl Fn(&str) -> Option<T>,
) -> anyhow::Result<T> {
    let found = async {
        while let Some(line) = player.line().await {
            if let Some(found) = wanted(&line) {
                return Some(found);
            }
        }
        None
    };
    match timeout(SOON, found).await {
        Ok(Some(found)) => Ok(found),
        Ok(None) => bail!("a process ended that was to say {what}"),
        Err(_) => bail!("waited {SOON:?} in vain for a process to say {what}"),
    }
}

/// The same for a line that begins with this; gives the rest of it.
pub(super) async fn said_after(player: &mut Player, start: &str) -> anyhow::Result<String> {
    said(player, start, |line| line.strip_prefix(start).map(str::to_owned)).await
}

/// Asks all to end, and sees to it that they end well.
pub(super) async fn all_end_well(players: &mut [Player]) -> anyhow::Result<()> {
    for ended in player::stop_all(players).await? {
        if !ended.success() {
            bail!("a process that was asked to end did so with {ended}");
        }
    }
    Ok(())
}
