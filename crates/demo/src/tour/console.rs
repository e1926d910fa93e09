//! The gateway of the tour, with its console.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use proto::ServiceName;
use tokio::time::timeout;

use crate::connection::Connection;
use crate::player::Player;

/// Where the console is, unless somebody else is there.
const PORT: u16 = 8480;

/// How long a process may take to begin.
const BEGIN: Duration = Duration::from_secs(60);

/// A gateway of the tour.
#[derive(Debug)]
pub(super) struct Console {
    /// What a browser opens.
    pub(super) address: String,
    pub(super) player: Player,
}

/// Where the program of the gateway is: beside this one, where cargo puts both.
pub(super) fn program() -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe().context("cannot tell where this program is")?;
    Ok(here.with_file_name("gateway"))
}

impl Console {
    /// A gateway of this service, on the usual port or on any other.
    pub(super) async fn start(
        program: &Path,
        connection: &Connection,
        service: &ServiceName,
    ) -> anyhow::Result<Self> {
        let usual = TcpListener::bind(("127.0.0.1", PORT)).is_ok();
        // Somebody can be faster than the gateway.
        if usual && let Ok(console) = Self::listen(program, connection, service, PORT).await {
            return Ok(console);
        }
        Self::listen(program, connection, service, 0).await
    }

    async fn listen(
        program: &Path,
        connection: &Connection,
        service: &ServiceName,
        port: u16,
    ) -> anyhow::Result<Self> {
        let listen = format!("127.0.0.1:{port}");
        let arguments = ["--listen", &listen, "--service", service.as_str()];
        let mut player = Player::start_other(program, connection, &arguments)?;
        let said = timeout(BEGIN, player.line()).await.ok().flatten();
        let address = said.as_ref().and_then(|line| line.strip_prefix("listening on "));
        let address = address.with_context(|| format!("the gateway on {listen} did not start"))?;
        Ok(Self { address: format!("{address}/"), player })
    }
}
