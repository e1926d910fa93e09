//! Free ports, for servers that cannot be told to choose one themselves.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

/// Below what systems hand out to outgoing connections (from 32768 on Linux, 49152 elsewhere): a port that a killed
/// server leaves for a moment is not taken by any client's connection before the server is back.
const OURS: Range<u16> = 12_000..32_000;

/// A port that nobody listened on a moment ago. Somebody else may be faster than the one who asked.
pub(crate) fn free() -> io::Result<u16> {
    (0..100)
        .map(|_| rand::random_range(OURS))
        .find(|port| is_free(*port))
        .map_or_else(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr().map(|at| at.port()), Ok)
}

pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_can_be_listened_on_and_then_is_free_no_more() {
        let port = free().unwrap();
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert!(!is_free(port));
    }
}
