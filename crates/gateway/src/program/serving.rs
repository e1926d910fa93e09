//! What listens, from when it is started to its orderly end.

use std::sync::Arc;

use anyhow::anyhow;
use cli::ending::{WITHDRAW, close};
use cli::output::say;
use gateway::App;
use gateway::proxy::Proxy;
use gateway::serve::{BesideProxy, Limits, Serve, serve};
use gateway::tls::Tls;
use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinSet};
use tracing::warn;
use zk_session::Keeper;

/// What listens. All of it ends together.
pub(crate) struct Serving {
    app: Arc<App>,
    limits: Limits,
    proxy: Option<Proxy>,
    servers: JoinSet<usize>,
}

impl Serving {
    pub(crate) fn new(app: Arc<App>, limits: Limits) -> Self {
        Self { app, limits, proxy: None, servers: JoinSet::new() }
    }

    /// Serves the registry.
    pub(crate) fn registry(
        &mut self,
        listener: TcpListener,
        tls: Option<Tls>,
        service: impl Serve,
    ) -> anyhow::Result<()> {
        let service = BesideProxy { service, app: self.app.clone() };
        self.serve("listening", listener, tls, service)
    }

    /// Serves as a reverse proxy.
    pub(crate) fn proxy(
        &mut self,
        listener: TcpListener,
        tls: Option<Tls>,
        proxy: Proxy,
    ) -> anyhow::Result<()> {
        self.app.tell_of(proxy.clone());
        self.proxy = Some(proxy.clone());
        self.serve("proxying", listener, tls, proxy)
    }

    fn serve(
        &mut self,
        does: &str,
        listener: TcpListener,
        tls: Option<Tls>,
        service: impl Serve,
    ) -> anyhow::Result<()> {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let address = listener.local_addr()?;
        let app = self.app.clone();
        let closing = async move { app.closing().await };
        self.servers.spawn(serve(listener, tls, service, self.limits.clone(), closing));
        say(format_args!("{does} on {scheme}://{address}"));
        Ok(())
    }

    /// Waits until something that listens ends that should not.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        match self.servers.join_next().await {
            Some(ended) => why(ended),
            None => std::future::pending().await,
        }
    }

    /// Accepts no more, withdraws what was registered, finishes what runs, and closes the session.
    pub(crate) async fn leave(mut self, keeper: Keeper) -> anyhow::Result<()> {
        self.app.close();
        if let Some(proxy) = &self.proxy {
            // They do not end by themselves, and whoever is at their other end can connect to another gateway.
            proxy.end_tunnels();
        }
        let ended = async {
            let (mut cut, mut failed) = (0, None);
            while let Some(ended) = self.servers.join_next().await {
                match ended {
                    Ok(more) => cut += more,
                    Err(error) => failed = Some(error),
                }
            }
            (cut, failed)
        };
        let ((cut, failed), left) = tokio::join!(ended, self.app.leases().close(WITHDRAW));
        if left > 0 {
            warn!(instances = left, "not withdrawn in time: they go with the session");
        }
        if cut > 0 {
            warn!(connections = cut, "cut off what did not end in time");
        }
        if !close(keeper).await {
            warn!("ZooKeeper cannot be reached: what we registered there expires");
        }
        failed.map_or(Ok(()), |error| Err(why(Err(error))))
    }
}

fn why(ended: Result<usize, JoinError>) -> anyhow::Error {
    match ended {
        Ok(_) => anyhow!("a server ended that nobody asked to"),
        Err(error) => anyhow::Error::from(error).context("a server has failed"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cli::listening::listen;
    use gateway::{Fleet, fleet};
    use registry::{Native, Registry};
    use tokio::time::timeout;
    use zk_session::fake::FakeZk;

    use super::*;

    #[tokio::test]
    async fn a_server_that_dies_is_told_and_the_others_end_in_order() {
        let keeper = Keeper::start(FakeZk::default().client());
        let registry = Registry::new(keeper.sessions(), Native::default());
        let app = App::new(Fleet::start(registry, None, [], fleet::Options::default()));
        let mut serving = Serving::new(app, Limits::default());
        let listener = listen("--listen", "127.0.0.1:0".parse().unwrap()).await.unwrap();
        serving.registry(listener, None, axum::Router::new()).unwrap();
        serving.servers.spawn(async { panic!("on purpose") });
        let told = timeout(Duration::from_secs(20), serving.failed()).await.unwrap();
        assert!(format!("{told:#}").starts_with("a server has failed: "), "{told:#}");
        timeout(Duration::from_secs(20), serving.leave(keeper)).await.unwrap().unwrap();
    }
}
