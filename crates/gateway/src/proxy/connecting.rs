//! The way to an instance, and whose failure it is when there is none.

use std::io;

use proto::Address;
use rustix::io::Errno;
use tokio::net::{TcpStream, lookup_host};

use crate::socket::{has_source_for, is_for_want_of_room, tune};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoConnection {
    #[error("the instance cannot be reached")]
    Failed(#[source] io::Error),
    #[error("the instance was not reached in time")]
    Late,
    /// No instance could be reached now, so that says nothing of this one.
    #[error("there is no room for one more connection")]
    NoRoom(#[source] io::Error),
    /// All ports that lead to this address are in use. They may be free for another one.
    #[error("there is no port for one more connection to this address")]
    NoPort(#[source] io::Error),
}

/// Connects to the first of its addresses where that works.
pub(super) async fn connect(address: &Address) -> Result<TcpStream, NoConnection> {
    let found = lookup_host((address.host(), address.port())).await;
    let mut last = NoConnection::Failed(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    for socket in found.map_err(|error| NoConnection::of(error, || false))? {
        match TcpStream::connect(socket).await {
            Ok(stream) => {
                tune(&stream);
                return Ok(stream);
            }
            Err(error) => last = last.or_else(NoConnection::of(error, || has_source_for(socket))),
        }
    }
    Err(last)
}

impl NoConnection {
    /// What is said of two addresses of one instance: what is wanting here, of either, is not its failure.
    fn or_else(self, next: Self) -> Self {
        if matches!(self, Self::NoRoom(_) | Self::NoPort(_)) { self } else { next }
    }

    /// What an error of the system says. It says the same when ports are used up and when there is no address here that leads to the
    /// other one, as for IPv6 in many containers. The latter does not pass, so there the instance is one that cannot be reached.
    fn of(error: io::Error, has_source: impl FnOnce() -> bool) -> Self {
        if is_for_want_of_room(&error) {
            return Self::NoRoom(error);
        }
        match Errno::from_io_error(&error) {
            Some(Errno::ADDRNOTAVAIL) if has_source() => Self::NoPort(error),
            _ => Self::Failed(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::net::sockopt;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_machine_that_is_gone_is_noticed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let stream = connect(&address).await.unwrap();
        assert!(sockopt::socket_keepalive(&stream).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&stream).unwrap(), Duration::from_secs(60));
        assert!(sockopt::tcp_nodelay(&stream).unwrap());
    }

    #[test]
    fn what_the_system_says_of_all_of_one_address_or_of_an_instance_is_told_apart() {
        let kind = |errno: Errno, has_source| match NoConnection::of(errno.into(), || has_source) {
            NoConnection::NoRoom(_) => "no room",
            NoConnection::NoPort(_) => "no port",
            NoConnection::Failed(_) => "failed",
            NoConnection::Late => "late",
        };
        for (errno, with_source, without) in [
            (Errno::MFILE, "no room", "no room"),
            (Errno::NFILE, "no room", "no room"),
            (Errno::NOBUFS, "no room", "no room"),
            (Errno::NOMEM, "no room", "no room"),
            (Errno::ADDRNOTAVAIL, "no port", "failed"),
            (Errno::AFNOSUPPORT, "failed", "failed"),
            (Errno::CONNREFUSED, "failed", "failed"),
            (Errno::NETUNREACH, "failed", "failed"),
        ] {
            assert_eq!((kind(errno, true), kind(errno, false)), (with_source, without), "{errno:?}");
        }
    }

    #[test]
    fn what_is_wanting_here_is_not_the_failure_of_an_instance_with_several_addresses() {
        let (none, no_port, failed) = (Errno::MFILE, Errno::ADDRNOTAVAIL, Errno::CONNREFUSED);
        for (first, next, blames) in [
            (failed, failed, true),
            (failed, no_port, false),
            (no_port, failed, false),
            (none, failed, false),
        ] {
            let both =
                NoConnection::of(first.into(), || true).or_else(NoConnection::of(next.into(), || true));
            assert_eq!(matches!(both, NoConnection::Failed(_)), blames, "{first:?}, {next:?}");
        }
    }
}
