//! When everybody connects.

use std::mem::replace;

use crate::history::{Entry, Nanos, What, now};
use crate::who::Who;

/// The connections of a process that were seen so far.
#[derive(Debug, Default)]
pub(super) struct Counting {
    /// How many, and a time before which all of them were made.
    seen: (u64, Nanos),
}

impl Counting {
    /// What `accepted`, which tells how many there were by now, tells that is new.
    ///
    /// A busy machine can do anything else before it reads, and after. So what is new is told to be since a time before the last
    /// read, and until one after this.
    pub(super) fn look(&mut self, who: Who, accepted: impl FnOnce() -> u64) -> Option<Entry> {
        let before = now();
        let accepted = accepted();
        let at = now();
        let (seen, since) = replace(&mut self.seen, (accepted, before));
        let connections = accepted - seen;
        (connections > 0).then_some(Entry { at, what: What::Connected { who, connections, since } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_came_within_the_time_that_is_told_whenever_they_were_read() {
        let who = "i03".parse().unwrap();
        let mut counting = Counting::default();
        let mut read = 0;
        let mut look = |many: u64| {
            let last = replace(&mut read, 0);
            let entry = counting.look(who, || {
                read = now();
                many
            });
            (last, entry, read)
        };
        // Those of its first moments as well.
        let first = look(5).1;
        assert!(matches!(first, Some(Entry { what: What::Connected { connections: 5, since: 0, .. }, .. })));
        assert_eq!(look(5).1, None);
        let (last, entry, read) = look(8);
        let Some(Entry { at, what: What::Connected { connections: 3, since, .. } }) = entry else {
            panic!("{entry:?}")
        };
        assert!(since <= last, "{since} {last}");
        assert!(at >= read, "{at} {read}");
    }
}
