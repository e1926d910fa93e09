//! Carries bytes between a client and a server, late, held back, or short of one answer.

use std::sync::{Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::frames::{Begin, Frames};
use crate::introduction::Introduction;
use crate::proxy::{Direction, Shared};

/// How many pieces may be under way before the sender is held up, as a network's buffers do it.
const UNDER_WAY: usize = 64;
const PIECE: usize = 16 * 1024;

/// What arrives at the far end, and when.
type Arrival = (Instant, Piece);

enum Piece {
    Bytes(Vec<u8>),
    /// The sender closed its side.
    End,
    /// From here on all is held back that goes this way.
    Stall,
    /// Here an answer was swallowed: the connection ends for both.
    Lost,
}

/// The connection is over for both sides at once.
struct Over;

/// Carries until both sides have closed, or an answer was lost.
pub(crate) async fn carry(client: &mut TcpStream, server: &mut TcpStream, shared: &Shared) {
    // A proxy should not make one packet of two: who measures latency measures that.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let doomed = Doomed::default();
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let requests = one_way(from_client, to_server, Direction::ToServer, shared, &doomed);
    let answers = one_way(from_server, to_client, Direction::ToClient, shared, &doomed);
    let _ = tokio::try_join!(requests, answers);
}

/// The number of the request of this connection whose answer is to be lost.
#[derive(Default)]
struct Doomed(Mutex<Option<i32>>);

impl Doomed {
    /// How much passes of a piece in which these requests or answers begin; what comes after is lost.
    fn judge(&self, numbered: &[Begin], direction: Direction, shared: &Shared) -> Option<usize> {
        let mut doomed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if direction == Direction::ToClient {
            return numbered.iter().find(|begin| Some(begin.number) == *doomed).map(|begin| begin.at);
        }
        if let Some(request) = numbered.first()
            && shared.claim_loss()
        {
            *doomed = Some(request.number);
        }
        None
    }
}

async fn one_way(
    from: ReadHalf<'_>,
    to: WriteHalf<'_>,
    direction: Direction,
    shared: &Shared,
    doomed: &Doomed,
) -> Result<(), Over> {
    let (send, under_way) = mpsc::channel(UNDER_WAY);
    let (_, end) =
        tokio::join!(read(from, send, direction, shared, doomed), write(to, under_way, direction, shared));
    end
}

/// Reads until the sender closes. An error is an end, too: what the far end learns of it is that nothing more comes.
async fn read(
    mut from: ReadHalf<'_>,
    send: mpsc::Sender<Arrival>,
    direction: Direction,
    shared: &Shared,
    doomed: &Doomed,
) {
    let mut frames = Frames::default();
    let introduce_as = shared.introduce_as.get().filter(|_| direction == Direction::ToServer);
    let mut introduction = introduce_as.map(|address| Introduction::new(*address));
    let mut buffer = vec![0; PIECE];
    loop {
        let length = from.read(&mut buffer).await.unwrap_or(0);
        let piece = &buffer[..length];
        shared.count(direction, length);
        let arrives = Instant::now() + shared.faults.borrow().delay;
        // Negative numbers are no requests of the user's: pings, logins, watches that are set again.
        let numbered: Vec<_> = frames.feed(piece).into_iter().filter(|begin| begin.number >= 0).collect();
        let lost_from = doomed.judge(&numbered, direction, shared);
        let passing = lost_from.unwrap_or(length);
        let last = match lost_from {
            Some(_) => Some(Piece::Lost),
            None => (length == 0).then_some(Piece::End),
        };
        let passing = match &mut introduction {
            Some(introduction) => introduction.feed(&piece[..passing]),
            None => piece[..passing].to_vec(),
        };
        let begins: Vec<_> = numbered.iter().map(|begin| begin.at).filter(|at| *at < passing.len()).collect();
        let stalls_at = if direction == Direction::ToClient { shared.answered(&begins) } else { None };
        let pieces = match stalls_at {
            Some(at) => {
                let (before, after) = passing.split_at(at);
                vec![Piece::Bytes(before.to_vec()), Piece::Stall, Piece::Bytes(after.to_vec())]
            }
            None => vec![Piece::Bytes(passing)],
        };
        for piece in
            pieces.into_iter().filter(|piece| !matches!(piece, Piece::Bytes(none) if none.is_empty()))
        {
            if send.send((arrives, piece)).await.is_err() {
                return;
            }
        }
        if let Some(last) = last {
            // Where nobody receives any more there is nothing to end.
            let _ = send.send((arrives, last)).await;
            return;
        }
    }
}

/// Writes what is due. A receiver that is gone is no end of the connection: the other way tells the sender, and
/// not before it flows.
async fn write(
    mut to: WriteHalf<'_>,
    mut under_way: mpsc::Receiver<Arrival>,
    direction: Direction,
    shared: &Shared,
) -> Result<(), Over> {
    let mut faults = shared.faults.subscribe();
    while let Some((arrives, piece)) = under_way.recv().await {
        sleep_until(arrives).await;
        if faults.wait_for(|now| !now.stalls(direction)).await.is_err() {
            return Err(Over);
        }
        let written = match piece {
            Piece::Bytes(bytes) => to.write_all(&bytes).await,
            Piece::End => to.shutdown().await,
            Piece::Stall => {
                shared.stall_now();
                Ok(())
            }
            Piece::Lost => {
                // Flushes what came before, so that only the one answer is missing.
                let _ = to.shutdown().await;
                shared.traffic.send_modify(|traffic| traffic.lost += 1);
                return Err(Over);
            }
        };
        if written.is_err() {
            return Ok(());
        }
    }
    Ok(())
}
