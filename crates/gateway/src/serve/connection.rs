//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::pin;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::debug;

use super::heads::Heads;
use super::leaving::Socket;
use super::streams::{PIECE, Standing, Streams, Watched};
use super::wire::Wire;
use super::{Limits, Peer, Phase, Serve};
use crate::proxy::{Strict, Upgraded};
use crate::socket::tune;
use crate::tls::Tls;

/// What all connections share.
pub(super) struct Shared<S> {
    pub(super) tls: Option<Tls>,
    pub(super) limits: Limits,
    pub(super) service: S,
}

/// One connection.
pub(super) struct Connection<S> {
    pub(super) shared: Arc<Shared<S>>,
    pub(super) phase: watch::Receiver<Phase>,
}

/// What is to be done about a connection that may be idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Look again then.
    Wait(Instant),
    /// The server looks after it by itself.
    LeaveAlone,
    /// It has been idle for too long: finish it.
    Finish,
    /// It is over, whatever is still on its way.
    Close,
}

impl<S: Serve> Connection<S> {
    pub(super) async fn run(self, stream: TcpStream, address: SocketAddr, place: OwnedSemaphorePermit) {
        tune(&stream);
        let socket = Socket::new(stream);
        let leaving = socket.leaving();
        let wire = Wire::new(socket, self.shared.limits.unread, place);
        leaving.told_to(self.agree(wire, address)).await;
    }

    /// Agrees on TLS, if it is spoken here, and serves.
    async fn agree(mut self, stream: Wire<Socket>, address: SocketAddr) {
        let first = Instant::now() + self.shared.limits.first;
        let Some(tls) = &self.shared.tls else {
            let peer = Peer { address, secure: false, certified: false };
            return self.speak(stream, peer, first).await;
        };
        let agreed = timeout_at(first, tls.accept(stream));
        let agreed = tokio::select! {
            agreed = agreed => agreed,
            // Nothing was asked yet that would have to be finished.
            _ = next(&mut self.phase, Phase::Serving) => return,
        };
        match agreed {
            Ok(Ok(stream)) => {
                let certified = stream.get_ref().1.peer_certificates().is_some();
                let peer = Peer { address, secure: true, certified };
                self.speak(stream, peer, first).await;
            }
            Ok(Err(error)) => debug!(%error, peer = %address, "a client speaks no TLS that we do"),
            Err(_) => debug!(peer = %address, "a client did not come to speak TLS in time"),
        }
    }

    /// Serves until the connection ends; until `first` it has to ask for something.
    async fn speak(
        mut self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Peer,
        first: Instant,
    ) {
        let limits = self.shared.limits.clone();
        let asked = Arc::new(AtomicBool::new(false));
        let streams = Streams::new(limits.unread);
        let upgraded = Upgraded::default();
        let answer = {
            let (asked, client) = (asked.clone(), self.shared.service.meet(peer));
            let answering = Arc::new((self.shared.clone(), client, upgraded.clone()));
            service_fn(move |request| {
                asked.store(true, Ordering::Relaxed);
                let answering = answering.clone();
                async move {
                    let (shared, client, upgraded) = &*answering;
                    let response = shared.service.serve(request, client.clone()).await;
                    upgraded.see(&response);
                    Ok::<_, Infallible>(response.map(Watched::new))
                }
            })
        };
        let builder = builder(&limits, streams.clone());
        let stream = TokioIo::new(Strict::new(stream, upgraded));
        let connection = builder.serve_connection_with_upgrades(stream, answer);
        let look = sleep_until(first);
        pin!(connection, look);
        let (mut looks, mut finishes, mut phase) = (true, false, Phase::Serving);
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        debug!(%error, peer = %peer.address, "a connection ended");
                    }
                    return;
                }
                // Also while it is not clear yet which version of HTTP is spoken, which nothing else bounds.
                () = look.as_mut(), if looks => {
                    let standing = if asked.load(Ordering::Relaxed) { Some(streams.standing()) } else { None };
                    match judge(standing, finishes, limits.head, Instant::now()) {
                        Verdict::Wait(until) => look.as_mut().reset(until),
                        Verdict::LeaveAlone => looks = false,
                        Verdict::Finish => {
                            finishes = true;
                            connection.as_mut().graceful_shutdown();
                            look.as_mut().reset(Instant::now() + limits.unread);
                        }
                        Verdict::Close => return,
                    }
                }
                new = next(&mut self.phase, phase) => {
                    phase = new;
                    match phase {
                        Phase::Serving => {}
                        Phase::Finishing => connection.as_mut().graceful_shutdown(),
                        Phase::Cut => return,
                    }
                }
            }
        }
    }
}

/// What to do about a connection that was asked for nothing yet (`None`), or stands so.
fn judge(standing: Option<Standing>, finishes: bool, head: Duration, now: Instant) -> Verdict {
    match standing {
        None => Verdict::Close,
        Some(Standing::NoStreams) => Verdict::LeaveAlone,
        Some(Standing::Busy) => Verdict::Wait(now + head),
        Some(Standing::Idle(_)) if finishes => Verdict::Close,
        Some(Standing::Idle(since)) if since + head > now => Verdict::Wait(since + head),
        Some(Standing::Idle(_)) => Verdict::Finish,
    }
}

/// The phase, once it is another one than this.
async fn next(phases: &mut watch::Receiver<Phase>, now: Phase) -> Phase {
    // Whoever serves is gone: so is what was served.
    phases.wait_for(|phase| *phase != now).await.map_or(Phase::Cut, |phase| *phase)
}

fn builder(limits: &Limits, streams: Streams) -> Builder<Streams> {
    let mut builder = Builder::new(streams);
    builder
        .http1()
        .timer(Heads::default())
        .header_read_timeout(limits.head)
        .max_headers(limits.headers)
        .max_buf_size(limits.head_bytes.max(8 * 1024))
        // A client that has said all gets its answer, also when it closes its side. Who answers is told of that, where there is nothing to wait for
        // any more.
        .half_close(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(limits.head_bytes.try_into().unwrap_or(u32::MAX))
        .max_concurrent_streams(limits.streams)
        // What is given and not sent yet: after an answer was given whole, nobody looks whether it is read.
        .max_send_buf_size(PIECE)
        .keep_alive_interval(limits.head / 2)
        .keep_alive_timeout(limits.head / 2);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_asks_for_nothing_for_too_long_is_let_go() {
        const HEAD: Duration = Duration::from_secs(60);

        let start = Instant::now();
        let now = start + Duration::from_secs(100);
        let at = |seconds| start + Duration::from_secs(seconds);
        for (standing, finishes, verdict) in [
            (None, false, Verdict::Close),
            (Some(Standing::NoStreams), false, Verdict::LeaveAlone),
            (Some(Standing::Busy), false, Verdict::Wait(at(160))),
            (Some(Standing::Busy), true, Verdict::Wait(at(160))),
            (Some(Standing::Idle(at(41))), false, Verdict::Wait(at(101))),
            (Some(Standing::Idle(at(40))), false, Verdict::Finish),
            (Some(Standing::Idle(at(40))), true, Verdict::Close),
        ] {
            assert_eq!(judge(standing, finishes, HEAD, now), verdict, "{standing:?} {finishes}");
        }
    }
}
