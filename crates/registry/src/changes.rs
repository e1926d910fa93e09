//! What changed between two lists.

use std::cmp::Ordering;
use std::sync::Arc;

use proto::Instance;
use tokio::sync::watch;

use crate::Instances;

/// What happened to one instance between two lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstanceChange {
    /// It came.
    Added(Arc<Instance>),
    /// It went.
    Removed(Arc<Instance>),
    /// It says something else about itself.
    Updated {
        /// What it said.
        before: Arc<Instance>,
        /// What it says now.
        after: Arc<Instance>,
    },
}

impl InstanceChange {
    /// The instance as it is now, or was last.
    pub fn instance(&self) -> &Arc<Instance> {
        match self {
            Self::Added(instance) | Self::Removed(instance) | Self::Updated { after: instance, .. } => {
                instance
            }
        }
    }
}

/// What changed from one list to another, in the order of the ids. Both are ordered by id, as discovery publishes them.
/// What the two lists share is not looked at.
///
/// An instance that was registered anew and says the same has not changed.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use proto::flat::instance;
/// use registry::{InstanceChange, changes_between};
///
/// let (a, b) = (Arc::new(instance("host:1")?), Arc::new(instance("host:2")?));
/// let changes = changes_between(&[a.clone()].into(), &[b.clone()].into());
/// assert_eq!(changes, [InstanceChange::Removed(a), InstanceChange::Added(b)]);
/// # Ok::<(), proto::flat::FlatError>(())
/// ```
pub fn changes_between(before: &Instances, after: &Instances) -> Vec<InstanceChange> {
    let (was, is) = (before.not_shared_with(after), after.not_shared_with(before));
    let (mut before, mut after) = (was.peekable(), is.peekable());
    let mut changes = Vec::new();
    loop {
        let order = match (before.peek(), after.peek()) {
            (None, None) => return changes,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(was), Some(is)) => was.id.cmp(&is.id),
        };
        let was = before.next_if(|_| order.is_le());
        let is = after.next_if(|_| order.is_ge());
        match (was, is) {
            (Some(was), None) => changes.push(InstanceChange::Removed(was.clone())),
            (None, Some(is)) => changes.push(InstanceChange::Added(is.clone())),
            (Some(was), Some(is)) if !Arc::ptr_eq(was, is) && was != is => {
                changes.push(InstanceChange::Updated { before: was.clone(), after: is.clone() });
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
}

/// Tells of changes, derived from one whole list and the next: whoever is slow misses intermediate states, but never
/// ends with a wrong picture.
///
/// It is no `Stream`, and becomes one by `unfold` of the crate `futures`. Whole lists are a stream by `WatchStream` of `tokio-stream`, over
/// [`Discovery::instances`](crate::Discovery::instances):
///
/// ```
/// use futures::{StreamExt, stream};
/// use registry::{InstanceChange, Instances, Native, NodeData, Registry, ServiceName};
/// use tokio_stream::wrappers::WatchStream;
/// use zk_session::{Keeper, fake::FakeZk};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let zk = FakeZk::default(); // or zk_session::ZooKeeper
/// let keeper = Keeper::start(zk.client());
/// let registry = Registry::new(keeper.sessions(), Native::default());
/// let time = ServiceName::parse("time")?;
/// let here = registry.announce(&time, NodeData::at("10.0.0.7:80".parse()?))?;
/// let discovery = registry.follow(&time);
///
/// let changes = stream::unfold(discovery.changes(), async |mut changes| {
///     let change = changes.next().await?; // ends with the discovery
///     Some((change, changes))
/// });
/// let mut changes = std::pin::pin!(changes);
/// assert!(matches!(&changes.next().await.unwrap()[..], [InstanceChange::Added(_)]));
///
/// // The latest list, and each later one; None before the first.
/// let lists = WatchStream::new(discovery.instances()).filter_map(async |list| list);
/// let mut lists = std::pin::pin!(lists);
/// let list: Instances = lists.next().await.unwrap();
/// assert_eq!(list[0].id, *here.id());
///
/// drop(discovery);
/// assert!(changes.next().await.is_none() && lists.next().await.is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Changes {
    lists: watch::Receiver<Option<Instances>>,
    told: Instances,
}

impl Changes {
    /// Of a receiver that has seen nothing yet: the list that is here now has not been told.
    pub(crate) fn of(lists: watch::Receiver<Option<Instances>>) -> Self {
        Self { lists, told: Instances::default() }
    }

    /// Waits until something changes, and tells all that did. The first time, everything that is there was added.
    ///
    /// `None` when the discovery was dropped or the keeper closed, after the last change.
    ///
    /// # Cancel safety
    ///
    /// No change is lost when this is dropped before it is ready.
    pub async fn next(&mut self) -> Option<Vec<InstanceChange>> {
        loop {
            self.lists.changed().await.ok()?;
            let Some(now) = self.lists.borrow_and_update().clone() else { continue };
            let changes = changes_between(&self.told, &now);
            self.told = now;
            if !changes.is_empty() {
                return Some(changes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use list::Block;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proto::InstanceId;

    use super::*;

    fn list(text: &str) -> Instances {
        let instance = |word: &str| {
            let (id, weight) = word.split_at(1);
            let mut instance = proto::flat::instance(&format!("{id}:1")).unwrap();
            instance.data.weight = weight.parse().unwrap();
            Arc::new(instance)
        };
        text.split_whitespace().map(instance).collect()
    }

    fn instance(id: u32, weight: u32) -> Arc<Instance> {
        let mut instance = proto::flat::instance(&format!("host-{id:03}:1")).unwrap();
        instance.data.weight = weight;
        Arc::new(instance)
    }

    /// Instances in blocks that are cut and joined as they come and go: the next list has all blocks in which nothing happened.
    #[derive(Default)]
    struct Blocks(Vec<Block<Instance>>);

    impl Blocks {
        const MOST: usize = 4;

        /// Puts an instance in its place, or takes the one of this id away.
        fn change(&mut self, id: &InstanceId, now: Option<Arc<Instance>>) {
            let is_before = |block: &Block<Instance>| block.last().is_some_and(|last| last.id < *id);
            let at = self.0.partition_point(is_before).min(self.0.len().saturating_sub(1));
            let mut entries = self.0.get(at).map(|block| block.to_vec()).unwrap_or_default();
            match (entries.binary_search_by(|entry| entry.id.cmp(id)), now) {
                (Ok(at), Some(now)) => entries[at] = now,
                (Ok(at), None) => drop(entries.remove(at)),
                (Err(at), Some(now)) => entries.insert(at, now),
                (Err(_), None) => return,
            }
            let mut end = (at + 1).min(self.0.len());
            if let Some(next) = self.0.get(at + 1).filter(|next| entries.len() + next.len() <= Self::MOST / 2)
            {
                entries.extend(next.iter().cloned());
                end += 1;
            }
            let cut = entries.chunks(if entries.len() > Self::MOST { Self::MOST / 2 } else { Self::MOST });
            self.0.splice(at..end, cut.map(Block::from));
        }

        fn list(&self) -> Instances {
            Instances::from_blocks(self.0.iter().cloned())
        }
    }

    /// What changed from one map to another.
    fn plainly(before: &Instances, after: &Instances) -> Vec<InstanceChange> {
        let by_id =
            |list: &Instances| list.iter().map(|it| (it.id.clone(), it.clone())).collect::<BTreeMap<_, _>>();
        let (before, after) = (by_id(before), by_id(after));
        let ids: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        let change = |id| match (before.get(id), after.get(id)) {
            (Some(was), None) => Some(InstanceChange::Removed(was.clone())),
            (None, Some(is)) => Some(InstanceChange::Added(is.clone())),
            (Some(was), Some(is)) if was != is => {
                Some(InstanceChange::Updated { before: was.clone(), after: is.clone() })
            }
            _ => None,
        };
        ids.into_iter().filter_map(change).collect()
    }

    proptest! {
        #[test]
        fn changes_between_lists_that_share_are_those_between_maps(
            steps in vec((0..40_u32, 0..4_u32), 0..120),
            look in 1..20_usize,
        ) {
            let mut blocks = Blocks::default();
            let mut map = BTreeMap::new();
            let mut lists = vec![Instances::default()];
            for steps in steps.chunks(look) {
                for &(id, weight) in steps {
                    // Registered anew, it may say the same.
                    let now = (weight > 0).then(|| instance(id, weight));
                    blocks.change(&instance(id, 0).id, now.clone());
                    match now {
                        Some(now) => drop(map.insert(id, now)),
                        None => drop(map.remove(&id)),
                    }
                }
                lists.push(blocks.list());
                prop_assert!(blocks.list().iter().eq(map.values()));
            }
            for (at, after) in lists.iter().enumerate() {
                // From the one before, and from one that is far behind, in both directions.
                for before in [&lists[at.saturating_sub(1)], &lists[at / 2]] {
                    prop_assert_eq!(changes_between(before, after), plainly(before, after));
                    prop_assert_eq!(changes_between(after, before), plainly(after, before));
                }
            }
        }
    }

    #[test]
    fn changes_lead_from_one_list_to_the_other() {
        for (before, after, expected) in [
            ("", "", ""),
            ("", "a1 b1", "+a1 +b1"),
            ("a1 b1", "", "-a1 -b1"),
            ("a1 b1", "a1 b1", ""),
            ("a1 b1", "a1 b2", "b1>2"),
            ("a1 c1", "b1 c1", "-a1 +b1"),
            ("b1", "a1 b1 c1", "+a1 +c1"),
            ("a1 b1 c1", "b1", "-a1 -c1"),
            ("a1 b1 d1", "b2 c1 e1", "-a1 b1>2 +c1 -d1 +e1"),
        ] {
            let name =
                |instance: &Instance| format!("{}{}", &instance.id.as_str()[..1], instance.data.weight);
            let said: Vec<_> = changes_between(&list(before), &list(after))
                .iter()
                .map(|change| match change {
                    InstanceChange::Added(new) => format!("+{}", name(new)),
                    InstanceChange::Removed(old) => format!("-{}", name(old)),
                    InstanceChange::Updated { before, after } => {
                        format!("{}>{}", name(before), after.data.weight)
                    }
                })
                .collect();
            assert_eq!(said.join(" "), expected, "from {before:?} to {after:?}");
        }
    }
}
