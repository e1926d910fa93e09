//! Answers every connection with one line, as the old time servers did.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use jiff::Timestamp;
use proto::Address;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

/// How long one connection may take. Its line is sent at once; the rest is for the other side to close.
const PATIENCE: Duration = Duration::from_secs(1);

/// So many connections may take their time. Beyond that the one that has waited longest is closed, which had its line long
/// ago: nobody is kept waiting by those who dawdle.
const DAWDLING: usize = 256;

/// How long those that are open when the server ends may take.
const FINISH: Duration = Duration::from_millis(500);

/// How much of what a client says is read before it is hung up on: what old clients say is 9 bytes.
const LISTENED_TO: u64 = 4 * 1024;

/// When connections cannot be accepted, for want of descriptors perhaps, the next try.
const PAUSE: Duration = Duration::from_millis(50);

/// A listener at work, until it is finished or dropped.
#[derive(Debug)]
pub(crate) struct Answering {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Answering {
    pub(crate) fn start(listener: TcpListener, address: &Address) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, task: tokio::spawn(accept(listener, address.to_string(), stopped)) }
    }

    /// Accepts no more connections, and waits a little for those that are open.
    pub(crate) async fn finish(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            warn!(error = &error as &dyn std::error::Error, "the task that answers failed");
        }
    }
}

async fn accept(listener: TcpListener, address: String, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    // The oldest first. Whoever loses its sender is to leave.
    let mut open: VecDeque<oneshot::Sender<()>> = VecDeque::new();
    let mut failing = false;
    loop {
        tokio::select! {
            // An error means that nobody can stop us any more, nor wants us.
            _ = stopped.changed() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    debug!(%peer, "asked for the time");
                    failing = false;
                    let line = format!("{address} {:.3}\n", Timestamp::now());
                    open.retain(|one| !one.is_closed());
                    while open.len() >= DAWDLING {
                        open.pop_front();
                    }
                    let (stay, leave) = oneshot::channel();
                    open.push_back(stay);
                    connections.spawn(timeout(PATIENCE, answer(stream, line, leave)));
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        warn!(error = &error as &dyn std::error::Error, "cannot accept connections");
                    }
                    sleep(PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let _ = timeout(FINISH, async { while connections.join_next().await.is_some() {} }).await;
}

/// Says the line, and then listens until the other side closes or this one has to leave: a close with something unread would be
/// a reset, which takes the line away again from a client that has not read it yet.
async fn answer(mut stream: TcpStream, line: String, leave: oneshot::Receiver<()>) -> io::Result<()> {
    stream.write_all(line.as_bytes()).await?;
    stream.shutdown().await?;
    let (mut words, mut nowhere) = (stream.take(LISTENED_TO), sink());
    tokio::select! {
        // What it said is read even when it has to leave.
        biased;
        heard = copy(&mut words, &mut nowhere) => heard.map(drop),
        _ = leave => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    async fn start() -> (Answering, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        (Answering::start(listener, &at.to_string().parse().unwrap()), at)
    }

    async fn ask(at: SocketAddr, says: &[u8]) -> String {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(says).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn each_connection_gets_the_address_and_the_time_on_one_line() {
        let (_answering, at) = start().await;
        for says in ["", "timestamp", "GET / HTTP/1.0\r\n\r\n", &"x".repeat(4096)] {
            let answer = ask(at, says.as_bytes()).await;
            let (address, time) = answer.strip_suffix('\n').unwrap().split_once(' ').unwrap();
            assert_eq!(address, at.to_string());
            let time: Timestamp = time.parse().unwrap();
            assert!(Timestamp::now().duration_since(time).as_secs().abs() < 60);
        }
    }

    #[tokio::test]
    async fn who_says_something_late_is_still_heard() {
        let (_answering, at) = start().await;
        let mut client = TcpStream::connect(at).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with('\n'), "{answer}");
        // To whoever does not listen any more the second one could not be said.
        for says in [b"time", b"stam"] {
            client.write_all(says).await.unwrap();
        }
        client.shutdown().await.unwrap();
    }

    #[tokio::test]
    async fn whoever_goes_on_talking_is_hung_up_on() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let server = listener.accept().await.unwrap().0;
        client.write_all(&[b'x'; 4096]).await.unwrap();
        let (_stay, leave) = oneshot::channel();
        timeout(PATIENCE * 20, answer(server, "noon\n".to_owned(), leave)).await.unwrap().unwrap();
        // All that it said was read, so nothing tears the line.
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "noon\n");
    }

    #[tokio::test]
    async fn clients_that_never_close_keep_nobody_waiting() {
        let (_answering, at) = start().await;
        let mut idle = Vec::new();
        for _ in 0..DAWDLING + 50 {
            idle.push(TcpStream::connect(at).await.unwrap());
        }
        assert!(ask(at, b"").await.starts_with("127.0.0.1:"));
        // They are hung up on by and by.
        for mut stream in idle {
            let mut all = Vec::new();
            timeout(PATIENCE * 20, stream.read_to_end(&mut all)).await.unwrap().unwrap();
            assert_eq!(all.iter().filter(|byte| **byte == b'\n').count(), 1);
        }
    }

    #[tokio::test]
    async fn beyond_those_that_dawdle_each_that_speaks_first_gets_its_whole_line_too() {
        use std::io::{Read, Write};
        let (_answering, at) = start().await;
        let mut idle = Vec::new();
        for _ in 0..DAWDLING {
            let mut stream = TcpStream::connect(at).await.unwrap();
            stream.read_exact(&mut [0]).await.unwrap();
            idle.push(stream);
        }
        for _ in 0..20 {
            // It has spoken before the server, which shares this thread, can accept it.
            let mut client = std::net::TcpStream::connect(at).unwrap();
            client.write_all(b"timestamp").unwrap();
            let read = tokio::task::spawn_blocking(move || {
                client.set_read_timeout(Some(PATIENCE * 20)).unwrap();
                let mut answer = String::new();
                client.read_to_string(&mut answer).map(|_| answer)
            });
            let answer = read.await.unwrap().unwrap();
            assert!(answer.starts_with("127.0.0.1:") && answer.ends_with('\n'), "{answer:?}");
        }
    }

    #[tokio::test]
    async fn a_finished_server_refuses_connections_and_ends_in_time_whoever_dawdles() {
        let (answering, at) = start().await;
        let mut slow = TcpStream::connect(at).await.unwrap();
        let mut first = [0];
        slow.read_exact(&mut first).await.unwrap();
        timeout(PATIENCE * 60, answering.finish()).await.unwrap();
        assert!(TcpStream::connect(at).await.is_err());
    }
}
