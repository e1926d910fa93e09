//! Free ports, for servers that cannot be told to choose one themselves.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

/// Below what systems hand out to outgoing connections (from 32768 on Linux, 49152 elsewhere): a port that a killed
/// server leaves for a moment is not taken by any client's connection before the server is back.
const OURS: Range<u16> = 12_000..32_000;

/// Different ports on which nobody listened a moment ago. Somebody else may be faster than the one who asked.
pub(crate) fn free(many: usize) -> io::Result<Vec<u16>> {
    // All are held until the last is chosen, so that none is chosen twice.
    let held: Vec<_> = (0..many).map(|_| listen()).collect::<io::Result<_>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

fn listen() -> io::Result<TcpListener> {
    let ours = || TcpListener::bind((Ipv4Addr::LOCALHOST, rand::random_range(OURS))).ok();
    let any = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    (0..100).find_map(|_| ours()).map_or_else(any, Ok)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn free_ports_differ_and_can_be_listened_on() {
        let ports = free(50).unwrap();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 50);
        let listen = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).unwrap();
        let listeners: Vec<_> = ports.iter().map(listen).collect();
        assert_eq!(listeners.len(), 50);
    }
}
