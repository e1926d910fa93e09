//! A pick whose request has no answer yet.

use loadbalance::{InstanceId, Picked};

/// Dropped before there is an answer, the request failed: it took longer than somebody cared to wait.
pub(super) struct Asked(Option<Picked>);

impl Asked {
    pub(super) fn new(picked: Picked) -> Self {
        Self(Some(picked))
    }

    /// Who was asked.
    pub(super) fn id(&self) -> &InstanceId {
        self.picked().candidate().id()
    }

    /// An answer is there, or a reason why there will be none. Gives the pick back, for what is left of the request.
    pub(super) fn answered(mut self) -> Picked {
        self.0.take().expect("it is given back once, here")
    }

    fn picked(&self) -> &Picked {
        self.0.as_ref().expect("it is there until it is given back")
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(picked) = self.0.take() {
            picked.failed();
        }
    }
}
