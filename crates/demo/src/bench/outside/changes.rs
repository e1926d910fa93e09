//! Many changes by somebody else's session, known beforehand, and how they are written as fast as that goes.

use std::collections::{BTreeMap, VecDeque};
use std::num::{NonZeroU32, NonZeroU64};

use anyhow::Context as _;
use futures::TryFutureExt;
use futures::future::BoxFuture;
use proto::ServiceName;
use zookeeper_client::{Client, MultiWriteError};

use crate::bench::processes::Fingerprint;
use crate::bench::stage::{Stage, ephemeral, long_named};

/// There are so many changes for each instance.
pub(crate) const PER_INSTANCE: u32 = 10;
/// How many requests of the writer may be unanswered.
const AHEAD: usize = 1_000;
/// How many changes there are in a transaction; also how many transactions may be unanswered, by tens.
const TOGETHER: usize = 100;
const TRANSACTIONS_AHEAD: usize = 10;

/// How the changes are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// One request each, not waiting for the answers.
    Single,
    /// In transactions.
    Together,
}

/// What happens to one node.
enum Change {
    Create(String, Vec<u8>),
    Set(String, Vec<u8>),
    Delete(String),
}

/// A service of somebody else, and what will become of it.
pub(crate) struct Changes {
    writer: Client,
    fill: Vec<Change>,
    changes: Vec<Change>,
    /// The instance that comes last of all.
    pub(crate) last: String,
    /// What is there in the end.
    pub(crate) fingerprint: Fingerprint,
    pub(crate) left: usize,
}

/// Among how many instances so many changes are made.
///
/// # Errors
///
/// They are too few for a single one.
pub(crate) fn among(changes: u32) -> anyhow::Result<NonZeroU32> {
    let among = NonZeroU32::new(changes / PER_INSTANCE);
    among.with_context(|| {
        format!("{changes} changes are not enough: there are {PER_INSTANCE} for each instance")
    })
}

impl Changes {
    /// `count` changes among as many instances as `among`: most of them write, some delete, and create again.
    pub(crate) async fn plan(
        stage: &Stage,
        service: &ServiceName,
        among: NonZeroU32,
        count: u32,
    ) -> anyhow::Result<Self> {
        let node = |number, weight| -> anyhow::Result<_> {
            let data = long_named(number, weight)?;
            let id = data.default_id()?.to_string();
            let nodes = stage.nodes(service, std::slice::from_ref(&data))?;
            Ok(nodes.into_iter().next().map(|(path, value)| (id, data, path, value)))
        };
        let mut there = BTreeMap::new();
        let (mut fill, mut changes) = (Vec::new(), Vec::new());
        let mut last = String::new();
        for number in 0..among.get() {
            if let Some((id, data, path, value)) = node(number, 1)? {
                fill.push(Change::Create(path, value));
                there.insert(id, data);
            }
        }
        for step in 1..count {
            let drawn = scatter(u64::from(step));
            let number = u32::try_from(drawn % NonZeroU64::from(among))?;
            let weight = 1 + step % 1_000;
            let Some((id, data, path, value)) = node(number, weight)? else { continue };
            changes.push(match there.contains_key(&id) {
                true if (drawn >> 40).is_multiple_of(4) => Change::Delete(path),
                true => Change::Set(path, value),
                false => Change::Create(path, value),
            });
            match changes.last() {
                Some(Change::Delete(_)) => there.remove(&id),
                _ => there.insert(id, data),
            };
        }
        if let Some((id, data, path, value)) = node(among.get(), 1)? {
            last.clone_from(&id);
            there.insert(id, data);
            changes.push(Change::Create(path, value));
        }
        let fingerprint = Fingerprint::of(there.values())?;
        Ok(Self { writer: stage.raw().await?, fill, changes, last, fingerprint, left: there.len() })
    }

    /// Makes the instances of the beginning.
    pub(crate) async fn fill(&self) -> anyhow::Result<()> {
        together(&self.writer, &self.fill).await
    }

    /// Writes all changes, and returns when the last was acknowledged.
    pub(crate) async fn write(&self, way: Way) -> anyhow::Result<()> {
        match way {
            Way::Single => single(&self.writer, &self.changes).await,
            Way::Together => together(&self.writer, &self.changes).await,
        }
    }

    /// How many requests that takes.
    pub(crate) fn requests(&self, way: Way) -> usize {
        match way {
            Way::Single => self.changes.len(),
            Way::Together => self.changes.len().div_ceil(TOGETHER),
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.changes.len()
    }
}

async fn single(writer: &Client, changes: &[Change]) -> anyhow::Result<()> {
    let options = ephemeral();
    let mut sent = VecDeque::new();
    for change in changes {
        if sent.len() == AHEAD {
            answered(&mut sent).await?;
        }
        // A call sends its request, polled or not.
        let answer: BoxFuture<'_, Result<(), zookeeper_client::Error>> = match change {
            Change::Create(path, value) => Box::pin(writer.create(path, value, &options).map_ok(|_| ())),
            Change::Set(path, value) => Box::pin(writer.set_data(path, value, None).map_ok(|_| ())),
            Change::Delete(path) => Box::pin(writer.delete(path, None)),
        };
        sent.push_back(answer);
    }
    while !sent.is_empty() {
        answered(&mut sent).await?;
    }
    Ok(())
}

async fn together(writer: &Client, changes: &[Change]) -> anyhow::Result<()> {
    let options = ephemeral();
    let mut commits = Vec::new();
    for chunk in changes.chunks(TOGETHER) {
        let mut commit = writer.new_multi_writer();
        for change in chunk {
            match change {
                Change::Create(path, value) => commit.add_create(path, value, &options)?,
                Change::Set(path, value) => commit.add_set_data(path, value, None)?,
                Change::Delete(path) => commit.add_delete(path, None)?,
            }
        }
        commits.push(commit);
    }
    let mut sent = VecDeque::new();
    for commit in &mut commits {
        if sent.len() == TRANSACTIONS_AHEAD {
            answered(&mut sent).await?;
        }
        let answer: BoxFuture<'_, Result<(), MultiWriteError>> = Box::pin(commit.commit().map_ok(|_| ()));
        sent.push_back(answer);
    }
    while !sent.is_empty() {
        answered(&mut sent).await?;
    }
    Ok(())
}

/// Waits for the answer to the first of what was sent.
async fn answered<E>(sent: &mut VecDeque<BoxFuture<'_, Result<(), E>>>) -> Result<(), E> {
    match sent.pop_front() {
        Some(first) => first.await,
        None => Ok(()),
    }
}

/// A number that looks random, the same in every run (splitmix64).
fn scatter(number: u64) -> u64 {
    let mut drawn = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    drawn ^ (drawn >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_that_are_too_few_for_an_instance_are_refused() {
        let of = |changes| among(changes).map(NonZeroU32::get).ok();
        assert_eq!([9, 10, 19, 20].map(of), [None, Some(1), Some(1), Some(2)]);
    }
}
