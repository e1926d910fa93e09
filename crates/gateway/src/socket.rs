//! How connections are set up, those of clients and those to instances.

use std::time::Duration;

use rustix::net::sockopt;
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
