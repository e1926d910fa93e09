//! Follows a service in many sessions, each with a discovery of its own, and says on stdout when its size changes.
//!
//! - `READY size ms`, once for each watcher: its list has all instances, so long after it was started.
//! - `SIZE watcher size unix_ns`: a list of another size was published.
//! - `STAT size xor unix_ns`, for a line `STAT` on stdin: the size of the first watcher's list, the XOR of the FNV-1a hashes of its
//!   ids, and when it was published. `GC` means nothing here: what is not needed is freed already.
//!
//! It ends at the end of stdin.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use cli::ending;
use cli::flags::number;
use cli::output::{complain, print};
use futures::future::join_all;
use registry::{Discovery, Instances};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Place;
use crate::output::brief;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// How many sessions
    #[arg(value_parser = number::<usize>(1..=1_000))]
    watchers: usize,
}

pub(super) async fn run(Args { place, watchers }: Args) -> anyhow::Result<()> {
    let (mut keepers, mut telling, mut stats) = (Vec::new(), JoinSet::new(), Vec::new());
    for number in 0..watchers {
        let begin = Instant::now();
        let keeper = place.connection().keep()?;
        let discovery = place.registry(keeper.sessions()).follow(&place.service);
        let last = Arc::new(AtomicU64::new(0));
        stats.push(Stat { list: discovery.instances(), last: last.clone() });
        telling.spawn(Watcher { number, begin, wanted: place.instances, discovery, last }.tell());
        keepers.push(keeper);
    }
    let ended = tokio::select! {
        answered = answer(stats.first()) => answered,
        // One that cannot be told of is the end: nobody reads, perhaps.
        Some(told) = telling.join_next() => told?,
    };
    telling.shutdown().await;
    join_all(keepers.into_iter().map(ending::close)).await;
    ended
}

/// One that follows.
struct Watcher {
    number: usize,
    begin: Instant,
    /// How many instances there are when it is ready.
    wanted: usize,
    discovery: Discovery,
    /// When the last list was seen.
    last: Arc<AtomicU64>,
}

impl Watcher {
    /// Tells of every list, until there is no session any more. Costs the same for a list of any length.
    async fn tell(self) -> anyhow::Result<()> {
        let mut lists = self.discovery.instances();
        let mut told = None;
        while lists.changed().await.is_ok() {
            let size = lists.borrow_and_update().as_ref().map_or(0, registry::List::len);
            let now = unix_nanos();
            self.last.store(now, Ordering::Relaxed);
            match told {
                None if size < self.wanted => continue,
                None => print(format_args!("READY {size} {:.3}", self.begin.elapsed().as_secs_f64() * 1e3))?,
                Some(told) if told == size => {}
                Some(_) => print(format_args!("SIZE {} {size} {now}", self.number))?,
            }
            told = Some(size);
        }
        Ok(())
    }
}

/// What is asked for by `STAT`.
struct Stat {
    list: watch::Receiver<Option<Instances>>,
    last: Arc<AtomicU64>,
}

impl Stat {
    fn line(&self) -> String {
        let list = self.list.borrow().clone();
        let ids = list.iter().flat_map(|list| list.iter()).map(|instance| fnv_1a(instance.id.as_str()));
        let xor = ids.fold(0, |xor, id| xor ^ id);
        let size = list.as_ref().map_or(0, registry::List::len);
        format!("STAT {size} {xor:x} {}", self.last.load(Ordering::Relaxed))
    }
}

/// Answers what comes on stdin, until that ends.
async fn answer(first: Option<&Stat>) -> anyhow::Result<()> {
    let mut asked = BufReader::new(stdin()).lines();
    while let Some(line) = asked.next_line().await? {
        match &*line {
            "STAT" => first.map_or(Ok(()), |stat| print(stat.line()))?,
            "GC" => {}
            other => complain(&format!("{} is not understood; accepted: STAT, GC", brief(other))),
        }
    }
    Ok(())
}

/// The 64-bit hash by which the driver compares lists.
fn fnv_1a(id: &str) -> u64 {
    id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "compared with the driver's, a process of another language on the same machine"
)]
fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_nanos().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_hashed_as_everybody_does_it() {
        for (id, hash) in
            [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
        {
            assert_eq!(fnv_1a(id), hash, "{id}");
        }
    }
}
