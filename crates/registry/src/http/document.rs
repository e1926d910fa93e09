//! A service as a gateway tells it.

use std::collections::HashMap;
use std::sync::Arc;

use list::Block;
use proto::{Instance, InstanceId, NodeData, ServiceName};
use serde::Deserialize;
use serde_json::value::RawValue;
use zk_session::{BadNode, Entries};

use super::problem::shortened;
use crate::Instances;

/// How many entries are put into a block.
const PER_BLOCK: usize = 128;

/// A service as a gateway told it.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) entries: Instances,
    pub(super) bad: Entries<BadNode>,
    pub(super) trust: Trust,
}

/// How far the gateway trusts its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    Live,
    /// It is not known to be the truth, since a time in Unix milliseconds if that was told.
    Stale(Option<u64>),
}

/// Reads what a gateway tells of a service. What is in the list already is taken from there.
///
/// One instance that cannot be used is told of, and the others are served.
pub(super) fn read(json: &[u8], service: &ServiceName, before: Option<&Instances>) -> Result<Told, String> {
    let document: Document<'_> = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    if document.service != service.as_str() {
        return Err(format!("it is of the service {:?}, asked for was {service:?}", document.service));
    }
    let mut bad: Vec<_> = document.unusable.into_iter().map(|it| unusable(it.path, &it.reason)).collect();
    let mut entries = Vec::with_capacity(document.instances.len());
    for (place, json) in document.instances.into_iter().enumerate() {
        match instance(json.get()) {
            Ok(instance) => entries.push(instance),
            Err(reason) => bad.push(unusable(format!("{service}/instances[{place}]"), &reason)),
        }
    }
    // As it should be; whoever looks for one relies on it.
    entries.sort_by(|a: &Instance, b| a.id.cmp(&b.id));
    entries.dedup_by(|again, first| {
        let twice = again.id == first.id;
        if twice {
            bad.push(unusable(format!("{service}/{}", again.id), "it is there twice"));
        }
        twice
    });
    bad.sort_by(|a, b| a.path.cmp(&b.path));
    let trust = match document.source {
        Source::Live => Trust::Live,
        Source::Other => Trust::Stale(document.stale_since),
    };
    Ok(Told { entries: shared(entries, before), bad: bad.into_iter().map(Arc::new).collect(), trust })
}

#[derive(Deserialize)]
struct Document<'a> {
    service: String,
    source: Source,
    stale_since: Option<u64>,
    #[serde(borrow)]
    instances: Vec<&'a RawValue>,
    #[serde(default)]
    unusable: Vec<Unusable>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Source {
    Live,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Unusable {
    path: String,
    reason: String,
}

fn unusable(path: String, reason: &str) -> BadNode {
    // A gateway does not tell of transactions.
    BadNode { path, reason: shortened(reason).as_ref().to_owned(), czxid: 0, mzxid: 0 }
}

fn instance(json: &str) -> Result<Instance, String> {
    #[derive(Deserialize)]
    struct Named {
        id: String,
    }

    let Named { id } = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let id = InstanceId::parse(&id).map_err(|error| error.to_string())?;
    let data = NodeData::from_json(json).map_err(|error| format!("{id}: {error}"))?;
    Ok(Instance { id, data })
}

/// The list of these instances, which are in the order of their ids, with whatever it can share with the one before.
fn shared(entries: Vec<Instance>, before: Option<&Instances>) -> Instances {
    let Some(before) = before else { return entries.into_iter().map(Arc::new).collect() };
    let mut known = before.iter().peekable();
    let entry = |instance: Instance| {
        while known.next_if(|known| known.id < instance.id).is_some() {}
        match known.peek() {
            Some(known) if ***known == instance => (*known).clone(),
            _ => Arc::new(instance),
        }
    };
    let entries: Vec<_> = entries.into_iter().map(entry).collect();
    let list = in_known_blocks(&entries, before);
    // Blocks that lost most of their entries are worth less than they cost.
    if list.blocks().len() > 2 * entries.len().div_ceil(PER_BLOCK) { entries.into() } else { list }
}

fn in_known_blocks(entries: &[Arc<Instance>], before: &Instances) -> Instances {
    let first = |block: &&Block<Instance>| block.first().map(Arc::as_ptr);
    let known: HashMap<_, _> = before.blocks().map(|block| (first(&block), block)).collect();
    let (mut blocks, mut open, mut rest) = (Vec::<Block<Instance>>::new(), 0, entries);
    let close = |blocks: &mut Vec<Block<Instance>>, open: &[Arc<Instance>]| {
        blocks.extend(open.chunks(PER_BLOCK).map(Block::from));
    };
    let mut at = 0;
    while let Some(entry) = rest.first() {
        let same = |block: &&&Block<Instance>| {
            rest.get(..block.len())
                .is_some_and(|run| run.iter().map(Arc::as_ptr).eq(block.iter().map(Arc::as_ptr)))
        };
        let step = match known.get(&Some(Arc::as_ptr(entry))).filter(same) {
            Some(block) => {
                close(&mut blocks, &entries[open..at]);
                blocks.push((*block).clone());
                open = at + block.len();
                block.len()
            }
            None => 1,
        };
        at += step;
        rest = &rest[step..];
    }
    close(&mut blocks, &entries[open..]);
    Instances::from_blocks(blocks)
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    use super::*;

    fn json(instances: impl IntoIterator<Item = (u16, u32)>) -> String {
        let instance = |(port, weight)| {
            format!(r#"{{"id":"h-{port:05}","server_ip":"h","server_port":{port},"weight":{weight}}}"#)
        };
        let instances: Vec<_> = instances.into_iter().map(instance).collect();
        format!(r#"{{"service":"time","source":"live","instances":[{}]}}"#, instances.join(","))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_list_says_what_was_told_and_shares_what_did_not_change(
            states in prop::collection::vec(btree_map(1..600_u16, 0..2_u32, 0..600), 2..6),
        ) {
            let service = ServiceName::parse("time").unwrap();
            let mut before: Option<Instances> = None;
            for state in states {
                let told = read(json(state.clone()).as_bytes(), &service, before.as_ref()).unwrap();
                let said = told.entries.iter().map(|it| (it.data.address.as_ref().unwrap().port(), it.data.weight));
                prop_assert!(said.eq(state));
                prop_assert!(told.bad.is_empty());
                for entry in &told.entries {
                    let same = before.iter().flat_map(|list| list.iter()).find(|other| *other == entry);
                    prop_assert!(same.is_none_or(|same| Arc::ptr_eq(same, entry)));
                }
                prop_assert!(told.entries.blocks().len() <= 2 * told.entries.len().div_ceil(PER_BLOCK));
                before = Some(told.entries);
            }
        }
    }

    #[test]
    fn a_list_that_is_told_again_is_the_same_and_one_change_costs_one_block() {
        let service = ServiceName::parse("time").unwrap();
        let all = |changed: u16| (1..=10_000).map(move |port| (port, u32::from(port == changed)));
        let first = read(json(all(0)).as_bytes(), &service, None).unwrap().entries;
        let again = read(json(all(0)).as_bytes(), &service, Some(&first)).unwrap().entries;
        assert!(first.is_same(&again) && first.not_shared_with(&again).next().is_none());
        let changed = read(json(all(5_000)).as_bytes(), &service, Some(&first)).unwrap().entries;
        assert!(changed.not_shared_with(&first).count() <= PER_BLOCK);
        assert_eq!(crate::changes_between(&first, &changed).len(), 1);
    }

    #[test]
    fn blocks_of_which_little_is_left_are_put_together() {
        let service = ServiceName::parse("time").unwrap();
        let block = |port: &u16| usize::from(port - 1) / PER_BLOCK;
        let is_first = |port: &u16| usize::from(port - 1).is_multiple_of(PER_BLOCK);
        let all: Vec<u16> = (1..=1_280).collect();
        let fewer = all.iter().copied().filter(|port| block(port) % 2 == 0 || is_first(port));
        let few = all.iter().copied().filter(|port| block(port) % 2 == 1 && is_first(port));
        let mut list: Option<Instances> = None;
        for state in [all.clone(), fewer.collect(), few.collect()] {
            let told = json(state.into_iter().map(|port| (port, 1)));
            list = Some(read(told.as_bytes(), &service, list.as_ref()).unwrap().entries);
        }
        let list = list.unwrap();
        assert_eq!((list.len(), list.blocks().len()), (5, 1));
    }
}
