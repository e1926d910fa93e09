//! Takes instances out for a while that fail again and again.
//!
//! Passive: only what became of requests counts. Who is out stays in the list that balancers pick from and is passed over, so
//! that nobody else's keys move; once its time is over one request is let through, and decides.

mod attempt;
mod patient;
mod ward;

use std::collections::HashSet;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use loadbalance::{Instance, Instances};
use proto::{InstanceId, ServiceName};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

pub(super) use self::attempt::Attempt;
use self::patient::{Admission, Change};
use self::ward::Ward;
use super::rules::Settings;

/// Who of a service is out.
#[derive(Debug)]
pub(super) struct Ejection {
    service: ServiceName,
    /// Whether anybody failed lately. While nobody did, nothing else is looked at.
    troubled: AtomicBool,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    settings: Settings,
    ward: Ward,
    lists: watch::Receiver<Option<Instances>>,
    /// Whether the last list was seen, and no other one will come.
    over: bool,
    /// Those of the list that was looked at last that requests can go to. Lists are in no order that could be searched.
    listed: HashSet<InstanceId>,
    avoided: Arc<HashSet<InstanceId>>,
    /// When others are to be avoided, if nothing happens before.
    due: Option<Instant>,
    /// How often it was put together who is avoided.
    #[cfg(test)]
    rebuilt: u32,
}

static NOBODY: LazyLock<Arc<HashSet<InstanceId>>> = LazyLock::new(Arc::default);

impl Ejection {
    pub(super) fn new(
        service: ServiceName,
        mut lists: watch::Receiver<Option<Instances>>,
        settings: Settings,
    ) -> Self {
        // Nobody has looked at this one, either.
        lists.mark_changed();
        let known = Known {
            settings,
            ward: Ward::default(),
            lists,
            over: false,
            listed: HashSet::new(),
            avoided: NOBODY.clone(),
            due: None,
            #[cfg(test)]
            rebuilt: 0,
        };
        Self { service, troubled: AtomicBool::new(false), known: Mutex::new(known) }
    }

    /// Goes by other settings from now on; who is out stays out as long as it was told to.
    pub(super) fn set(&self, settings: Settings) {
        self.lock().settings = settings;
    }

    /// Who is not to be picked now.
    pub(super) fn avoided(&self) -> Arc<HashSet<InstanceId>> {
        if !self.troubled.load(Relaxed) {
            return NOBODY.clone();
        }
        let now = Instant::now();
        let mut known = self.lock();
        if known.catch_up() || known.due.is_some_and(|due| due <= now) {
            self.refresh(&mut known, now);
        }
        known.avoided.clone()
    }

    /// A request is about to go to this instance; `None` when it has to go elsewhere.
    pub(super) fn admit(self: &Arc<Self>, id: &InstanceId) -> Option<Attempt> {
        let admission = if self.troubled.load(Relaxed) {
            let now = Instant::now();
            let mut known = self.lock();
            let admission = known.ward.admit(id, now);
            if admission == Admission::Probe {
                self.refresh(&mut known, now);
            }
            admission
        } else {
            Admission::Ordinary
        };
        let is_probe = match admission {
            Admission::Refused => return None,
            Admission::Probe => true,
            Admission::Ordinary => false,
        };
        Some(Attempt { ejection: self.clone(), id: id.clone(), is_probe })
    }

    /// Those who are out, for people.
    pub(super) fn out(&self) -> usize {
        if self.troubled.load(Relaxed) { self.lock().ward.out() } else { 0 }
    }

    fn succeeded(&self, id: &InstanceId, is_probe: bool) {
        if !self.troubled.load(Relaxed) {
            return;
        }
        let now = Instant::now();
        let mut known = self.lock();
        let change = known.ward.succeeded(id, is_probe, now);
        if change == Change::Returned {
            info!(service = %self.service, instance = %id, "instance is back");
        }
        let is_other_list = known.catch_up();
        self.settle(&mut known, is_other_list, change, now);
    }

    fn failed(&self, id: &InstanceId, is_probe: bool) {
        let now = Instant::now();
        let mut known = self.lock();
        let is_other_list = known.catch_up();
        let mut change = Change::Nothing;
        // Who left the list gets no requests anyway, and takes nobody's place among those who are out.
        if known.has(id) {
            let Known { ward, settings, listed, .. } = &mut *known;
            change = ward.failed(id, is_probe, now, listed.len(), settings);
        }
        if let Change::Ejected(time) = change {
            warn!(service = %self.service, instance = %id, ?time, "instance gets no requests for a while: it failed too often");
        }
        self.settle(&mut known, is_other_list, change, now);
    }

    fn undecided(&self, id: &InstanceId) {
        let now = Instant::now();
        let mut known = self.lock();
        known.ward.undecided(id, now);
        self.refresh(&mut known, now);
    }

    /// Puts together anew who is avoided if that can be others now: most answers change nothing, and each is told here while anybody is out.
    fn settle(&self, known: &mut Known, is_other_list: bool, change: Change, now: Instant) {
        if is_other_list || change != Change::Nothing {
            return self.refresh(known, now);
        }
        self.troubled.store(!known.ward.is_empty(), Relaxed);
    }

    fn refresh(&self, known: &mut Known, now: Instant) {
        let (avoided, due) = known.ward.avoided(now);
        if *known.avoided != avoided {
            known.avoided = Arc::new(avoided);
        }
        known.due = due;
        #[cfg(test)]
        {
            known.rebuilt += 1;
        }
        self.troubled.store(!known.ward.is_empty(), Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Looks at the latest list. Says whether it is another one.
    fn catch_up(&mut self) -> bool {
        // Of a sender that is gone only its last list can be new.
        let is_over = self.lists.has_changed().is_err();
        if !self.lists.has_changed().unwrap_or(!self.over) {
            return false;
        }
        self.over = is_over;
        let Self { ward, lists, listed, settings, .. } = self;
        let list = lists.borrow_and_update();
        *listed = reachable(list.as_ref()).map(|instance| instance.id.clone()).collect();
        if !ward.is_empty() {
            ward.listed(listed.len(), |id| listed.contains(id), settings);
        }
        true
    }

    /// Whether requests can go to this instance by the list that was looked at last. Who failed before is in it: others are forgotten.
    fn has(&self, id: &InstanceId) -> bool {
        self.ward.knows(id) || self.listed.contains(id)
    }
}

/// Those of a list that requests can go to. Of others nobody knows whether they are well: they do not make up for who is out.
fn reachable(list: Option<&Instances>) -> impl Iterator<Item = &Arc<Instance>> {
    let all = list.into_iter().flat_map(|list| list.iter());
    all.filter(|instance| instance.data.weight > 0 && instance.data.address.is_some())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use loadbalance::NodeData;
    use tokio::time::advance;

    use super::*;

    fn list(ids: &[&str]) -> Option<Instances> {
        let at = |id: &str| match id.strip_prefix("behind-a-broker-") {
            None => NodeData::at("127.0.0.1:80".parse().unwrap()),
            Some(_) => NodeData::behind_broker("x"),
        };
        let instance = |id: &&str| Arc::new(Instance { id: id.parse().unwrap(), data: at(id) });
        Some(ids.iter().map(instance).collect())
    }

    fn of(ids: &[&str]) -> (watch::Sender<Option<Instances>>, Arc<Ejection>) {
        let (lists, receiver) = watch::channel(list(ids));
        let settings = Settings { failures: 2, ..Settings::default() };
        (lists, Arc::new(Ejection::new("s".parse().unwrap(), receiver, settings)))
    }

    fn fail(ejection: &Arc<Ejection>, name: &str) {
        ejection.admit(&id(name)).unwrap().failed();
    }

    fn id(name: &str) -> InstanceId {
        name.parse().unwrap()
    }

    fn avoided(ejection: &Arc<Ejection>) -> Vec<String> {
        let mut avoided: Vec<_> = ejection.avoided().iter().map(ToString::to_string).collect();
        avoided.sort();
        avoided
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_out_is_avoided_until_one_request_went_well() {
        let (_lists, ejection) = of(&["a", "b", "c", "d"]);
        fail(&ejection, "a");
        assert!(avoided(&ejection).is_empty());
        fail(&ejection, "a");
        assert_eq!(avoided(&ejection), ["a"]);
        assert!(ejection.admit(&id("a")).is_none());

        advance(Duration::from_secs(1)).await;
        assert!(avoided(&ejection).is_empty());
        let mut probe = ejection.admit(&id("a")).unwrap();
        assert_eq!(avoided(&ejection), ["a"]);
        assert!(ejection.admit(&id("a")).is_none());
        probe.answered();
        assert!(avoided(&ejection).is_empty());
        // It began as a probe and is none any more: its end puts nobody out.
        probe.failed();
        assert!(avoided(&ejection).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_dropped_is_made_again() {
        let (_lists, ejection) = of(&["a", "b"]);
        fail(&ejection, "a");
        fail(&ejection, "a");
        advance(Duration::from_secs(1)).await;
        drop(ejection.admit(&id("a")).unwrap());
        assert!(avoided(&ejection).is_empty());
        assert!(ejection.admit(&id("a")).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn new_lists_keep_who_is_out_and_forget_who_left() {
        let (lists, ejection) = of(&["a", "b", "c", "d"]);
        for name in ["a", "b"] {
            fail(&ejection, name);
            fail(&ejection, name);
        }
        assert_eq!(avoided(&ejection), ["a", "b"]);
        lists.send_replace(list(&["b", "c", "d", "e"]));
        assert_eq!(avoided(&ejection), ["b"]);
        lists.send_replace(list(&["a", "b", "c", "d"]));
        assert_eq!(avoided(&ejection), ["b"]);
        // Half of one is nobody.
        lists.send_replace(list(&["b"]));
        assert!(avoided(&ejection).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_left_and_fails_then_takes_nobodys_place_among_those_who_are_out() {
        let (lists, ejection) = of(&["a", "b", "c"]);
        // They are under way when it leaves.
        let under_way: Vec<_> = (0..5).map(|_| ejection.admit(&id("a")).unwrap()).collect();
        lists.send_replace(list(&["b", "c"]));
        for attempt in under_way {
            attempt.failed();
        }
        assert_eq!((ejection.out(), ejection.troubled.load(Relaxed)), (0, false));
        fail(&ejection, "b");
        fail(&ejection, "a");
        fail(&ejection, "b");
        assert_eq!(avoided(&ejection), ["b"]);
        fail(&ejection, "a");
        assert_eq!((avoided(&ejection), ejection.out()), (vec!["b".to_owned()], 1));
        // Nor does one that draws on its way out.
        let drained =
            |id: &str| NodeData::at("127.0.0.1:80".parse().unwrap()).with_weight(u32::from(id != "c"));
        let instances = ["b", "c", "d"].map(|it| Arc::new(Instance { id: id(it), data: drained(it) }));
        lists.send_replace(Some(instances.into_iter().collect()));
        for _ in 0..3 {
            fail(&ejection, "c");
        }
        assert_eq!(avoided(&ejection), ["b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_be_reached_from_here_makes_up_for_nobody_who_is_out() {
        let (lists, ejection) = of(&["a", "b", "behind-a-broker-1", "behind-a-broker-2"]);
        for name in ["a", "b"] {
            fail(&ejection, name);
            fail(&ejection, name);
        }
        assert_eq!(avoided(&ejection), ["a"]);
        lists.send_replace(list(&["a", "b", "c", "d"]));
        fail(&ejection, "b");
        assert_eq!(avoided(&ejection), ["a", "b"]);
        lists.send_replace(list(&["a", "b", "c", "behind-a-broker-1"]));
        assert_eq!(avoided(&ejection).len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn while_many_are_out_an_answer_that_changes_nothing_makes_no_new_set_of_them() {
        let names: Vec<_> = (0..200).map(|number| format!("i{number}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let (lists, ejection) = of(&names);
        for name in &names[..100] {
            fail(&ejection, name);
            fail(&ejection, name);
        }
        let before = ejection.avoided();
        let rebuilt = || ejection.lock().rebuilt;
        let count = rebuilt();
        assert_eq!(before.len(), 100);
        for _ in 0..10 {
            for name in &names[100..] {
                ejection.admit(&id(name)).unwrap().succeeded();
            }
            // One failure is no more than that, and a good answer after it makes it none.
            fail(&ejection, names[150]);
            ejection.admit(&id(names[150])).unwrap().succeeded();
        }
        assert!(Arc::ptr_eq(&before, &ejection.avoided()));
        assert_eq!(rebuilt(), count);

        // What does change it is seen at once.
        lists.send_replace(list(&names[1..]));
        ejection.admit(&id(names[150])).unwrap().succeeded();
        assert_eq!((ejection.avoided().len(), rebuilt()), (99, count + 1));
        advance(Duration::from_secs(1)).await;
        assert!(ejection.avoided().is_empty());
        ejection.admit(&id(names[1])).unwrap().succeeded();
        assert_eq!(ejection.out(), 98);
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_may_be_in_any_order() {
        let (_lists, ejection) = of(&["normal0000000002", "normal0000000001", "zone", "master"]);
        for name in ["master", "normal0000000001"] {
            fail(&ejection, name);
            fail(&ejection, name);
        }
        assert_eq!(avoided(&ejection), ["master", "normal0000000001"]);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_of_those_who_are_well() {
        let (_lists, ejection) = of(&["a", "b"]);
        fail(&ejection, "a");
        ejection.admit(&id("a")).unwrap().succeeded();
        assert!(!ejection.troubled.load(Relaxed));
        assert_eq!(ejection.out(), 0);
    }
}
