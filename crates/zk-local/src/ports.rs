//! Free ports, for servers that cannot be told to choose one themselves.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Below what systems hand out to outgoing connections (from 32768 on Linux, 49152 elsewhere): a port that a killed
/// server leaves for a moment is not taken by any client's connection before the server is back.
const OURS: Range<u16> = 12_000..32_000;

/// Those that were given to somebody in this process, who may not listen there yet: a server that leads its ensemble listens on one of its ports
/// when it is elected, and goes on without an end where it cannot.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// Different ports on which nobody listened a moment ago, and which nobody else in this process was given. Another process may be faster than the
/// one who asked.
pub(crate) fn free(many: usize) -> io::Result<Vec<u16>> {
    // All are held until the last is chosen, so that none is chosen twice.
    let held: Vec<_> = (0..many).map(|_| listen()).collect::<io::Result<_>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

fn listen() -> io::Result<TcpListener> {
    let ours = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, rand::random_range(OURS))).ok()?;
        give(listener.local_addr().ok()?.port()).then_some(listener)
    };
    let any = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    (0..100).find_map(|_| ours()).map_or_else(any, Ok)
}

/// Whether nobody was given that port before; once so many were given that hardly any are left, those of long ago do not count.
fn give(port: u16) -> bool {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    if given.len() > OURS.len() / 2 {
        given.clear();
    }
    given.insert(port)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn who_asks_at_the_same_time_is_given_other_ports() {
        let ask = || thread::spawn(|| (0..100).flat_map(|_| free(9).unwrap()).collect::<Vec<_>>());
        let asking = [(); 4].map(|()| ask());
        let given: Vec<_> = asking.into_iter().flat_map(|it| it.join().unwrap()).collect();
        assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), given.len());
    }

    #[test]
    fn free_ports_differ_and_can_be_listened_on() {
        let ports = free(50).unwrap();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 50);
        let listen = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).unwrap();
        let listeners: Vec<_> = ports.iter().map(listen).collect();
        assert_eq!(listeners.len(), 50);
    }
}
