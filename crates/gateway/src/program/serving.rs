//! What listens, from when it is started to its orderly end.

use std::sync::Arc;
use std::time::Duration;

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

/// How long what runs at the registry's port may take once it is asked to stop: a little longer than the body of a request is waited for then,
/// so that whoever sends it is answered. All else there is short, or ends by itself.
const REGISTRY_ENDS: Duration = Duration::from_millis(1_200);

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
        let limits = Limits { finish: self.limits.finish.min(REGISTRY_ENDS), ..self.limits.clone() };
        self.serve("listening", listener, tls, service, limits)
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
        self.serve("proxying", listener, tls, proxy, self.limits.clone())
    }

    fn serve(
        &mut self,
        does: &str,
        listener: TcpListener,
        tls: Option<Tls>,
        service: impl Serve,
        limits: Limits,
    ) -> anyhow::Result<()> {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let address = listener.local_addr()?;
        let app = self.app.clone();
        let closing = async move { app.closing().await };
        self.servers.spawn(serve(listener, tls, service, limits, closing));
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
    use std::net::SocketAddr;

    use cli::listening::listen;
    use gateway::{Fleet, Guard, api, fleet};
    use registry::{Native, Registry};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::{Instant, timeout};
    use zk_session::fake::FakeZk;

    use super::*;

    /// A registry that is served within these limits, and where.
    async fn start(limits: Limits) -> (Serving, Keeper, SocketAddr) {
        let keeper = Keeper::start(FakeZk::default().client());
        let registry = Registry::new(keeper.sessions(), Native::default());
        let app = App::new(Fleet::start(registry, None, [], fleet::Options::default()));
        let mut serving = Serving::new(app.clone(), limits);
        let listener = listen("--listen", "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        serving.registry(listener, None, api::router(app, Guard::default())).unwrap();
        (serving, keeper, address)
    }

    #[tokio::test]
    async fn a_client_that_does_not_say_all_holds_up_its_end_for_little_more_than_a_second() {
        const HEAD: &str = "PUT /v1/services/time/instances/a HTTP/1.1\r\nhost: localhost\r\n";
        for (what, told) in [
            ("", ""),
            // It is asked for the rest of the body, so the gateway is at it.
            (
                "content-type: application/json\r\ncontent-length: 100\r\nexpect: 100-continue\r\n\r\n{",
                "HTTP/1.1 100 Continue\r\n\r\n",
            ),
        ] {
            let hour = Duration::from_secs(3_600);
            let (serving, keeper, address) = start(Limits { finish: hour, ..Limits::default() }).await;
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(HEAD.as_bytes()).await.unwrap();
            client.write_all(what.as_bytes()).await.unwrap();
            let mut heard = vec![0; told.len()];
            client.read_exact(&mut heard).await.unwrap();
            assert_eq!(String::from_utf8(heard).unwrap(), told);
            // Who comes behind it is served, so its head is read as far as it goes.
            let mut behind = TcpStream::connect(address).await.unwrap();
            behind.write_all(b"GET /healthz HTTP/1.0\r\nhost: localhost\r\n\r\n").await.unwrap();
            behind.read_to_end(&mut Vec::new()).await.unwrap();

            tokio::time::pause();
            let since = Instant::now();
            serving.leave(keeper).await.unwrap();
            assert!(since.elapsed() <= Duration::from_millis(1_500), "{:?}", since.elapsed());
            tokio::time::resume();
            let mut answer = Vec::new();
            // A reset is an end, too.
            let _ = client.read_to_end(&mut answer).await;
            let answer = String::from_utf8(answer).unwrap();
            let is_told = answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nconnection: close\r\n");
            assert_eq!(is_told, !told.is_empty(), "{answer}");
        }
    }

    #[tokio::test]
    async fn a_server_that_dies_is_told_and_the_others_end_in_order() {
        let (mut serving, keeper, _) = start(Limits::default()).await;
        serving.servers.spawn(async { panic!("on purpose") });
        let told = timeout(Duration::from_secs(20), serving.failed()).await.unwrap();
        assert!(format!("{told:#}").starts_with("a server has failed: "), "{told:#}");
        timeout(Duration::from_secs(20), serving.leave(keeper)).await.unwrap().unwrap();
    }
}
