//! One request on its way to an instance, and what it tells of it.

use std::sync::Arc;

use proto::InstanceId;

use super::Ejection;

/// A request under way to an instance. Dropped without another word, it tells nothing of the instance.
#[derive(Debug)]
pub(in crate::proxy) struct Attempt {
    pub(super) ejection: Arc<Ejection>,
    pub(super) id: InstanceId,
    pub(super) is_probe: bool,
}

impl Attempt {
    /// The head of a good answer is there. That is enough for a probe: its body may take for ever.
    pub(in crate::proxy) fn answered(&mut self) {
        if std::mem::take(&mut self.is_probe) {
            self.ejection.succeeded(&self.id, true);
        }
    }

    /// It does not tell how the instance is, or not in time: its client went away, or is slow. The next request may.
    pub(in crate::proxy) fn tells_nothing(&mut self) {
        if std::mem::take(&mut self.is_probe) {
            self.ejection.undecided(&self.id);
        }
    }

    /// The answer came to its end.
    pub(in crate::proxy) fn succeeded(mut self) {
        self.ejection.succeeded(&self.id, std::mem::take(&mut self.is_probe));
    }

    /// The instance could not be reached, did not answer, or its answer was a failure or broke off.
    pub(in crate::proxy) fn failed(mut self) {
        self.ejection.failed(&self.id, std::mem::take(&mut self.is_probe));
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.tells_nothing();
    }
}
