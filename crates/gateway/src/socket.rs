//! How connections are set up, those of clients and those to instances.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketType, sockopt};
use tokio::net::TcpStream;

/// How long a connection may be silent before the machine at its other end is asked whether it is still there.
const SILENT: Duration = Duration::from_secs(60);

/// How long that has to answer before it is asked again.
const ASKED_EVERY: Duration = Duration::from_secs(15);

/// So many times it is asked.
const ASKED: u32 = 4;

/// Sends what is written at once, and notices that the machine at the other end is gone.
///
/// Messages are small, and waited for. And a machine that is gone says nothing of that: without being asked for, a tunnel to it, or an answer that
/// may take for ever, would stay. What cannot be set changes nothing else.
///
/// There is no `TCP_USER_TIMEOUT`: it would also end the connection to somebody who is there and takes nothing for a while, and how
/// long that may take is for rules and limits to say.
pub(crate) fn tune(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let _ = sockopt::set_socket_keepalive(stream, true);
    let _ = sockopt::set_tcp_keepidle(stream, SILENT);
    let _ = sockopt::set_tcp_keepintvl(stream, ASKED_EVERY);
    let _ = sockopt::set_tcp_keepcnt(stream, ASKED);
}

/// Whether an error says that this process, or this machine, has no files or memory left for one more connection.
pub(crate) fn is_for_want_of_room(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

/// Whether there is an address here that leads to this one, unless that cannot be found out.
///
/// Asked with a socket of UDP, which sends nothing and has ports of its own: so it finds an address also while those of TCP are used up.
pub(crate) fn has_source_for(address: SocketAddr) -> bool {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let asked =
        net::socket(family, SocketType::DGRAM, None).and_then(|socket| net::connect(&socket, &address));
    is_led_to(asked)
}

fn is_led_to(asked: Result<(), Errno>) -> bool {
    !matches!(asked, Err(Errno::ADDRNOTAVAIL | Errno::NETUNREACH | Errno::AFNOSUPPORT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_this_machine_is_led_to() {
        assert!(has_source_for("127.0.0.1:9".parse().unwrap()));
        for told in [Ok(()), Err(Errno::MFILE), Err(Errno::ACCESS)] {
            assert!(is_led_to(told), "{told:?} does not say that there is no way");
        }
        for told in [Errno::ADDRNOTAVAIL, Errno::NETUNREACH, Errno::AFNOSUPPORT] {
            assert!(!is_led_to(Err(told)), "{told}");
        }
    }
}
