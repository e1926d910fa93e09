//! A TCP proxy between a client and a server that breaks connections on purpose.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

use crate::error::{Error, cannot};
use crate::pump;

const BETWEEN_CALLS: Duration = Duration::from_millis(20);

/// Which way data flow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// What clients send.
    ToServer,
    /// What the server sends.
    ToClient,
    /// All of it.
    Both,
}

/// What passed through a [`Proxy`] so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Traffic {
    /// Connections that are open now.
    pub connections: usize,
    /// Connections that clients made, refused ones too.
    pub accepted: u64,
    /// Answers that were lost after [`Proxy::lose_next_reply`].
    pub lost: u64,
    /// Bytes that came from clients.
    pub bytes_to_server: u64,
    /// Bytes that came from servers.
    pub bytes_to_client: u64,
    /// Answers that came from servers, without greetings, pings and notifications.
    pub answers: u64,
    /// How often [`Proxy::stall_after`] held back what servers sent.
    pub stalls: u64,
}

/// A way to a server that can be broken in every way a network can.
///
/// It listens on a port of its own at 127.0.0.1 and works in the runtime in which it was started, in real time. What
/// it is told counts at once, and for open connections too. Dropped, it closes everything.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: JoinHandle<()>,
}

/// What the proxy and its connections know.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) faults: watch::Sender<Faults>,
    pub(crate) traffic: watch::Sender<Traffic>,
    /// Whether the answer to the next request is to be lost. Whoever sees that request takes it.
    lose_next: Mutex<bool>,
    /// After how many answers more what servers send is to be held back.
    stall_after: Mutex<Option<u64>>,
    /// Where the server is told to find the sender, when what passes is an election's.
    pub(crate) introduce_as: OnceLock<SocketAddr>,
    /// How long a client is kept waiting for a server that does not listen yet.
    patience: OnceLock<Duration>,
}

/// What is broken at the moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Faults {
    upstream: SocketAddr,
    refuse: bool,
    stall_to_server: bool,
    stall_to_client: bool,
    pub(crate) delay: Duration,
    /// How often all connections were cut. A connection ends when this is not what it was at its start.
    cuts: u64,
}

impl Faults {
    fn none(upstream: SocketAddr) -> Self {
        Self {
            upstream,
            refuse: false,
            stall_to_server: false,
            stall_to_client: false,
            delay: Duration::ZERO,
            cuts: 0,
        }
    }

    /// Whether data that flow `direction` are held back.
    pub(crate) fn stalls(&self, direction: Direction) -> bool {
        match direction {
            Direction::ToServer => self.stall_to_server,
            Direction::ToClient => self.stall_to_client,
            Direction::Both => self.stall_to_server && self.stall_to_client,
        }
    }
}

impl Shared {
    /// Whether the answer to a request that just came is to be lost.
    pub(crate) fn claim_loss(&self) -> bool {
        std::mem::take(&mut *self.lose_next.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts answers, which begin there in a piece that came from a server, and tells where what must be held back begins.
    pub(crate) fn answered(&self, begins: &[usize]) -> Option<usize> {
        self.traffic.send_modify(|traffic| traffic.answers += begins.len() as u64);
        let mut after = self.stall_after.lock().unwrap_or_else(PoisonError::into_inner);
        for begin in begins {
            match &mut *after {
                Some(0) => {
                    *after = None;
                    return Some(*begin);
                }
                Some(more) => *more -= 1,
                None => {}
            }
        }
        None
    }

    /// What came before the answer that must not arrive has arrived.
    pub(crate) fn stall_now(&self) {
        self.faults.send_modify(|faults| faults.stall_to_client = true);
        self.traffic.send_modify(|traffic| traffic.stalls += 1);
    }

    /// Counts bytes that came, whether they are passed on or not.
    pub(crate) fn count(&self, direction: Direction, bytes: usize) {
        self.traffic.send_modify(|traffic| {
            if direction == Direction::ToClient {
                traffic.bytes_to_client += bytes as u64;
            } else {
                traffic.bytes_to_server += bytes as u64;
            }
        });
    }

    async fn reach(&self, upstream: SocketAddr) -> io::Result<TcpStream> {
        let give_up = Instant::now() + self.patience.get().copied().unwrap_or_default();
        loop {
            match TcpStream::connect(upstream).await {
                Err(_) if Instant::now() < give_up => sleep(BETWEEN_CALLS).await,
                end => return end,
            }
        }
    }

    fn set_loss(&self, lose: bool) {
        *self.lose_next.lock().unwrap_or_else(PoisonError::into_inner) = lose;
    }
}

impl Proxy {
    /// A proxy in front of the server at `upstream`, with nothing broken.
    ///
    /// # Errors
    ///
    /// No port can be listened on.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it leaves no proxy behind.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn start(upstream: SocketAddr) -> Result<Self, Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.map_err(cannot("listen on a port for a proxy"))?;
        let address = listener.local_addr().map_err(cannot("tell the address of a proxy"))?;
        let shared = Arc::new(Shared {
            faults: watch::Sender::new(Faults::none(upstream)),
            traffic: watch::Sender::default(),
            lose_next: Mutex::default(),
            stall_after: Mutex::default(),
            introduce_as: OnceLock::new(),
            patience: OnceLock::new(),
        });
        let listening = tokio::spawn(listen(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, listening })
    }

    /// Where clients reach the server by way of this proxy.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where clients reach the server by way of this proxy, as they want to be told.
    pub fn connect_string(&self) -> String {
        self.address.to_string()
    }

    /// Closes all connections. New ones may be made at once.
    pub fn cut(&self) {
        self.change(|faults| faults.cuts += 1);
    }

    /// Closes each new connection at once, or no longer does.
    pub fn refuse(&self, refuse: bool) {
        self.change(|faults| faults.refuse = refuse);
    }

    /// Holds back what flows that way, as a network does that lost a route. Connections stay open, new ones too; what
    /// is held back arrives when it [flows](Proxy::flow) again.
    pub fn stall(&self, direction: Direction) {
        self.change(|faults| {
            faults.stall_to_server |= direction != Direction::ToClient;
            faults.stall_to_client |= direction != Direction::ToServer;
        });
    }

    /// Lets so many more answers arrive, of all connections together, and holds back the next one and all that servers send after it, as
    /// [`Proxy::stall`] does. Greetings, pings and notifications do not count. `Traffic::stalls` tells when it is so.
    ///
    /// Bytes are of no use for that: many answers may have come before anybody sees how many bytes they are.
    pub fn stall_after(&self, answers: u64) {
        *self.shared.stall_after.lock().unwrap_or_else(PoisonError::into_inner) = Some(answers);
    }

    /// Lets flow what was stalled.
    pub fn flow(&self) {
        self.change(|faults| (faults.stall_to_server, faults.stall_to_client) = (false, false));
    }

    /// Lets all that arrives from now on, either way, take this much longer; an exchange takes twice that.
    pub fn delay(&self, delay: Duration) {
        self.change(|faults| faults.delay = delay);
    }

    /// Swallows the answer to the next request that a client sends, and closes that connection: the request was
    /// executed, and the client does not know. Pings, watches that are set again, and notifications do not count.
    pub fn lose_next_reply(&self) {
        self.shared.set_loss(true);
    }

    /// Mends all that is broken. What is closed stays closed, and what was held back arrives.
    pub fn heal(&self) {
        self.shared.set_loss(false);
        *self.shared.stall_after.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.change(|faults| *faults = Faults { cuts: faults.cuts, ..Faults::none(faults.upstream) });
    }

    /// Leads new connections to another server. Open ones stay where they are; see [`Proxy::cut`].
    pub fn set_upstream(&self, upstream: SocketAddr) {
        self.change(|faults| faults.upstream = upstream);
    }

    /// How many connections are open now.
    pub fn connections(&self) -> usize {
        self.shared.traffic.borrow().connections
    }

    /// How many connections clients made so far, refused ones too.
    pub fn accepted(&self) -> u64 {
        self.shared.traffic.borrow().accepted
    }

    /// The counts, for those who wait for one: `traffic().wait_for(|now| now.lost == 1)`.
    pub fn traffic(&self) -> watch::Receiver<Traffic> {
        self.shared.traffic.subscribe()
    }

    /// Lets members of an ensemble who introduce themselves to `upstream` give `address` for their own; only the
    /// first call counts.
    pub(crate) fn introduce_as(&self, address: SocketAddr) {
        self.shared.introduce_as.get_or_init(|| address);
    }

    /// Keeps clients waiting for so long when the server does not listen yet. They cannot be told, as the system tells who
    /// calls directly, that they should try again: a connection that was accepted and then ends means something else.
    pub(crate) fn wait_for_server(&self, patience: Duration) {
        self.shared.patience.get_or_init(|| patience);
    }

    fn change(&self, change: impl FnOnce(&mut Faults)) {
        self.shared.faults.send_modify(change);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Its connections are tasks of that task, and end with it.
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    let open = Open::count(&shared);
                    connections.spawn(connect(client, open));
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a proxy cannot accept a connection");
                    // Out of descriptors, most likely: leave the others time to close some.
                    sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A connection that is counted as open.
struct Open(Arc<Shared>);

impl Open {
    fn count(shared: &Arc<Shared>) -> Self {
        shared.traffic.send_modify(|traffic| {
            traffic.accepted += 1;
            traffic.connections += 1;
        });
        Self(Arc::clone(shared))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.traffic.send_modify(|traffic| traffic.connections -= 1);
    }
}

/// Leads one client to the server, until either is gone or the connection is cut.
async fn connect(mut client: TcpStream, open: Open) {
    let mut faults = open.0.faults.subscribe();
    let Faults { refuse, cuts, .. } = *faults.borrow();
    if refuse {
        return;
    }
    let carry = async {
        let mut reachable = open.0.faults.subscribe();
        // What cannot reach the server cannot connect to it either.
        let Ok(now) = reachable.wait_for(|now| !now.stalls(Direction::ToServer)).await.map(|now| *now) else {
            return;
        };
        match open.0.reach(now.upstream).await {
            Ok(mut server) => pump::carry(&mut client, &mut server, &open.0).await,
            Err(error) => {
                tracing::debug!(%error, upstream = %now.upstream, "a proxy cannot reach its server");
            }
        }
    };
    let cut = async {
        // An error means that the proxy is gone, which is a cut, too.
        let _ = faults.wait_for(|now| now.cuts != cuts).await;
    };
    tokio::select! {
        () = carry => {}
        () = cut => {}
    }
}
