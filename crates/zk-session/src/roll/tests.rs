//! A roll beside a map that is told the same.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::{SessionId, Stat};

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

#[derive(Clone, Debug)]
enum Step {
    Learn(&'static str, Said),
    Delete(&'static str),
    Call(Vec<&'static str>),
    ForgetMissing,
}

#[derive(Clone, Copy, Debug)]
enum Said {
    Nothing,
    Node(Written),
    Refused(&'static str),
    Unaskable(&'static str),
}

/// A version of a node. Which transactions made and wrote it, and whose it is, may stay the same when its data does not.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Written {
    czxid: i64,
    mzxid: i64,
    owner: Option<SessionId>,
    data: &'static str,
}

impl Written {
    fn node(self) -> Node {
        let Self { czxid, mzxid, owner, data } = self;
        Node { data: data.into(), stat: Stat { czxid, mzxid, version: 0, created_at: 0, owner, children: 0 } }
    }
}

fn written() -> impl Strategy<Value = Written> {
    let owner = prop_oneof![Just(None), Just(Some(SessionId(1)))];
    let data = select(vec!["1", "1", "2", "hidden", "bad"]);
    (1..3_i64, 1..3_i64, owner, data).prop_map(|(czxid, mzxid, owner, data)| Written {
        czxid,
        mzxid,
        owner,
        data,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let said = prop_oneof![
        1 => Just(Said::Nothing),
        6 => written().prop_map(Said::Node),
        // One reason is also what is wrong with a node that can be read.
        2 => select(vec!["bad", "refused"]).prop_map(Said::Refused),
        1 => select(vec!["bad", "refused"]).prop_map(Said::Unaskable),
    ];
    prop_oneof![
        8 => (select(&NAMES[..]), said).prop_map(|(name, said)| Step::Learn(name, said)),
        4 => select(&NAMES[..]).prop_map(Step::Delete),
        2 => subsequence(NAMES.to_vec(), 0..=NAMES.len()).prop_map(Step::Call),
        1 => Just(Step::ForgetMissing),
    ]
}

fn read(_: &str, node: &Node) -> Result<Option<String>, String> {
    match &*node.data {
        b"hidden" => Ok(None),
        b"bad" => Err("bad".to_owned()),
        data => Ok(Some(String::from_utf8_lossy(data).into_owned())),
    }
}

/// What a roll should know.
#[derive(Default)]
struct Model {
    known: BTreeMap<&'static str, Known>,
    refused: BTreeSet<&'static str>,
    /// How many nodes had to be parsed.
    parsed: usize,
}

struct Known {
    says: Result<Option<String>, String>,
    /// `None` where it may not be read.
    version: Option<Written>,
    there: bool,
}

impl Model {
    fn follow(&mut self, step: &Step) {
        match step {
            Step::Learn(name, said) => self.learn(name, *said),
            Step::Delete(name) => self.delete(name),
            Step::Call(listed) => {
                NAMES.iter().filter(|name| !listed.contains(name)).for_each(|name| self.delete(name));
            }
            Step::ForgetMissing => self.known.retain(|_, known| known.there),
        }
    }

    fn learn(&mut self, name: &'static str, said: Said) {
        let now = match said {
            Said::Nothing => return self.delete(name),
            Said::Node(written) => {
                self.refused.remove(name);
                let version = Some(written);
                self.parsed += usize::from(self.known.get(name).is_none_or(|known| known.version != version));
                Known { says: read(name, &written.node()), version, there: true }
            }
            Said::Refused(what) | Said::Unaskable(what) => {
                if matches!(said, Said::Refused(_)) {
                    self.refused.insert(name);
                }
                let says = Err(what.to_owned());
                if self.known.get(name).is_some_and(|known| known.says == says) {
                    return;
                }
                Known { says, version: None, there: true }
            }
        };
        self.known.insert(name, now);
    }

    /// Who could be used may come back.
    fn delete(&mut self, name: &'static str) {
        self.refused.remove(name);
        match self.known.get_mut(name) {
            Some(Known { says: Ok(Some(_)), there, .. }) => *there = false,
            _ => drop(self.known.remove(name)),
        }
    }

    fn there(&self) -> Vec<&str> {
        self.known.iter().filter(|(_, known)| known.there).map(|(name, _)| *name).collect()
    }

    fn good(&self) -> impl Iterator<Item = (&Known, &str)> {
        self.known.values().filter_map(|known| Some((known, known.says.as_ref().ok()?.as_deref()?)))
    }

    fn bad(&self) -> Vec<BadNode> {
        let bad = |(name, known): (&&str, &Known)| {
            let (czxid, mzxid) = known.version.map_or((0, 0), |written| (written.czxid, written.mzxid));
            let reason = known.says.as_ref().err()?.clone();
            Some(BadNode { path: format!("/dir/{name}"), reason, czxid, mzxid })
        };
        self.known.iter().filter_map(bad).collect()
    }
}

proptest! {
    #[test]
    fn a_roll_is_like_a_map(steps in vec(step(), 0..60)) {
        let parsed = Arc::new(AtomicUsize::new(0));
        let count = parsed.clone();
        let counted = move |name: &str, node: &Node| {
            count.fetch_add(1, Ordering::Relaxed);
            read(name, node)
        };
        let (mut roll, mut model) = (Roll::new("/dir".to_owned(), Arc::new(counted)), Model::default());
        for step in steps {
            match &step {
                Step::Learn(name, Said::Nothing) => roll.learn(name, Ok(None)),
                Step::Learn(name, Said::Node(written)) => roll.learn(name, Ok(Some(written.node()))),
                Step::Learn(name, Said::Refused(what)) => {
                    roll.learn(name, Err(Refusal::ByServer((*what).to_owned())));
                }
                Step::Learn(name, Said::Unaskable(what)) => {
                    roll.learn(name, Err(Refusal::Forever((*what).to_owned())));
                }
                Step::Delete(name) => roll.delete(name),
                Step::Call(listed) => roll.call(|name| listed.contains(&name)),
                Step::ForgetMissing => roll.forget_missing(),
            }
            model.follow(&step);

            let there = model.there();
            prop_assert_eq!(roll.len(), there.len());
            prop_assert_eq!(roll.missing(), model.known.len() - there.len());
            prop_assert_eq!(roll.usable(), model.good().filter(|(known, _)| known.there).count());
            prop_assert!(roll.names().eq(there.iter().copied()));
            prop_assert!(roll.refused().iter().map(|name| &**name).eq(model.refused.iter().copied()));
            let (entries, bad) = roll.read_out();
            prop_assert!(entries.iter().map(|entry| entry.as_str()).eq(model.good().map(|(_, says)| says)));
            prop_assert!(bad.iter().map(|bad| &**bad).eq(&model.bad()), "{bad:?}");
            prop_assert_eq!(parsed.load(Ordering::Relaxed), model.parsed, "the same version is parsed once");
        }
    }
}

#[test]
fn one_more_that_cannot_be_used_costs_no_more_among_thousands() {
    let read: Read<String> = Arc::new(|_, _| Err("it cannot".to_owned()));
    let mut roll = Roll::new("/d".to_owned(), read);
    let written = |mzxid| Written { czxid: 1, mzxid, owner: None, data: "bad" };
    let name = |number: usize| format!("n{number:05}");
    (0..5_000).for_each(|number| roll.learn(&name(number), Ok(Some(written(1).node()))));
    let (_, before) = roll.read_out();
    assert_eq!(before.len(), 5_000);
    roll.learn(&name(2_500), Ok(Some(written(2).node())));
    let (_, after) = roll.read_out();
    assert!(after.not_shared_with(&before).count() <= 128);
    assert_eq!((after.len(), after[2_500].mzxid, after[2_499].mzxid), (5_000, 2, 1));
    assert!(roll.read_out().1.is_same(&after), "nothing happened");
}
