//! A member that listens and answers those who want to join.

use std::collections::VecDeque;
use std::error::Error;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use crate::admission::{Admission, admit, admitted};
use crate::reading::{ReadError, read_object};
use crate::trouble::{Throttle, Trouble, Turned};
use crate::{Answer, Node, PATIENCE, Refusal, Request};

/// How much of what follows a request is read before the connection is closed, and for how long: closing with something unread
/// resets the connection, and may take the answer away from a joiner that has not read it yet.
const LISTENED_TO: usize = 4 * 1024;
const LINGER: Duration = Duration::from_secs(1);

/// When connections cannot be accepted, the next try.
const PAUSE: Duration = Duration::from_millis(50);

/// So much may wait for whoever reads what is told.
const WAITING: usize = 256;

/// How much of what others want of a member it does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The most members, itself included; 10,000 unless changed.
    pub members: usize,
    /// The most connections at a time, 1 at least; 1,024 unless changed. Beyond that the one that has waited longest is closed.
    pub connections: usize,
    /// How long a connection may take until it is answered; 10 s unless changed.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { members: 10_000, connections: 1_024, patience: PATIENCE }
    }
}

/// A member of a cluster that answers those who want to join, until this is dropped.
#[derive(Debug)]
pub struct Member {
    members: Arc<watch::Sender<Arc<[Node]>>>,
    limits: Limits,
    task: JoinHandle<()>,
}

impl Member {
    /// Answers whoever connects to `listener`, as `me`. The channel is where those are told that did not become members: the log has
    /// them for debugging alone, and nobody has to read either.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start(listener: TcpListener, me: Node, limits: Limits) -> (Self, mpsc::Receiver<Turned>) {
        let (tell, told) = mpsc::channel(WAITING);
        let members = Arc::new(watch::Sender::new(Arc::from([me.clone()])));
        let desk = Desk { me, members: Arc::clone(&members), limits: limits.clone() };
        let task = tokio::spawn(accept(listener, Arc::new(desk), tell));
        (Self { members, limits, task }, told)
    }

    /// All members that are known here, whole, in the order in which they came: first of all this one.
    pub fn members(&self) -> watch::Receiver<Arc<[Node]>> {
        self.members.subscribe()
    }

    /// Remembers a member that did not join by this one, as the one that this one joined by.
    ///
    /// # Errors
    ///
    /// When it cannot be a member here, as a joiner could not that says the same of itself.
    pub fn remember(&self, node: &Node) -> Result<(), Refusal> {
        match remember(&self.members, node, &self.limits) {
            Admission::Refused(why) => Err(why),
            Admission::New | Admission::Known | Admission::Replaces(_) => Ok(()),
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Nobody is owed anything: who gets no answer tries another member.
        self.task.abort();
    }
}

/// What all connections share.
struct Desk {
    me: Node,
    members: Arc<watch::Sender<Arc<[Node]>>>,
    limits: Limits,
}

async fn accept(listener: TcpListener, desk: Arc<Desk>, tell: mpsc::Sender<Turned>) {
    let mut connections = JoinSet::new();
    // The oldest first. Whoever hears from its sender is to leave.
    let mut open: VecDeque<oneshot::Sender<usize>> = VecDeque::new();
    let (mut throttle, mut failing) = (Throttle::default(), false);
    loop {
        tokio::select! {
            Some(ended) = connections.join_next() => match ended {
                Ok(None) => {}
                Ok(Some((peer, why))) => turned_away(&mut throttle, &tell, peer, why),
                Err(error) => warn!(error = &error as &dyn Error, "the task of a connection failed"),
            },
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    failing = false;
                    make_room(&mut open, desk.limits.connections.max(1) - 1);
                    let (stay, leave) = oneshot::channel();
                    open.push_back(stay);
                    connections.spawn(attend(stream, peer, Arc::clone(&desk), leave));
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        warn!(error = &error as &dyn Error, "cannot accept connections");
                    }
                    // The system may grant fewer than the limits do, and those who hold them must not keep others out.
                    if error.kind() != ErrorKind::ConnectionAborted {
                        let most = open.len() * 3 / 4;
                        make_room(&mut open, most);
                    }
                    sleep(PAUSE).await;
                }
            },
        }
    }
}

/// Closes the oldest connections until there are `most` at most.
fn make_room(open: &mut VecDeque<oneshot::Sender<usize>>, most: usize) {
    open.retain(|one| !one.is_closed());
    let many = open.len();
    open.drain(..many.saturating_sub(most)).for_each(|oldest| {
        // One that is done by now need not be told.
        let _ = oldest.send(many);
    });
}

fn turned_away(throttle: &mut Throttle, tell: &mpsc::Sender<Turned>, peer: SocketAddr, why: Trouble) {
    let Some(untold) = throttle.tell(Instant::now()) else { return };
    debug!(%peer, error = &why as &dyn Error, untold, "a connection made nobody a member");
    if let Err(mpsc::error::TrySendError::Full(_)) = tell.try_send(Turned { peer, why, untold }) {
        throttle.not_told(untold + 1);
    }
}

/// One connection from its beginning to its end.
async fn attend(
    mut stream: TcpStream,
    peer: SocketAddr,
    desk: Arc<Desk>,
    mut leave: oneshot::Receiver<usize>,
) -> Option<(SocketAddr, Trouble)> {
    let outcome = tokio::select! {
        outcome = desk.receive(&mut stream, peer) => outcome,
        Ok(open) = &mut leave => Err(Trouble::Crowded { open }),
    };
    let trouble = match outcome {
        Ok(None) => None,
        Ok(Some(trouble)) => Some(trouble),
        // It gets no answer which could be torn.
        Err(trouble) => return Some((peer, trouble)),
    };
    tokio::select! {
        _ = timeout(LINGER, drain(&mut stream)) => {}
        _ = leave => {}
    }
    trouble.map(|trouble| (peer, trouble))
}

impl Desk {
    /// Reads a request and answers it. Gives why the joiner was refused, if it was; fails when nothing was answered.
    async fn receive(&self, stream: &mut TcpStream, peer: SocketAddr) -> Result<Option<Trouble>, Trouble> {
        let begin = Instant::now();
        let request = read_object(stream, self.limits.patience).await?;
        // Who gave up while its request waited is nobody to remember. Only a reset says so for certain: who has closed its side
        // may have closed that side alone, as `nc` does, and waits for the answer.
        if let Ok(Some(source)) | Err(source) = stream.take_error() {
            return Err(ReadError::Connection { bytes: request.len(), source }.into());
        }
        let joiner = Request::parse(&request)?.from;
        let node = joiner.clone().seen_from(peer.ip());
        // Before it is answered: whoever was told that it is a member is one.
        let (answer, trouble) = match remember(&self.members, &node, &self.limits) {
            Admission::Refused(why) => {
                (Answer::refuse(&self.me, &joiner, &why), Some(Trouble::Refused { node: node.clone(), why }))
            }
            Admission::Known => {
                debug!(%node, "joins again");
                (Answer::welcome(&self.me, &joiner), None)
            }
            Admission::New | Admission::Replaces(_) => {
                info!(%node, "joins");
                (Answer::welcome(&self.me, &joiner), None)
            }
        };
        let rest = self.limits.patience.saturating_sub(begin.elapsed());
        let sent = timeout(rest, async {
            stream.write_all(answer.line().as_bytes()).await?;
            stream.shutdown().await
        });
        match sent.await.unwrap_or_else(|late| Err(late.into())) {
            Ok(()) => Ok(trouble),
            Err(source) => Err(trouble.unwrap_or(Trouble::Unanswered { node, source })),
        }
    }
}

fn remember(members: &watch::Sender<Arc<[Node]>>, node: &Node, limits: &Limits) -> Admission {
    let mut admission = Admission::Known;
    members.send_if_modified(|members| {
        admission = admit(members, node, limits.members);
        let next = admitted(members, node, &admission);
        let changed = next.is_some();
        if let Some(next) = next {
            *members = next;
        }
        changed
    });
    admission
}

async fn drain(stream: &mut TcpStream) {
    let (mut piece, mut heard) = ([0; 1024], 0);
    while heard < LISTENED_TO {
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => break,
            Ok(more) => heard += more,
        }
    }
}
