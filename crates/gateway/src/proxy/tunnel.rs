//! A connection that is no longer HTTP: both ways are copied.

use std::error::Error;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tokio::sync::watch;
use tracing::debug;

use super::connections::Connection;
use super::service::Chosen;

/// What both ends agreed to use on their own.
pub(super) struct Tunnel {
    pub(super) client: OnUpgrade,
    pub(super) instance: OnUpgrade,
    /// Lives until the instance's end is handed over.
    pub(super) connection: Connection,
    /// In flight as long as this lasts.
    pub(super) chosen: Chosen,
}

impl Tunnel {
    /// Copies both ways until both have ended, each in its own time, one breaks, or tunnels are to end.
    pub(super) async fn run(self, mut over: watch::Receiver<bool>) {
        let Self { client, instance, connection, chosen } = self;
        let copied = async {
            let mut instance = TokioIo::new(instance.await?);
            drop(connection);
            let mut client = TokioIo::new(client.await?);
            copy_bidirectional(&mut client, &mut instance).await?;
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        };
        let ends = async {
            // A sender that is gone ends them, too.
            let _ = over.wait_for(|over| *over).await;
        };
        tokio::select! {
            copied = copied => {
                if let Err(error) = copied {
                    debug!(instance = %chosen.id(), error = &*error as &dyn Error, "tunnel broke");
                }
            }
            () = ends => {}
        }
        chosen.succeeded();
    }
}
