//! What runs during the tour, and what is seen of it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use cli::ending;
use cli::output::tell;
use leader::{Master, Observer, Term};
use proto::ServiceName;
use registry::{Discovery, View};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use zk_session::{Keeper, State};

use super::TICK;
use super::cast::{self, Host};
use super::console::Console;
use crate::connection::{Connection, problem};
use crate::player::{self, Player};

/// For so long a ZooKeeper that is not ours may say nothing.
const FOREIGN: Duration = Duration::from_secs(10);

/// Everything that the tour started.
pub(super) struct Stage {
    pub(super) connection: Connection,
    pub(super) service: ServiceName,
    pub(super) hosts: Vec<Host>,
    client: Option<Player>,
    pub(super) console: Option<Console>,
    /// What the client said so far.
    pub(super) requests: Vec<Request>,
    pub(super) staying: bool,
    begun: Instant,
    view: watch::Receiver<Option<View>>,
    masters: watch::Receiver<Option<leader::View>>,
    _observer: Observer,
    // What is declared last is dropped last: nobody is to miss ZooKeeper.
    _discovery: Discovery,
    keeper: Keeper,
    server: Option<zk_local::Server>,
}

/// A request of the client.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) at: Instant,
    pub(super) answered: Option<String>,
    /// Those who were asked before, and did not answer.
    pub(super) refused: Vec<String>,
    pub(super) took: Duration,
}

/// A line of the client. Its last one is a summary, and is none.
#[derive(Deserialize)]
struct Line {
    answered: Option<String>,
    refused: Vec<Refusal>,
    took_ms: f64,
}

#[derive(Deserialize)]
struct Refusal {
    instance: String,
}

impl Stage {
    pub(super) fn set(
        connection: Connection,
        service: ServiceName,
        server: Option<zk_local::Server>,
    ) -> anyhow::Result<Self> {
        let keeper = connection.keep()?;
        let observer = connection.election(keeper.sessions()).observe(&service);
        let discovery = connection.registry(keeper.sessions()).follow(&service);
        Ok(Self {
            connection,
            service,
            hosts: Vec::new(),
            client: None,
            console: None,
            requests: Vec::new(),
            staying: false,
            begun: Instant::now(),
            view: discovery.view(),
            masters: observer.view(),
            _observer: observer,
            _discovery: discovery,
            keeper,
            server,
        })
    }

    /// Tells the person at the terminal, with the time since the beginning.
    pub(super) async fn say(&self, text: &str) -> anyhow::Result<()> {
        tell(self.line(text)).await
    }

    pub(super) fn line(&self, text: &str) -> String {
        format!("{:5.1} s  {text}", self.begun.elapsed().as_secs_f64())
    }

    /// Whether the story is over and the stage stays up.
    pub(super) fn is_staying(&self) -> bool {
        self.staying
    }

    /// The timeout that the server granted.
    pub(super) fn timeout(&self) -> anyhow::Result<Duration> {
        match *self.keeper.sessions().state().borrow() {
            State::Connected { timeout, .. } => Ok(timeout),
            _ => bail!("the connection to ZooKeeper at {} was lost", self.connection.access.zk),
        }
    }

    /// The most that ZooKeeper takes to find that a session of this timeout is over.
    pub(super) fn expiry(&self, timeout: Duration) -> Duration {
        // Of a strange server we know only that two of its ticks are the least that it grants.
        timeout + if self.server.is_some() { TICK * 2 } else { timeout }
    }

    /// Whether the first whole list is here.
    pub(super) fn has_a_list(&self) -> bool {
        self.view.borrow().is_some()
    }

    /// Waits for ZooKeeper: for our own as long as this, for another one only as long as a person looks at nothing.
    pub(super) async fn first_answer(&mut self, own: Duration) -> anyhow::Result<()> {
        let what = "ZooKeeper's first answer";
        if self.server.is_some() {
            return self.until(what, own, Self::has_a_list).await;
        }
        let answer = self.until(what, FOREIGN, Self::has_a_list).await;
        answer.map_err(|late| {
            let tip = self.connection.tip();
            anyhow!("{late}{tip}; without --zk and ZK_CONNECT (unset ZK_CONNECT) the tour brings its own")
        })
    }

    /// The ids that discovery offers now.
    pub(super) fn listed(&self) -> Vec<String> {
        let view = self.view.borrow();
        view.iter().flat_map(|view| view.entries.iter()).map(|instance| instance.id.to_string()).collect()
    }

    /// Who leads, as everybody sees it now.
    pub(super) fn master(&self) -> Option<Arc<Master>> {
        self.masters.borrow().as_ref().and_then(|view| view.master.clone())
    }

    /// Which of the servers that is, and in which term.
    pub(super) fn leading(&self) -> Option<(usize, Term)> {
        let master = self.master()?;
        let host = self.hosts.iter().position(|host| host.address.to_string() == master.id)?;
        Some((host, master.term))
    }

    pub(super) fn begin_client(&mut self) -> anyhow::Result<()> {
        let ten_a_second = ["--requests", "0", "--interval", "100ms"];
        self.client = Some(cast::client(&self.connection, &self.service, &ten_a_second)?);
        Ok(())
    }

    /// Follows what happens until `seen` sees what it looks for, `within` a time.
    pub(super) async fn until(
        &mut self,
        what: &str,
        within: Duration,
        mut seen: impl FnMut(&Self) -> bool,
    ) -> anyhow::Result<()> {
        let give_up = Instant::now() + within;
        while !seen(self) {
            if timeout_at(give_up, self.next()).await.is_err() {
                let why = problem(&self.keeper.sessions());
                bail!("waited {within:?} in vain for {what}{why}");
            }
        }
        Ok(())
    }

    /// What `doing` gives. What happens until then is seen.
    pub(super) async fn meanwhile<T>(&mut self, doing: impl Future<Output = T>) -> T {
        let mut doing = std::pin::pin!(doing);
        loop {
            tokio::select! {
                done = &mut doing => return done,
                () = self.next() => {}
            }
        }
    }

    /// The next thing that happens.
    pub(super) async fn next(&mut self) {
        let said = async {
            match &mut self.client {
                Some(client) => client.line().await,
                None => None,
            }
        };
        tokio::select! {
            Ok(()) = self.view.changed() => {
                self.view.borrow_and_update();
            }
            Ok(()) = self.masters.changed() => {
                self.masters.borrow_and_update();
            }
            Some(line) = said => {
                if let Ok(Line { answered, refused, took_ms }) = serde_json::from_str(&line) {
                    let refused = refused.into_iter().map(|refusal| refusal.instance).collect();
                    let took = Duration::try_from_secs_f64(took_ms / 1000.0).unwrap_or_default();
                    self.requests.push(Request { at: Instant::now(), answered, refused, took });
                }
            }
            // Nothing will ever happen; whoever waits has a limit.
            else => std::future::pending().await,
        }
    }

    /// Ends the client: whether it had nothing to complain of.
    pub(super) async fn end_client(&mut self) -> anyhow::Result<bool> {
        let Some(mut client) = self.client.take() else { return Ok(true) };
        Ok(client.stop().await?.success())
    }

    /// Stops everything, the servers first: they have something to take away.
    pub(super) async fn clear(mut self) -> anyhow::Result<()> {
        let players = self.hosts.iter_mut().map(|host| &mut host.player).chain(&mut self.client);
        let players = players.chain(self.console.as_mut().map(|console| &mut console.player));
        let stopped = player::stop_all(players).await;
        ending::close(self.keeper).await;
        if let Some(server) = self.server {
            server.stop().await.context("ZooKeeper did not stop")?;
        }
        stopped.map(drop)
    }
}
