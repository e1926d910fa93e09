//! The way to an instance, and whose failure it is when there is none.

use std::io;
use std::net::SocketAddr;

use proto::Address;
use rustix::io::Errno;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

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
pub(super) async fn connect(address: &Address, until: Instant) -> Result<TcpStream, NoConnection> {
    let found = timeout_at(until, lookup_host((address.host(), address.port()))).await;
    let found = found.map_err(|_| NoConnection::Late)?.map_err(|error| NoConnection::of(error, || false))?;
    let stream = first(found.collect(), until, TcpStream::connect).await?;
    tune(&stream);
    Ok(stream)
}

/// The first of these addresses where that works. None takes the time of those behind it: each has its share of what is left.
async fn first<T, C: Future<Output = io::Result<T>>>(
    addresses: Vec<SocketAddr>,
    until: Instant,
    connect: impl Fn(SocketAddr) -> C,
) -> Result<T, NoConnection> {
    let mut last = NoConnection::Failed(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    for (left, socket) in (1..=addresses.len() as u32).rev().zip(addresses) {
        let now = Instant::now();
        let share = until.saturating_duration_since(now) / left;
        let failed = match timeout_at(now + share, connect(socket)).await {
            Ok(Ok(connected)) => return Ok(connected),
            Ok(Err(error)) => NoConnection::of(error, || has_source_for(socket)),
            Err(_) => NoConnection::Late,
        };
        last = last.or_else(failed);
    }
    Err(last)
}

impl NoConnection {
    /// What is said of two addresses of one instance: what is wanting here, of either, is not its failure. Nor does it refuse what may
    /// only take longer at one of them.
    fn or_else(self, next: Self) -> Self {
        match (&self, &next) {
            (Self::NoRoom(_) | Self::NoPort(_), _) | (Self::Late, Self::Failed(_)) => self,
            _ => next,
        }
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
        let stream = connect(&address, Instant::now() + Duration::from_secs(60)).await.unwrap();
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

    #[tokio::test(start_paused = true)]
    async fn an_address_that_is_silent_leaves_time_for_those_behind_it() {
        use Behaves::{Answers, Refuses, Silent};

        const LIMIT: u64 = 2_000;
        // What its addresses do: which one it is, or why there is none, and after how many milliseconds.
        let cases: [(&[Behaves], Result<usize, &str>, u64); 8] = [
            (&[Answers], Ok(0), 0),
            (&[Silent, Answers], Ok(1), LIMIT / 2),
            (&[Silent, Silent, Silent, Answers], Ok(3), LIMIT * 3 / 4),
            // Who refuses leaves what it did not take.
            (&[Refuses, Silent, Answers], Ok(2), LIMIT / 2),
            (&[Silent], Err("late"), LIMIT),
            (&[Silent, Silent, Silent], Err("late"), LIMIT),
            (&[Silent, Refuses], Err("late"), LIMIT / 2),
            (&[Refuses, Refuses], Err("failed"), 0),
        ];
        for (addresses, outcome, after) in cases {
            let begun = Instant::now();
            let at = |place: usize| SocketAddr::from(([127, 0, 0, 1], place as u16));
            let place = |socket: SocketAddr| usize::from(socket.port());
            let connect = async |socket: SocketAddr| match addresses[place(socket)] {
                Answers => Ok(place(socket)),
                Refuses => Err(Errno::CONNREFUSED.into()),
                Silent => std::future::pending().await,
            };
            let until = begun + Duration::from_millis(LIMIT);
            let connected = first((0..addresses.len()).map(at).collect(), until, connect).await;
            let connected = connected.map_err(|none| match none {
                NoConnection::Late => "late",
                NoConnection::Failed(_) => "failed",
                _ => "other",
            });
            assert_eq!(connected, outcome, "{addresses:?}");
            // A timer goes by milliseconds.
            let late = begun.elapsed().abs_diff(Duration::from_millis(after));
            assert!(late <= Duration::from_millis(addresses.len() as u64), "{addresses:?}: {late:?}");
        }
    }

    /// What an address does.
    #[derive(Clone, Copy, Debug)]
    enum Behaves {
        Answers,
        Refuses,
        Silent,
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
