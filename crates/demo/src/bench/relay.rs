//! A way to a server that counts what a client asks by it, request by request.
//!
//! A server counts whatever it receives: the pings of all, and what each session asks now and then to know that it lives. That comes
//! by the clock, so no count of it can be taken off. Here each request is looked at.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A server takes no longer request unless it was told to.
const LONGEST: usize = 1 << 20;
/// What a request begins with: its number, and its type.
const NUMBER: usize = 4;
/// The types of requests that are not for anything but the session.
const PING: i32 = 11;
const EXISTS: i32 = 3;
/// The path `/`, and that it is not to be watched: so a session is asked for, and nothing else is.
const ROOT_UNWATCHED: [u8; 6] = [0, 0, 0, 1, b'/', 0];

/// The way. Everything by it ends when this is dropped.
pub(crate) struct Relay {
    address: SocketAddr,
    counts: Arc<Counts>,
    listening: JoinHandle<()>,
}

/// What was asked by a relay so far. It outlives the relay.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    purposeful: AtomicU64,
    alive: AtomicU64,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// The client's own, when nothing else was sent for a while.
    Ping,
    /// That the session lives is to be known.
    Alive,
    /// Something that somebody wants.
    Other,
}

impl Relay {
    pub(crate) async fn start(server: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.context("no port can be listened on")?;
        let address = listener.local_addr()?;
        let counts = Arc::new(Counts::default());
        Ok(Self { address, listening: tokio::spawn(listen(listener, server, counts.clone())), counts })
    }

    /// Where a client reaches the server by it.
    pub(crate) fn connect_string(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // Its connections are tasks of that task, and end with it.
        self.listening.abort();
    }
}

impl Counts {
    /// Requests that somebody wanted something by.
    pub(crate) fn purposeful(&self) -> u64 {
        self.purposeful.load(Ordering::Relaxed)
    }

    /// Requests that asked only whether the session lives.
    pub(crate) fn alive(&self) -> u64 {
        self.alive.load(Ordering::Relaxed)
    }

    fn add(&self, purpose: Purpose) {
        match purpose {
            Purpose::Ping => {}
            Purpose::Alive => _ = self.alive.fetch_add(1, Ordering::Relaxed),
            Purpose::Other => _ = self.purposeful.fetch_add(1, Ordering::Relaxed),
        }
    }
}

impl Purpose {
    fn of(request: &[u8]) -> Self {
        let kind = request.get(NUMBER..).and_then(|rest| rest.split_first_chunk());
        match kind.map(|(kind, rest)| (i32::from_be_bytes(*kind), rest)) {
            Some((PING, _)) => Self::Ping,
            Some((EXISTS, rest)) if rest == ROOT_UNWATCHED => Self::Alive,
            _ => Self::Other,
        }
    }
}

async fn listen(listener: TcpListener, server: SocketAddr, counts: Arc<Counts>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A client that cannot be accepted tries again.
                let Ok((client, _)) = accepted else { continue };
                let counts = counts.clone();
                connections.spawn(async move { carry(client, server, &counts).await });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Carries until either side closes, which an error is, too.
async fn carry(mut client: TcpStream, server: SocketAddr, counts: &Counts) -> io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let requests = async {
        // The first message asks for the session, and has neither number nor type.
        let mut greeted = false;
        loop {
            let length = from_client.read_u32().await?;
            let body = usize::try_from(length).unwrap_or(usize::MAX);
            if body > LONGEST {
                return Err(io::Error::from(io::ErrorKind::InvalidData));
            }
            let mut message = length.to_be_bytes().to_vec();
            message.resize(message.len() + body, 0);
            let request = &mut message[size_of::<u32>()..];
            from_client.read_exact(request).await?;
            if greeted {
                counts.add(Purpose::of(request));
            }
            greeted = true;
            to_server.write_all(&message).await?;
        }
    };
    tokio::select! {
        ended = requests => ended,
        ended = copy(&mut from_server, &mut to_client) => ended.map(|_| ()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(kind: i32, rest: &[u8]) -> Vec<u8> {
        [&7_i32.to_be_bytes()[..], &kind.to_be_bytes(), rest].concat()
    }

    #[test]
    fn only_what_is_asked_for_the_session_itself_has_no_purpose() {
        for (request, purpose) in [
            (request(PING, &[]), Purpose::Ping),
            (request(EXISTS, &ROOT_UNWATCHED), Purpose::Alive),
            (request(EXISTS, &[0, 0, 0, 1, b'/', 1]), Purpose::Other),
            (request(EXISTS, &[0, 0, 0, 2, b'/', b'a', 0]), Purpose::Other),
            (request(-11, &[]), Purpose::Other),
            (request(12, &ROOT_UNWATCHED), Purpose::Other),
            (vec![1, 2, 3], Purpose::Other),
        ] {
            assert_eq!(Purpose::of(&request), purpose, "{request:?}");
        }
    }

    #[tokio::test]
    async fn requests_pass_as_they_came_and_each_is_counted_but_the_greeting() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let relay = Relay::start(server.local_addr().unwrap()).await.unwrap();
        let mut client = TcpStream::connect(relay.address).await.unwrap();
        let framed = |body: Vec<u8>| [&(body.len() as u32).to_be_bytes()[..], &body].concat();
        let greeting = framed(request(2, b"greeting"));
        let sent = [
            greeting,
            framed(request(PING, &[])),
            framed(request(EXISTS, &ROOT_UNWATCHED)),
            framed(request(2, b"x")),
        ];
        let sent = sent.concat();
        for piece in sent.chunks(5) {
            client.write_all(piece).await.unwrap();
        }
        let (mut met, _) = server.accept().await.unwrap();
        let mut received = vec![0; sent.len()];
        met.read_exact(&mut received).await.unwrap();
        assert_eq!(received, sent);
        assert_eq!((relay.counts().purposeful(), relay.counts().alive()), (1, 1));
        met.write_all(b"answer").await.unwrap();
        let mut answer = [0; 6];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");
        drop(client);
        assert_eq!(met.read(&mut [0; 1]).await.unwrap(), 0, "the end passes, too");
    }
}
