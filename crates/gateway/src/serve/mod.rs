//! Accepts connections and serves what comes on them, within limits, until it is asked to stop.

mod connection;
mod heads;
mod leaving;
mod limits;
mod services;
mod streams;
mod wire;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tracing::warn;

use self::connection::{Connection, Shared};
pub(crate) use self::leaving::Leaving;
pub use self::limits::Limits;
pub use self::services::{BesideProxy, Replaceable, Serve};
use crate::socket::is_for_want_of_room;
use crate::tls::Tls;

/// How long to wait after a connection could not be accepted, for want of files perhaps, which others give back.
const BREATH: Duration = Duration::from_millis(50);

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Whether it speaks TLS.
    pub secure: bool,
    /// Whether it has shown a certificate that we trust.
    pub certified: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    /// What runs is finished.
    Finishing,
    /// What still runs is cut off.
    Cut,
}

/// Serves connections, by TLS or as they are, until `stop` is ready; then accepts no more, and finishes what runs as long as the limit says. Gives how many
/// connections were cut off.
///
/// Connections that are no longer HTTP are waited for, too, but not ended here: that is for whoever made them tunnels.
///
/// # Cancel safety
///
/// Dropped, it accepts no more, and what runs is cut off.
///
/// # Panics
///
/// Outside a tokio runtime.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    service: impl Serve,
    limits: Limits,
    stop: impl Future<Output = ()>,
) -> usize {
    let room = Arc::new(Semaphore::new(limits.connections));
    let (phases, phase) = watch::channel(Phase::Serving);
    let shared = Arc::new(Shared { tls, limits, service });
    let accepting = async {
        let mut fails = false;
        loop {
            // First the room, then the connection: those who find none wait with the kernel.
            let Ok(place) = room.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, address)) => {
                    fails = false;
                    let connection = Connection { shared: shared.clone(), phase: phase.clone() };
                    tokio::spawn(connection.run(stream, address, place));
                }
                // A client that went again before it was accepted is nobody's trouble.
                Err(error) if is_of_client(&error) => {}
                // What somebody waits for comes before what is kept in case somebody asks.
                Err(error) if is_for_want_of_room(&error) && shared.service.make_room() => {}
                Err(error) => {
                    // Said once, however long it lasts.
                    if !std::mem::replace(&mut fails, true) {
                        warn!(error = &error as &dyn Error, "cannot accept connections");
                    }
                    sleep(BREATH).await;
                }
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = stop => {}
    }
    drop(listener);
    phases.send_replace(Phase::Finishing);
    let all = u32::try_from(shared.limits.connections).unwrap_or(u32::MAX);
    if timeout(shared.limits.finish, room.acquire_many(all)).await.is_ok() {
        return 0;
    }
    let left = shared.limits.connections - room.available_permits();
    phases.send_replace(Phase::Cut);
    left
}

fn is_of_client(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}
