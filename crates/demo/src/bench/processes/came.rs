//! When instances that come one after the other are shown by the last of many lists.

use futures::future::try_join_all;

/// What many lists tell of the same instances, put together: when the last of them showed each.
///
/// # Errors
///
/// A list ends.
pub(super) async fn last_of_all(
    lists: impl IntoIterator<Item = impl Future<Output = anyhow::Result<Vec<u64>>> + Send + 'static>,
) -> anyhow::Result<Vec<u64>> {
    // A task each: one that waits for all lists would look at all of them whenever one changes.
    let lists: Vec<_> = lists.into_iter().map(tokio::spawn).collect();
    let mut last = Vec::new();
    for list in try_join_all(lists).await? {
        let list = list?;
        last.resize(list.len(), 0);
        last.iter_mut().zip(list).for_each(|(last, came)| *last = came.max(*last));
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_each_instance_the_list_counts_that_is_the_last() {
        let list = |came: &[u64]| std::future::ready(Ok(came.to_vec()));
        assert_eq!(last_of_all([list(&[1, 7]), list(&[3, 5])]).await.unwrap(), [3, 7]);
        assert!(last_of_all([list(&[]), list(&[])]).await.unwrap().is_empty());
        let ends = std::future::ready(Err(anyhow::anyhow!("it ended")));
        assert!(last_of_all([list(&[1]), ends]).await.is_err());
    }
}
