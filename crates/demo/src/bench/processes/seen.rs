//! What a consumer has seen of the lists of a process that follows.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::timeout;

use super::clock::now_ns;
use super::fingerprint::Fingerprint;

/// Longer than deletions are held before they are published: a list that did not change for so long is the last one.
const QUIET: Duration = Duration::from_millis(300);
/// How long a list may take to become the truth. Less than whoever asks waits for an answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// The lists since the last mark.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// How many there were.
    pub(crate) lists: u64,
    /// The size of the shortest one.
    pub(crate) lowest: usize,
    /// The size of the last one.
    pub(crate) size: usize,
    /// When the last one came, in nanoseconds of the [clock](now_ns) that all processes share.
    pub(crate) changed_ns: u64,
}

impl Seen {
    /// A list of so many instances.
    pub(super) fn list(&mut self, size: usize) {
        self.changed_ns = now_ns();
        self.lowest = self.lowest.min(size);
        self.size = size;
        self.lists += 1;
    }

    /// Forgets the lists before one of so many instances.
    pub(super) fn mark(&mut self, size: usize) {
        (self.lowest, self.size, self.lists) = (size, size, 0);
    }
}

/// Waits until the list is this one, as `look` finds it, and stays it.
///
/// # Errors
///
/// The list does not become this one.
pub(super) async fn settled(
    seen: watch::Receiver<Seen>,
    wanted: Fingerprint,
    look: impl FnMut() -> anyhow::Result<Fingerprint>,
) -> anyhow::Result<()> {
    match timeout(PATIENCE, settles(seen, wanted, look)).await {
        Ok(settled) => settled,
        Err(_) => bail!("after {PATIENCE:?} a list is not the truth"),
    }
}

async fn settles(
    mut seen: watch::Receiver<Seen>,
    wanted: Fingerprint,
    mut look: impl FnMut() -> anyhow::Result<Fingerprint>,
) -> anyhow::Result<()> {
    loop {
        let quiet = Duration::from_nanos(now_ns().saturating_sub(seen.borrow_and_update().changed_ns));
        if timeout(QUIET.saturating_sub(quiet), seen.changed()).await.is_ok() {
            continue;
        }
        if look()? == wanted && !seen.has_changed()? {
            return Ok(());
        }
        // Nothing but another list makes it true.
        seen.changed().await.context("nobody looks any more")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::stage::instances;

    #[test]
    fn lists_are_counted_since_the_mark() {
        let mut seen = Seen::default();
        seen.mark(10);
        for size in [7, 3, 9] {
            seen.list(size);
        }
        assert_eq!((seen.lowest, seen.size, seen.lists), (3, 9, 3));
        seen.mark(9);
        seen.list(8);
        assert_eq!((seen.lowest, seen.lists), (8, 1));
        assert!(seen.changed_ns <= now_ns());
    }

    #[tokio::test]
    async fn a_list_settles_when_it_is_the_truth_and_nothing_more_comes() {
        let truth = Fingerprint::of(&instances(3).unwrap()).unwrap();
        let (lists, list) = watch::channel(Fingerprint::default());
        let (sender, seen) = watch::channel(Seen::default());
        let (looked, mut looks) = tokio::sync::mpsc::unbounded_channel();
        let look = move || {
            looked.send(())?;
            Ok(*list.borrow())
        };
        let settling = tokio::spawn(settled(seen, truth, look));
        looks.recv().await.unwrap();
        assert!(!settling.is_finished(), "it is not the truth");
        lists.send_replace(truth);
        let came = now_ns();
        sender.send_modify(|seen| seen.list(3));
        settling.await.unwrap().unwrap();
        assert!(Duration::from_nanos(now_ns() - came) >= QUIET);
        assert_eq!(sender.borrow().lists, 1);
    }
}
