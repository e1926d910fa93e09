//! Free ports, for servers that cannot be told to choose one themselves.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Where blocks of ports begin: below what systems hand out to outgoing connections (from 32768 on Linux, 49152 elsewhere), so that a port
/// which a killed server leaves for a moment is not taken by any client's connection before the server is back.
const BLOCKS: Range<u16> = 120..320;

/// Ports of a block. Who listens on the first one has the others.
const BLOCK: u16 = 100;

/// Of this process, as long as it runs.
static OURS: Mutex<Ours> = Mutex::new(Ours { claims: Vec::new(), rest: 0..0 });

struct Ours {
    claims: Vec<TcpListener>,
    /// What is left of the last block.
    rest: Range<u16>,
}

/// A port of 127.0.0.1 on which nobody listened a moment ago, from 12,000 to 31,999. Nobody else is given it by this function, neither in this
/// process nor in another one, as long as this process runs: whoever listens there may be killed, and finds it free when it comes back.
///
/// Only once all 19,800 of them were given, the system chooses, which may give one again.
///
/// # Errors
///
/// When nothing can listen on this machine any more.
///
/// # Examples
///
/// ```
/// let port = zk_local::free_port()?;
/// let listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn free_port() -> io::Result<u16> {
    let mut ours = OURS.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if let Some(port) = ours.rest.find(|&port| listen(port).is_ok()) {
            return Ok(port);
        }
        let Some((first, claim)) = claim() else {
            return Ok(listen(0)?.local_addr()?.port());
        };
        ours.claims.push(claim);
        ours.rest = first + 1..first + BLOCK;
    }
}

/// The first port of a block that nobody has, held.
fn claim() -> Option<(u16, TcpListener)> {
    let many = BLOCKS.len();
    // From anywhere on: who comes later need not pass all that are taken.
    let mut blocks = BLOCKS.cycle().skip(rand::random_range(0..many)).take(many);
    blocks.find_map(|block| Some((block * BLOCK, listen(block * BLOCK).ok()?)))
}

fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::thread;

    use super::*;

    fn ports(many: usize) -> Vec<u16> {
        (0..many).map(|_| free_port().unwrap()).collect()
    }

    #[test]
    fn who_asks_at_the_same_time_is_given_other_ports() {
        let asking = [(); 4].map(|()| thread::spawn(|| ports(400)));
        let given: Vec<_> = asking.into_iter().flat_map(|it| it.join().unwrap()).collect();
        assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), given.len());
    }

    #[test]
    fn free_ports_can_be_listened_on_and_nobody_else_can_claim_them() {
        for port in ports(50) {
            listen(port).unwrap();
            listen(port / BLOCK * BLOCK).expect_err("the first of the block is held by us");
        }
    }
}
