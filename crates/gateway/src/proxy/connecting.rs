//! The way to an instance, and whose failure it is when there is none.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proto::Address;
use rustix::io::Errno;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::lookups::Lookups;
use crate::socket::{has_source_for, is_for_want_of_room, tune};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoConnection {
    #[error("the instance cannot be reached")]
    Failed(#[source] io::Error),
    #[error("the instance was not reached in time")]
    Late,
    /// That is nothing that the instance could help.
    #[error("the name of its host was not looked up in time")]
    LookedUpLate,
    /// No instance could be reached now, so that says nothing of this one.
    #[error("there is no room for one more connection")]
    NoRoom(#[source] io::Error),
    /// All ports that lead to this address are in use. They may be free for another one.
    #[error("there is no port for one more connection to this address")]
    NoPort(#[source] io::Error),
}

/// Connects to the first of its addresses where that works.
pub(super) async fn connect(
    address: &Address,
    lookups: &Arc<Lookups>,
    until: Instant,
) -> Result<TcpStream, NoConnection> {
    let begun = Instant::now();
    let addresses = match address.ip() {
        Some(ip) => vec![SocketAddr::new(ip, address.port())],
        None => {
            let found = timeout_at(until, lookups.look_up(address.host(), address.port())).await;
            let found = found.map_err(|_| NoConnection::LookedUpLate)?;
            found.map_err(NoConnection::of_lookup)?
        }
    };
    let looked_up = Instant::now();
    let connected = first(addresses, until, TcpStream::connect).await;
    let (took, left) = (looked_up - begun, until.saturating_duration_since(looked_up));
    let stream = connected.map_err(|none| none.after_lookup(took, left))?;
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

    /// Whoever is late because most of the time went by before it was known where it is cannot help that.
    fn after_lookup(self, took: Duration, left: Duration) -> Self {
        if matches!(self, Self::Late) && took > left { Self::LookedUpLate } else { self }
    }

    /// What an error of a lookup says: whether there was time for it, or there is no such instance.
    fn of_lookup(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::LookedUpLate,
            _ => Self::of(error, || false),
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
    use std::future::pending;

    use futures::FutureExt;
    use futures::future::join_all;
    use rustix::net::sockopt;
    use tokio::net::TcpListener;
    use tokio::time::sleep;

    use super::*;

    /// What looks up names and never answers.
    fn silent() -> Arc<Lookups> {
        Arc::new(Lookups::by(|_| pending().boxed()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_waited_for_no_longer_than_the_connection_and_an_address_of_numbers_never() {
        let (lookups, begun) = (silent(), Instant::now());
        let until = begun + Duration::from_secs(2);
        for _ in 0..100 {
            let late = connect(&"silent.example:80".parse().unwrap(), &lookups, until).await;
            assert!(matches!(late, Err(NoConnection::LookedUpLate)), "{late:?}");
        }
        assert_eq!(begun.elapsed().as_secs(), 2);
        for listener in [TcpListener::bind("127.0.0.1:0").await, TcpListener::bind("[::1]:0").await] {
            // There may be no IPv6 here.
            let Ok(listener) = listener else { continue };
            let address = listener.local_addr().unwrap().to_string().parse().unwrap();
            tokio::time::resume();
            connect(&address, &lookups, Instant::now() + Duration::from_secs(60)).await.unwrap();
            tokio::time::pause();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_server_that_does_not_answer_says_nothing_of_an_instance_and_one_that_knows_no_such_name_does()
     {
        for (takes, blames) in [(10, true), (1_000, false), (10_000, false)] {
            let fails = move |_| {
                let error = io::Error::other("failed to lookup address information");
                sleep(Duration::from_millis(takes)).map(|()| Err(error)).boxed()
            };
            let (lookups, address) = (Arc::new(Lookups::by(fails)), "a.example:80".parse().unwrap());
            // As those do who come when others have waited for most of it.
            let until = Instant::now() + Duration::from_secs(60);
            for failed in join_all([(); 8].map(|()| connect(&address, &lookups, until))).await {
                let failed = failed.unwrap_err();
                assert_eq!(matches!(failed, NoConnection::Failed(_)), blames, "{takes} ms: {failed:?}");
                assert_eq!(matches!(failed, NoConnection::LookedUpLate), !blames, "{takes} ms: {failed:?}");
            }
        }
    }

    #[test]
    fn who_had_less_time_than_the_search_for_its_address_took_is_not_late_by_its_own_fault() {
        let (short, long) = (Duration::from_millis(900), Duration::from_millis(1_100));
        assert!(matches!(NoConnection::Late.after_lookup(short, long), NoConnection::Late));
        assert!(matches!(NoConnection::Late.after_lookup(long, short), NoConnection::LookedUpLate));
        let refused = NoConnection::of(Errno::CONNREFUSED.into(), || true).after_lookup(long, short);
        assert!(matches!(refused, NoConnection::Failed(_)));
    }

    #[tokio::test]
    async fn a_machine_that_is_gone_is_noticed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        let stream = connect(&address, &silent(), until).await.unwrap();
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
            NoConnection::Late | NoConnection::LookedUpLate => "late",
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
                Silent => pending().await,
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
