//! Ends somebody else's session: by a second connection of it, as tests of ZooKeeper do.
//!
//! To whom it belonged, and to all others, this is what an expiry is; the server only needs not wait for it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use zk_session::SessionId;

/// What a server makes passwords of (`ZooKeeperServer.superSecret`): it stores none, so it must be able to tell them again.
const SECRET: i64 = 0xB341_5C00;
/// The type of the request that closes a session.
const CLOSE: i32 = -11;
const PATIENCE: Duration = Duration::from_secs(30);

/// What became of a try.
enum Tried {
    Ended,
    /// Whose session it is was back before we were answered. That we asked may have been heard all the same.
    Interrupted,
    /// There is no such session, or its password is another one.
    Unknown,
}

/// Ends it, and returns when the server says that it did.
pub(crate) async fn expire(server: SocketAddr, session: SessionId) -> anyhow::Result<()> {
    let again_and_again = async {
        let mut was_known = false;
        loop {
            match end(server, session).await? {
                Tried::Ended => return Ok(()),
                Tried::Interrupted => was_known = true,
                Tried::Unknown if was_known => return Ok(()),
                Tried::Unknown => bail!("the server does not know the session {session} by this password"),
            }
        }
    };
    timeout(PATIENCE, again_and_again).await.context("a session does not end")?
}

async fn end(server: SocketAddr, session: SessionId) -> anyhow::Result<Tried> {
    let mut stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    // Both at once: whose session it is comes back as soon as it loses its connection to us, and we would lose ours.
    let requests = [connect_request(session), close_request()].concat();
    stream.write_all(&requests).await?;
    let met = frame(&mut stream).await.context("the server answers nothing")?;
    let met = met.get(8..16).and_then(|id| id.try_into().ok()).map(i64::from_be_bytes);
    if met != Some(session.0) {
        return Ok(Tried::Unknown);
    }
    let Ok(answer) = frame(&mut stream).await else { return Ok(Tried::Interrupted) };
    match answer.get(12..16).and_then(|code| code.try_into().ok()).map(i32::from_be_bytes) {
        Some(0) => Ok(Tried::Ended),
        other => bail!("the server does not close the session {session}: {other:?}"),
    }
}

fn connect_request(session: SessionId) -> Vec<u8> {
    let mut request = Vec::new();
    // The protocol's version, and the last transaction that was seen.
    request.extend([0; 4 + 8]);
    request.extend(30_000_i32.to_be_bytes());
    request.extend(session.0.to_be_bytes());
    let password = password(session);
    request.extend((password.len() as i32).to_be_bytes());
    request.extend(password);
    // Not read-only.
    request.push(0);
    framed(&request)
}

fn close_request() -> Vec<u8> {
    framed(&[1_i32.to_be_bytes(), CLOSE.to_be_bytes()].concat())
}

fn framed(request: &[u8]) -> Vec<u8> {
    [&(request.len() as i32).to_be_bytes(), request].concat()
}

async fn frame(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    // None that is expected here has more.
    let length = stream.read_u32().await?.min(1024);
    let mut frame = vec![0; length as usize];
    stream.read_exact(&mut frame).await?;
    Ok(frame)
}

/// The password that the server gave this session: what Java's `Random` draws from its id.
fn password(session: SessionId) -> [u8; 16] {
    let mut random = JavaRandom::new(session.0 ^ SECRET);
    let mut password = [0; 16];
    for bytes in password.chunks_mut(4) {
        bytes.copy_from_slice(&random.next().to_le_bytes());
    }
    password
}

/// `java.util.Random`, as its documentation defines it.
struct JavaRandom(i64);

impl JavaRandom {
    const FACTOR: i64 = 0x5_DEEC_E66D;
    const BITS: i64 = (1 << 48) - 1;

    fn new(seed: i64) -> Self {
        Self((seed ^ Self::FACTOR) & Self::BITS)
    }

    fn next(&mut self) -> i32 {
        self.0 = self.0.wrapping_mul(Self::FACTOR).wrapping_add(0xB) & Self::BITS;
        // 32 of 48 bits.
        (self.0 >> 16) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_draws_what_java_draws() {
        // As `new java.util.Random(42)` is known to.
        let mut random = JavaRandom::new(42);
        assert_eq!([random.next(), random.next()], [-1_170_105_035, 234_785_527]);
    }

    #[test]
    fn requests_are_as_long_as_they_say() {
        for request in [connect_request(SessionId(0x1000_00a2_b7c0_0001)), close_request()] {
            let (length, rest) = request.split_first_chunk().unwrap();
            assert_eq!(u32::from_be_bytes(*length) as usize, rest.len());
        }
    }
}
