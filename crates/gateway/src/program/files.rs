//! How many files may be open, of which each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

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

/// How many files connections may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Needed {
    /// While each client of the proxy asks for one thing at a time, as those of HTTP/1.1 do.
    usually: u64,
    /// When all of them speak HTTP/2 and ask for as much at the same time as they may.
    at_most: u64,
}

/// Warns when there can be fewer files than connections usually need, and tells when there are fewer than they ever may: then requests that find none are
/// answered with 503. `streams`: for how much a client of HTTP/2 may ask at the same time.
///
/// Connections to instances that are kept while nobody uses them come on top, for a minute each. Nobody knows how many instances there will be.
pub(crate) fn tell_if_few(connections: usize, streams: u32, has_proxy: bool) {
    let Some(files) = getrlimit(Resource::Nofile).current else { return };
    let Needed { usually, at_most } = needed(connections, streams, has_proxy);
    if files < usually {
        warn!(files, usually, at_most, "fewer files may be open than --connections may need: see ulimit -n");
    } else if files < at_most {
        info!(
            files,
            at_most,
            "fewer files may be open than clients of HTTP/2 may need if all ask for as much as they may"
        );
    }
}

/// A client of the registry needs one, and one of the proxy another one for each instance that it is asking.
fn needed(connections: usize, streams: u32, has_proxy: bool) -> Needed {
    let connections = u64::try_from(connections).unwrap_or(u64::MAX);
    let needed = |each: u64| connections.saturating_mul(each).saturating_add(OTHERS);
    if has_proxy {
        Needed { usually: needed(3), at_most: needed(2 + u64::from(streams)) }
    } else {
        Needed { usually: needed(1), at_most: needed(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_of_the_proxy_needs_a_file_for_each_instance_too() {
        assert_eq!(needed(100, 128, false), Needed { usually: 164, at_most: 164 });
        // One client of the registry, one of the proxy, and one instance or 128 of them.
        assert_eq!(needed(100, 128, true), Needed { usually: 364, at_most: 13_064 });
        assert_eq!(needed(usize::MAX, 128, true), Needed { usually: u64::MAX, at_most: u64::MAX });
    }
}
