//! One attempt to reach a session, and the hold on the task that the client runs it with.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use rand::seq::SliceRandom;
use spawns_core::{Spawn, Task};
use tokio::time::{Instant, sleep, sleep_until};
use zookeeper_client as zk;

use super::pace::{Pace, apart};
use crate::options::{Acl, Builder, Reader};
use crate::servers::Servers;
use crate::{Error, SessionId};

/// How to reach the servers, everything checked.
pub(super) struct Dialer {
    servers: String,
    /// A connect string for each.
    each: Vec<String>,
    pace: Mutex<Pace>,
    connector: zk::Connector,
    /// Whether TLS is spoken with servers.
    secure: bool,
    wanted: Duration,
    acl: Arc<[zk::Acl]>,
}

/// A session that is connected, and not served by anything yet.
///
/// When it is dropped the connection goes, and the session stays in ZooKeeper until it is met again or expires.
pub(super) struct Dialed {
    pub(super) client: zk::Client,
    /// Does all reading and writing. While nothing polls it, nothing happens.
    pub(super) task: BoxFuture<'static, ()>,
}

/// Why there is no connection.
pub(super) enum NotDialed {
    /// The session that was asked for is not there any more.
    Expired,
    /// No server said anything, and at least one was listened to for as long as we do: it may have heard us.
    Unheard(Error),
    Failed(Error),
}

impl Dialer {
    pub(super) fn new(servers: &Servers, options: Builder) -> Result<Self, Error> {
        let mut connector =
            zk::Client::connector().with_session_timeout(options.session_timeout).with_fail_eagerly();
        if let Some(login) = &options.digest {
            connector =
                connector.with_auth("digest", format!("{}:{}", login.user, login.password).as_bytes());
        }
        #[cfg(feature = "tls")]
        if let Some(tls) = &options.tls {
            connector = connector.with_tls(tls_options(tls)?);
        }
        #[cfg(feature = "sasl")]
        if let Some(login) = options.sasl {
            connector = connector.with_sasl(zk::SaslOptions::digest_md5(login.user, login.password));
        }
        Ok(Self {
            servers: servers.to_string(),
            each: servers.each(),
            pace: Mutex::default(),
            connector,
            #[cfg(feature = "tls")]
            secure: options.tls.is_some(),
            #[cfg(not(feature = "tls"))]
            secure: false,
            wanted: options.session_timeout,
            acl: acl(&options.acl),
        })
    }

    pub(super) fn servers(&self) -> &str {
        &self.servers
    }

    pub(super) fn acl(&self) -> Arc<[zk::Acl]> {
        self.acl.clone()
    }

    /// The session timeout that the client reckons with at first.
    pub(super) fn assumed(&self, granted: Option<Duration>) -> Duration {
        granted.unwrap_or(self.wanted)
    }

    /// Notes that a connection was lost: the client dialed once more before it was stopped, and the server saw that.
    pub(super) fn lost(&self) {
        self.pace().dialed(Instant::now());
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a server may be dialed. It counts as dialed then.
    async fn turn(&self) {
        loop {
            let turn = self.pace().dial(Instant::now());
            match turn {
                Ok(()) => return,
                Err(due) => sleep_until(due).await,
            }
        }
    }

    /// Tries each server once, in any order, until one can be reached. In no hurry, others who were turned away at the
    /// same moment are not followed to the next server at once.
    pub(super) async fn dial(
        &self,
        session: Option<zk::SessionInfo>,
        granted: Option<Duration>,
        hurry: bool,
    ) -> Result<Dialed, NotDialed> {
        let mut each: Vec<_> = self.each.iter().collect();
        each.shuffle(&mut rand::rng());
        let mut unreachable = NotDialed::Failed(self.unreachable(None));
        let mut unheard = false;
        for (tried, server) in each.into_iter().enumerate() {
            sleep(apart(hurry, tried, rand::random())).await;
            self.turn().await;
            let begin = Instant::now();
            match self.dial_one(server, session.clone(), granted).await {
                Err(NotDialed::Failed(error @ Error::Unreachable { .. })) => {
                    unheard |= begin.elapsed() >= silence(self.assumed(granted));
                    unreachable = if unheard { NotDialed::Unheard(error) } else { NotDialed::Failed(error) };
                }
                outcome => return outcome,
            }
        }
        Err(unreachable)
    }

    async fn dial_one(
        &self,
        server: &str,
        session: Option<zk::SessionInfo>,
        granted: Option<Duration>,
    ) -> Result<Dialed, NotDialed> {
        let mut connector = self.connector.clone().with_connection_timeout(silence(self.assumed(granted)));
        if let Some(session) = session {
            connector = connector.with_session(session);
        }
        let capture = Capture::default();
        let client = if self.secure {
            #[cfg(feature = "tls")]
            let client = capture.during(connector.secure_connect(server)).await;
            #[cfg(not(feature = "tls"))]
            let client = Err(zk::Error::BadArguments(&"built without TLS"));
            client
        } else {
            capture.during(connector.connect(server)).await
        };
        let client = client.map_err(|error| self.not_dialed(error))?;
        match capture.take() {
            Some(task) => Ok(Dialed { client, task }),
            None => Err(NotDialed::Failed(self.unreachable(None))),
        }
    }

    pub(super) fn unreachable(&self, error: Option<zk::Error>) -> Error {
        let source = error.map(|error| Arc::from(Box::from(error.to_string())));
        Error::Unreachable { servers: self.servers.clone(), source }
    }

    fn not_dialed(&self, error: zk::Error) -> NotDialed {
        use zk::Error as Zk;
        NotDialed::Failed(match error {
            Zk::SessionExpired | Zk::SessionMoved => return NotDialed::Expired,
            Zk::AuthFailed => {
                Error::Rejected { what: format!("the servers {} do not accept our login", self.servers) }
            }
            Zk::NoHosts | Zk::Timeout | Zk::ConnectionLoss => self.unreachable(Some(error)),
            // Nothing else comes from a server: the client could not use what it was given, a key for example.
            other => Error::Invalid(format!("cannot connect to {}: {other}", self.servers)),
        })
    }
}

impl Dialed {
    pub(super) fn session(&self) -> zk::SessionInfo {
        self.client.session().clone()
    }

    pub(super) fn id(&self) -> SessionId {
        SessionId(self.client.session_id().0)
    }

    pub(super) fn timeout(&self) -> Duration {
        self.client.session_timeout()
    }
}

/// How long a server may be silent before the connection is given up: a fifth of the session timeout, which leaves
/// time to reach another server before the session expires. Very short sessions get a little more, for a machine
/// that is busy is no dead server.
fn silence(timeout: Duration) -> Duration {
    (timeout / 5).max(Duration::from_millis(200)).min(timeout * 2 / 5)
}

fn acl(acl: &Acl) -> Arc<[zk::Acl]> {
    let all = |who| zk::Acl::new(zk::Permission::ALL, who);
    let read = |who| zk::Acl::new(zk::Permission::READ, who);
    match acl {
        Acl::Open => [all(zk::AuthId::anyone())].into(),
        Acl::Creator { readers: None } => [all(zk::AuthId::authed())].into(),
        Acl::Creator { readers: Some(Reader::Anyone) } => {
            [all(zk::AuthId::authed()), read(zk::AuthId::anyone())].into()
        }
        Acl::Creator { readers: Some(Reader::Identity { scheme, id }) } => {
            [all(zk::AuthId::authed()), read(zk::AuthId::new(scheme, id))].into()
        }
    }
}

#[cfg(feature = "tls")]
fn tls_options(tls: &crate::options::Tls) -> Result<zk::TlsOptions, Error> {
    // The client takes what the process has chosen, and panics where nobody chose and a program has two to choose from.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Somebody else may have chosen meanwhile.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
    let refused = |what: &'static str| {
        move |error: zk::Error| Error::Invalid(format!("{what} is unusable: {error}; PEM text is accepted"))
    };
    let options =
        zk::TlsOptions::new().with_pem_ca(&tls.ca_pem).map_err(refused("the authorities' certificate"))?;
    match &tls.identity {
        Some((cert, key)) => {
            options.with_pem_identity(cert, key).map_err(refused("the certificate or its key"))
        }
        None => Ok(options),
    }
}

/// Catches the task that the client starts once it is connected, before it runs.
#[derive(Default)]
struct Capture(Mutex<Option<BoxFuture<'static, ()>>>);

impl Capture {
    /// Waits for `connecting`, and catches what it starts.
    async fn during<T>(&self, connecting: impl Future<Output = T>) -> T {
        let mut connecting = pin!(connecting);
        poll_fn(|cx| {
            let _scope = spawns_core::enter(self);
            connecting.as_mut().poll(cx)
        })
        .await
    }

    fn take(&self) -> Option<BoxFuture<'static, ()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Spawn for Capture {
    fn spawn(&self, task: Task) {
        let task: Pin<Box<_>> = Box::into_pin(task.future);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpSocket;

    use super::*;

    #[test]
    fn silence_is_a_fifth_of_the_session_and_never_more_than_the_client_accepts() {
        let table = [(10_000, 2_000), (2_000, 400), (1_000, 200), (500, 200), (400, 160), (100, 40)];
        for (timeout, expected) in table {
            assert_eq!(silence(Duration::from_millis(timeout)), Duration::from_millis(expected), "{timeout}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_server_of_a_round_is_dialed_at_once_only_in_a_hurry() {
        // Nothing but our own pauses makes this time pass.
        for (hurry, pauses) in [(true, false), (false, true)] {
            // Nobody listens there, and nobody else can.
            let sockets = [(); 3].map(|()| TcpSocket::new_v4().unwrap());
            for socket in &sockets {
                socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
            }
            let refusing = sockets.each_ref().map(|it| it.local_addr().unwrap().to_string()).join(",");
            let dialer = Dialer::new(&Servers::parse(&refusing).unwrap(), Builder::new(&refusing)).unwrap();
            let begin = Instant::now();
            let failed = dialer.dial(None, None, hurry).await;
            assert!(matches!(failed, Err(NotDialed::Failed(Error::Unreachable { .. }))));
            assert_eq!(!begin.elapsed().is_zero(), pauses, "{hurry}: {:?}", begin.elapsed());
        }
    }
}
