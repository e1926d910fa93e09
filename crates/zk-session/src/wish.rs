//! What is wanted of a node, between whoever wants it and whoever keeps it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc};

/// What is to be in a node, or that it is to go.
#[derive(Debug)]
pub(crate) struct Wish {
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    /// What is to be in it; `None` when it is to go.
    data: Option<Arc<[u8]>>,
    /// That was changed, and whoever keeps the node did not look since.
    news: bool,
    /// Whether a node can be anywhere: set before the first try to make it, or when one was found.
    tried: bool,
    /// Who keeps it together with others, and is told of each change.
    bell: Option<Bell>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is in a node may be a secret.
        let bytes = self.data.as_ref().map(|data| data.len());
        f.debug_struct("State").field("bytes", &bytes).field("tried", &self.tried).finish_non_exhaustive()
    }
}

/// Tells whoever keeps many of which one something else is wanted.
#[derive(Debug)]
pub(crate) struct Bell {
    /// Its number among them.
    pub(crate) number: usize,
    /// Where that is told.
    pub(crate) rings: mpsc::UnboundedSender<usize>,
}

impl Wish {
    pub(crate) fn new(data: Vec<u8>) -> Arc<Self> {
        let state = State { data: Some(data.into()), news: false, tried: false, bell: None };
        Arc::new(Self { state: Mutex::new(state), changed: Notify::new() })
    }

    /// Wants other data; `false` when the node is not wanted any more.
    pub(crate) fn update(&self, data: Vec<u8>) -> bool {
        let mut state = self.state();
        let is_wanted = state.data.is_some();
        if is_wanted {
            self.change(&mut state, Some(data.into()));
        }
        is_wanted
    }

    /// Does not want the node any more, for good.
    pub(crate) fn let_go(&self) {
        let mut state = self.state();
        if state.data.is_some() {
            self.change(&mut state, None);
        }
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.state().data.is_some()
    }

    /// Whether a node of ours can be anywhere, or will be. Not once it is let go before the first try.
    pub(crate) fn leaves_something(&self) -> bool {
        let state = self.state();
        state.tried || state.data.is_some()
    }

    fn change(&self, state: &mut State, data: Option<Arc<[u8]>>) {
        state.data = data;
        if std::mem::replace(&mut state.news, true) {
            return;
        }
        match &state.bell {
            // Who kept it may be gone, and the node with it.
            Some(bell) => drop(bell.rings.send(bell.number)),
            None => self.changed.notify_one(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that is done while it is held can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A wish as whoever keeps the node sees it. There is one for each.
#[derive(Debug)]
pub(crate) struct Wants(Arc<Wish>);

impl Wants {
    pub(crate) fn new(wish: Arc<Wish>) -> Self {
        Self(wish)
    }

    /// From now on changes are told to who keeps many, or to nobody else than [`changed`](Self::changed) any more.
    pub(crate) fn ring(&self, bell: Option<Bell>) {
        self.0.state().bell = bell;
    }

    /// What is to be in the node; `None` when it is to go. This is seen then.
    pub(crate) fn look(&mut self) -> Option<Arc<[u8]>> {
        let mut state = self.0.state();
        state.news = false;
        state.data.clone()
    }

    /// The same right before a node is made, which is on record from now on: either a withdrawal sees that, or it is seen here.
    pub(crate) fn try_now(&mut self) -> Option<Arc<[u8]>> {
        let mut state = self.0.state();
        state.news = false;
        state.tried |= state.data.is_some();
        state.data.clone()
    }

    /// A node was found that may be ours, though it was not tried to make it here.
    pub(crate) fn found(&self) {
        self.0.state().tried = true;
    }

    /// Whether a node of ours can be anywhere.
    pub(crate) fn was_tried(&self) -> bool {
        self.0.state().tried
    }

    /// Whether something else is wanted than was seen.
    pub(crate) fn is_news(&self) -> bool {
        self.0.state().news
    }

    /// Waits until nothing is wanted, and nothing of ours can be anywhere. What is wanted is seen. To be dropped at any time.
    pub(crate) async fn forsaken(&mut self) {
        while self.look().is_some() || self.was_tried() {
            self.changed().await;
        }
    }

    /// Waits until something else is wanted than was seen. To be dropped at any time.
    pub(crate) async fn changed(&self) {
        while !self.is_news() {
            // A change since is kept: one is remembered for whoever waits next, and we are the only one.
            self.0.changed.notified().await;
        }
    }
}
