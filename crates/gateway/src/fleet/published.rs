//! One state of a service, written down once for everybody who reads it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use bytes::Bytes;
use leader::Master;
use loadbalance::Name;
use proto::{Instance, InstanceId, ServiceName};
use registry::View;
use zk_session::Source;

use super::followed::place;
use super::revision::Revision;
use crate::api::documents::{InstanceDocument, PickDocument, ServiceDocument, write};
use crate::wall;

/// A longer answer to a pick is written each time: to keep it would take more memory than time is worth.
const KEPT: usize = 4096;

/// So many bytes of answers are kept of one state, those of some 3,000 instances: who picks does not decide how much memory is taken.
const KEPT_IN_ALL: usize = 1 << 20;

/// One state of a service: its instances and its master, and how far both can be trusted.
#[derive(Debug)]
pub struct Published {
    /// Which service.
    pub service: ServiceName,
    /// Which of its states.
    pub revision: Revision,
    /// Its instances.
    pub view: View,
    /// Who leads.
    pub leading: Leading,
    /// Whether whoever leads takes no requests that others may answer.
    pub roles: bool,
    /// Since when the list is not known to be the truth, in Unix milliseconds.
    pub stale_since: Option<u64>,
    /// The state as an event of a stream, and where the document is in it.
    event: OnceLock<(Bytes, std::ops::Range<usize>)>,
    /// What is answered to a pick, by algorithm and by who was picked.
    picked: [RwLock<HashMap<InstanceId, Answer>>; Name::ALL.len()],
    /// How many bytes those have, in all.
    kept: AtomicUsize,
}

/// What is answered to a pick of this instance.
#[derive(Debug)]
struct Answer {
    instance: Arc<Instance>,
    document: Bytes,
}

/// Who leads a service, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leading {
    /// Nobody can: the layout knows no elections.
    Never,
    /// ZooKeeper has not told yet.
    Unknown,
    /// Somebody or nobody.
    Known {
        /// Who; `None` when nobody stands for election.
        master: Option<Arc<Master>>,
        /// Whether that is what ZooKeeper says, or the last that was known.
        source: Source,
    },
}

impl Leading {
    /// Who leads, if anybody is known to.
    pub fn master(&self) -> Option<&Arc<Master>> {
        match self {
            Self::Known { master, .. } => master.as_ref(),
            Self::Never | Self::Unknown => None,
        }
    }
}

impl Published {
    pub(super) fn new(
        service: ServiceName,
        revision: Revision,
        view: View,
        leading: Leading,
        roles: bool,
    ) -> Self {
        let stale_since = match view.source {
            Source::Live => None,
            Source::Stale { since } => Some(wall::at(since)),
        };
        let (event, picked, kept) = (OnceLock::new(), Default::default(), AtomicUsize::new(0));
        Self { service, revision, view, leading, roles, stale_since, event, picked, kept }
    }

    /// Whether it says the same as what would be published now.
    pub(super) fn says(&self, view: &View, leading: &Leading) -> bool {
        self.view.source == view.source
            && self.view.entries.is_same(&view.entries)
            && self.view.bad == view.bad
            && self.leading == *leading
    }

    /// The state as JSON. All who ask get the same bytes.
    pub(crate) fn document(&self) -> Bytes {
        let (event, document) = self.written();
        event.slice(document.clone())
    }

    /// The state as a server-sent event. All streams send the same bytes.
    pub(crate) fn event(&self) -> Bytes {
        self.written().0.clone()
    }

    /// What is answered to a pick of this instance, as JSON, written once unless it is long or many were written before.
    ///
    /// The next state begins with none. That balancers come to
    /// it a moment sooner or later than this does is why an instance is compared, and not its name alone.
    pub(crate) fn picked(&self, algorithm: Name, instance: &Arc<Instance>) -> Bytes {
        let answers = &self.picked[place(algorithm)];
        let known = answers.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = known.get(&instance.id).filter(|known| Arc::ptr_eq(&known.instance, instance)) {
            return answer.document.clone();
        }
        drop(known);
        let mut document = Vec::new();
        write(&PickDocument::new(self, algorithm, InstanceDocument::of(instance)), &mut document);
        let document = Bytes::from(document);
        let size = document.len();
        if size > KEPT || self.kept.fetch_add(size, Ordering::Relaxed) + size > KEPT_IN_ALL {
            return document;
        }
        let answer = Answer { instance: instance.clone(), document: document.clone() };
        answers.write().unwrap_or_else(PoisonError::into_inner).insert(instance.id.clone(), answer);
        document
    }

    fn written(&self) -> &(Bytes, std::ops::Range<usize>) {
        self.event.get_or_init(|| {
            let mut event = format!("id: {}\ndata: ", self.revision).into_bytes();
            let start = event.len();
            // On one line: JSON escapes what would end one.
            write(&ServiceDocument::of(self), &mut event);
            let document = start..event.len();
            event.extend_from_slice(b"\n\n");
            (event.into(), document)
        })
    }
}

#[cfg(test)]
mod tests {
    use proto::NodeData;
    use registry::List;

    use super::super::revision::Revisions;
    use super::*;

    fn published(entries: impl Into<List<Instance>>) -> Published {
        let view = View { entries: entries.into(), source: Source::Live, bad: List::from([]) };
        let (service, revision) = (ServiceName::parse("time").unwrap(), Revisions::default().next());
        Published::new(service, revision, view, Leading::Never, false)
    }

    #[test]
    fn answers_to_picks_take_no_more_memory_than_they_may() {
        let instance = |number: u16| {
            let data = NodeData::at(proto::Address::new("10.0.0.1", number + 1).unwrap());
            Arc::new(Instance { id: InstanceId::parse(&number.to_string()).unwrap(), data })
        };
        let all: Vec<_> = (0..4000).map(instance).collect();
        let now = published(all.clone().into_iter().collect::<List<_>>());
        let (mut kept, mut picked) = (0, 0);
        for algorithm in [Name::Random, Name::RoundRobin] {
            for instance in &all {
                let answer = now.picked(algorithm, instance);
                picked += answer.len();
                if now.picked(algorithm, instance).as_ptr() == answer.as_ptr() {
                    kept += answer.len();
                }
            }
        }
        assert!(kept > KEPT_IN_ALL / 2 && kept <= KEPT_IN_ALL && picked > KEPT_IN_ALL, "{kept} of {picked}");
    }

    #[test]
    fn what_is_answered_to_a_pick_is_written_once_and_is_of_just_that_instance() {
        let id = InstanceId::parse("a").unwrap();
        let instance = |port| {
            let address = proto::Address::new("10.0.0.1", port).unwrap();
            Arc::new(Instance { id: id.clone(), data: NodeData::at(address) })
        };
        let [before, after] = [1, 2].map(instance);
        let now = published([before.clone()]);

        let answer = now.picked(Name::Random, &before);
        assert_eq!(now.picked(Name::Random, &before).as_ptr(), answer.as_ptr(), "nothing is written again");
        // As a balancer has it that knows of a change before this state is over.
        let changed = now.picked(Name::Random, &after);
        let port = |answer: &Bytes| {
            serde_json::from_slice::<serde_json::Value>(answer).unwrap()["picked"]["server_port"].clone()
        };
        assert_eq!((port(&answer), port(&changed)), (1.into(), 2.into()));
        assert_eq!(port(&now.picked(Name::Random, &before)), 1);
        assert_ne!(now.picked(Name::RoundRobin, &before), now.picked(Name::Random, &before));
    }
}
