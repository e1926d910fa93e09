//! What a list was made into.

use std::sync::Arc;

use proto::{Instance, InstanceId};

use crate::{Algorithm, Candidate, Candidates, Filter, PickError, Picker, Request};

/// A list with what an algorithm made of it. Never changed: another list is made into another one.
pub(crate) struct Snapshot {
    pub(crate) algorithm: Arc<dyn Algorithm>,
    pub(crate) filter: Option<Filter>,
    /// Everybody in the list, and why some may not be picked.
    pub(crate) listed: Box<[Listed]>,
    /// Those who may be.
    pub(crate) candidates: Candidates,
    pub(crate) picker: Arc<dyn Picker>,
    pub(crate) list: List,
}

/// Whether there is a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    None,
    /// None, and none will come.
    Never,
    Here,
}

/// One who is in the list.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) candidate: Arc<Candidate>,
    pub(crate) standing: Standing,
}

/// Whether one may be picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Candidate,
    Filtered,
    Drained,
    /// It has other work, and there are others.
    Master,
}

/// How everybody in a list stands. The master is a candidate when nobody else is.
pub(crate) fn standings<'a>(
    instances: impl Iterator<Item = &'a Instance> + Clone,
    filter: Option<&Filter>,
    master: Option<&InstanceId>,
) -> Vec<Standing> {
    let standing = |instance: &Instance| match instance.data.weight {
        _ if filter.is_some_and(|filter| !filter.accepts(instance)) => Standing::Filtered,
        0 => Standing::Drained,
        _ if master == Some(&instance.id) => Standing::Master,
        _ => Standing::Candidate,
    };
    let mut standings: Vec<_> = instances.map(standing).collect();
    if !standings.contains(&Standing::Candidate) {
        let alone = standings.iter_mut().filter(|standing| **standing == Standing::Master);
        alone.for_each(|standing| *standing = Standing::Candidate);
    }
    standings
}

/// Who decided a pick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Algorithm,
    /// The algorithm had nobody but those who were tried: who has the least to do is taken.
    Load,
}

/// How often an algorithm is asked to pick another one than those who were tried.
const ATTEMPTS: u32 = 8;

impl Snapshot {
    pub(crate) fn new(
        algorithm: Arc<dyn Algorithm>,
        filter: Option<Filter>,
        list: List,
        listed: Box<[Listed]>,
    ) -> Self {
        let may_be = |listed: &&Listed| listed.standing == Standing::Candidate;
        let candidates: Candidates =
            listed.iter().filter(may_be).map(|listed| listed.candidate.clone()).collect();
        let picker = match candidates.len() {
            0 => Arc::new(Nobody) as Arc<dyn Picker>,
            _ => algorithm.picker(candidates.clone()),
        };
        Self { algorithm, filter, listed, candidates, picker, list }
    }

    #[inline]
    pub(crate) fn pick(&self, request: &Request<'_>) -> Result<&Arc<Candidate>, PickError> {
        match at_once(&*self.picker, &self.candidates, request) {
            Some(candidate) => Ok(candidate),
            None => self.pick_carefully(request),
        }
    }

    #[cold]
    pub(crate) fn pick_carefully(&self, request: &Request<'_>) -> Result<&Arc<Candidate>, PickError> {
        if request.is_retry() {
            self.pick_another(request).map(|(candidate, _)| candidate)
        } else {
            Err(self.refusal(request))
        }
    }

    /// A pick that passes over those who were tried.
    pub(crate) fn pick_another(&self, request: &Request<'_>) -> Result<(&Arc<Candidate>, By), PickError> {
        let new = |candidate: &&Arc<Candidate>| !request.was_tried(candidate.id());
        let nobody = PickError::Tried { candidates: self.candidates.len() };
        // An algorithm may look long for somebody who is not there.
        let candidates = &self.candidates;
        let may_be_over = !candidates.is_empty() && request.tries() >= candidates.len();
        if may_be_over && candidates.iter().all(|candidate| !new(&candidate)) {
            return Err(nobody);
        }
        for attempt in 0..ATTEMPTS {
            let picked = self.picker.pick(&request.at_attempt(attempt));
            let Some(candidate) = picked.and_then(|index| self.candidates.get(index)) else {
                if attempt == 0 {
                    return Err(self.refusal(request));
                }
                break;
            };
            if !request.was_tried(candidate.id()) {
                return Ok((candidate, By::Algorithm));
            }
        }
        // The algorithm insists on those who were tried.
        least_busy(self.candidates.iter().filter(new)).map(|it| (it, By::Load)).ok_or(nobody)
    }

    pub(crate) fn refusal(&self, request: &Request<'_>) -> PickError {
        let algorithm = || self.algorithm.name().to_owned();
        let has = request.key().map(|key| key.kind());
        let (listed, candidates) = (self.listed.len(), self.candidates.len());
        match (self.list, self.algorithm.key()) {
            (List::None, _) => PickError::NotReady,
            (List::Never, _) => PickError::Closed,
            _ if listed == 0 => PickError::Empty,
            _ if candidates == 0 => self.nobody(),
            (_, Some(needs)) if has != Some(needs) => {
                PickError::KeyMissing { algorithm: algorithm(), needs, has }
            }
            _ => PickError::Declined { algorithm: algorithm(), candidates },
        }
    }

    fn nobody(&self) -> PickError {
        let count = |standing| self.listed.iter().filter(|listed| listed.standing == standing).count();
        let (listed, filtered, drained) =
            (self.listed.len(), count(Standing::Filtered), count(Standing::Drained));
        match &self.filter {
            Some(filter) if filtered > 0 => {
                PickError::Filtered { listed, filtered, drained, filter: filter.name().to_owned() }
            }
            _ => PickError::Drained { listed },
        }
    }
}

/// What an algorithm picks, unless somebody was tried or it picks nobody.
#[inline]
pub(crate) fn at_once<'a>(
    picker: &dyn Picker,
    candidates: &'a [Arc<Candidate>],
    request: &Request<'_>,
) -> Option<&'a Arc<Candidate>> {
    if request.is_retry() {
        return None;
    }
    candidates.get(picker.pick(request)?)
}

/// Picks from an empty list.
struct Nobody;

impl Picker for Nobody {
    fn pick(&self, _: &Request<'_>) -> Option<usize> {
        None
    }
}

/// The one with the least to do for its weight, and of equals any, the heavier the likelier.
fn least_busy<'a>(candidates: impl Iterator<Item = &'a Arc<Candidate>>) -> Option<&'a Arc<Candidate>> {
    let mut equals = 0;
    candidates.reduce(|best, next| {
        if equals == 0 {
            equals = u64::from(best.weight());
        }
        let order = next.compare_busy(best);
        equals = if order.is_lt() { 0 } else { equals };
        if order.is_eq() {
            equals += u64::from(next.weight());
        }
        let has_its_part = || rand::random_range(0..equals) < u64::from(next.weight());
        if order.is_lt() || order.is_eq() && has_its_part() { next } else { best }
    })
}
