//! How many files may be open, of which each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// What is open besides connections of clients and to instances.
const OTHERS: u64 = 64;

/// Allows as many open files as the system lets us. What it allows unasked is often 1,024, from a time when some programs could not have more.
pub(crate) fn allow_all() {
    let Rlimit { maximum, current } = getrlimit(Resource::Nofile);
    // With fewer than could be it works as well; `tell_if_few` tells what that means.
    if current != maximum {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
}

/// Warns when there can be fewer files than connections were allowed.
pub(crate) fn tell_if_few(connections: usize, has_proxy: bool) {
    let Some(files) = getrlimit(Resource::Nofile).current else { return };
    let needed = needed(connections, has_proxy);
    if files < needed {
        warn!(files, needed, "fewer files may be open than --connections may need: see ulimit -n");
    }
}

/// A client of the registry needs one, and one of the proxy two: the other for its instance.
fn needed(connections: usize, has_proxy: bool) -> u64 {
    let connections = u64::try_from(connections).unwrap_or(u64::MAX);
    connections.saturating_mul(if has_proxy { 3 } else { 1 }).saturating_add(OTHERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_of_the_proxy_needs_a_file_for_its_instance_too() {
        assert_eq!((needed(100, false), needed(100, true)), (164, 364));
        assert_eq!(needed(usize::MAX, true), u64::MAX);
    }
}
