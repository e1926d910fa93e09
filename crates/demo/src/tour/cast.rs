//! The processes of the tour.

use std::net::TcpListener;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use leader::Term;
use proto::{Address, ServiceName};
use tokio::time::timeout;

use crate::connection::Connection;
use crate::player::Player;

/// How long a process may take to begin.
const BEGIN: Duration = Duration::from_secs(60);

/// Where servers go when the usual ports are taken.
const OTHERS: Range<u16> = 8900..9000;

/// How many ports are tried for one server.
const ATTEMPTS: usize = 5;

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
