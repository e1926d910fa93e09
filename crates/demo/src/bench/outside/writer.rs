//! Somebody else's session that fills a directory and replaces what is in it.

use std::sync::{Mutex, PoisonError};

use anyhow::bail;
use futures::future::try_join_all;
use zookeeper_client::{AddWatchMode, Client, EventType};

use crate::bench::stage::ephemeral;

/// As many as one commit of ours holds.
pub(crate) const TOGETHER: usize = zk_session::MAX_OPS;
/// How many instances are between their deletion and their creation at most, and of how many that is one at most: were all of them
/// gone at once, no list could be shorter than that.
const IN_FLIGHT: usize = 256;
const OF_ALL: usize = 10;

/// A node's path and value.
pub(crate) type Node = (String, Vec<u8>);

/// Makes all nodes, in transactions that do not wait for each other.
pub(crate) async fn fill(client: &Client, nodes: &[Node]) -> anyhow::Result<()> {
    let options = ephemeral();
    let mut commits = Vec::new();
    for nodes in nodes.chunks(TOGETHER) {
        let mut writer = client.new_multi_writer();
        for (path, value) in nodes {
            writer.add_create(path, value, &options)?;
        }
        commits.push(writer.commit());
    }
    try_join_all(commits).await?;
    Ok(())
}

/// Deletes each old node and then makes the new one in its place, as a rolling restart does.
pub(crate) async fn replace(client: &Client, old: &[Node], new: &[Node]) -> anyhow::Result<()> {
    let (options, pairs) = (&ephemeral(), &Mutex::new(old.iter().zip(new)));
    let next = || pairs.lock().unwrap_or_else(PoisonError::into_inner).next();
    let works = (0..in_flight(old.len())).map(|_| async move {
        while let Some(((gone, _), (path, value))) = next() {
            client.delete(gone, None).await?;
            client.create(path, value, options).await?;
        }
        anyhow::Ok(())
    });
    try_join_all(works).await?;
    Ok(())
}

fn in_flight(all: usize) -> usize {
    IN_FLIGHT.min(all.div_ceil(OF_ALL))
}

/// How few nodes ZooKeeper had at the least while `work` went on, which deletes and makes `count` of `count` nodes, as a
/// watcher of its own is told it.
pub(crate) async fn lowest<T>(
    client: &Client,
    directory: &str,
    count: usize,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<(T, usize)> {
    let mut watcher = client.watch(directory, AddWatchMode::PersistentRecursive).await?;
    let look = async {
        let (mut there, mut least) = (count, count);
        for _ in 0..2 * count {
            let event = watcher.changed().await;
            match event.event_type {
                EventType::NodeCreated => there += 1,
                EventType::NodeDeleted => there = there.saturating_sub(1),
                other => bail!("a watcher was told {other:?}"),
            }
            least = least.min(there);
        }
        Ok(least)
    };
    tokio::try_join!(work, look)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_instances_are_always_there_while_they_are_replaced() {
        assert_eq!([1, 5, 100, 1_000, 10_000].map(in_flight), [1, 1, 10, 100, 256]);
    }
}
