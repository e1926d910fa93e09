//! The bare client reads a directory.

use anyhow::anyhow;
use futures::future::try_join_all;
use zookeeper_client::{Client, MultiReadResult};

/// Lists a directory and reads all that is in it, so many in a request: names and values. What goes meanwhile is left out.
pub(crate) async fn read_all(
    client: &Client,
    directory: &str,
    batch: usize,
) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let names = client.list_children(directory).await?;
    let mut reads = Vec::new();
    for names in names.chunks(batch) {
        let mut reader = client.new_multi_reader();
        for name in names {
            reader.add_get_data(&format!("{directory}/{name}"))?;
        }
        reads.push(reader.commit());
    }
    let answers = try_join_all(reads).await?;
    let read =
        names.into_iter().zip(answers.into_iter().flatten()).filter_map(|(name, answer)| match answer {
            MultiReadResult::Data { data, .. } => Some((name, data)),
            _ => None,
        });
    Ok(read.collect())
}

/// The same where it is known how many there are.
///
/// # Errors
///
/// There are more or fewer.
pub(crate) async fn read_so_many(
    client: &Client,
    directory: &str,
    batch: usize,
    wanted: usize,
) -> anyhow::Result<()> {
    match read_all(client, directory, batch).await?.len() {
        found if found == wanted => Ok(()),
        found => Err(anyhow!("the bare client read {found} nodes instead of {wanted}")),
    }
}
