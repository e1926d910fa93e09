//! A pick whose request has no answer yet.

use loadbalance::Picked;

/// Dropped before there is an answer, the request failed: it took longer than somebody cared to wait.
pub(super) struct Asked(Option<Picked>);

impl Asked {
    pub(super) fn new(picked: Picked) -> Self {
        Self(Some(picked))
    }

    /// An answer is there. Gives the pick back, for what is left of the request.
    pub(super) fn answered(mut self) -> Picked {
        self.0.take().expect("it is given back once, here")
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(picked) = self.0.take() {
            picked.failed();
        }
    }
}
