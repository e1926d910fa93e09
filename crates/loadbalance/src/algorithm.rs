//! What an algorithm is: it prepares once for each list, and picks once for each request.

use std::sync::Arc;

use crate::{Candidate, KeyKind, Request};

/// What there is to pick from, in the order of the list: at least one, each with a weight above 0, and each there once.
pub type Candidates = Arc<[Arc<Candidate>]>;

/// A way to choose one of many. One value serves one balancer: what outlives a list, such as a turn, lives in it.
///
/// # Examples
///
/// An algorithm of one's own, which always picks the heaviest:
///
/// ```
/// use std::sync::Arc;
///
/// use loadbalance::{Algorithm, Candidates, Picker, Request};
///
/// struct Heaviest;
///
/// impl Algorithm for Heaviest {
///     fn name(&self) -> &str {
///         "heaviest"
///     }
///
///     fn picker(&self, candidates: Candidates) -> Arc<dyn Picker> {
///         Arc::new(Always(candidates.iter().enumerate().max_by_key(|(_, it)| it.weight()).map(|(index, _)| index)))
///     }
/// }
///
/// struct Always(Option<usize>);
///
/// impl Picker for Always {
///     fn pick(&self, _: &Request<'_>) -> Option<usize> {
///         self.0
///     }
/// }
/// ```
pub trait Algorithm: Send + Sync {
    /// What people call it.
    fn name(&self) -> &str;

    /// Prepares for a list. Called beside the picks on the list before, and never by a pick. It may take its time for a large list; for
    /// one of up to 16 instances, which may come in a task, it takes less than a millisecond and waits for nothing.
    fn picker(&self, candidates: Candidates) -> Arc<dyn Picker>;

    /// What a request has to carry for this algorithm, if anything.
    fn key(&self) -> Option<KeyKind> {
        None
    }
}

/// Picks from one list, which is not empty. Called from many threads at once, for each request: it takes no lock, allocates nothing, and does
/// not go through the list.
pub trait Picker: Send + Sync {
    /// The place of the one to take, within the list that the picker was made for; `None` when it takes nobody, as it has to for
    /// a request without the key that it needs.
    ///
    /// A balancer asks again for the same request, with the next [`Request::attempt`], when who was picked was tried already.
    fn pick(&self, request: &Request<'_>) -> Option<usize>;

    /// The part of the requests that each gets in the long run, from 0 to 1, where that is known beforehand. For people: it
    /// may take its time.
    fn shares(&self) -> Option<Vec<f64>> {
        None
    }

    /// Why one was chosen, or another one was not; for people.
    fn because(&self, chosen: bool) -> &'static str {
        if chosen { "the algorithm chose it" } else { "the algorithm chose another one" }
    }
}

impl<A: Algorithm + ?Sized> Algorithm for Box<A> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn picker(&self, candidates: Candidates) -> Arc<dyn Picker> {
        (**self).picker(candidates)
    }

    fn key(&self) -> Option<KeyKind> {
        (**self).key()
    }
}
