//! A service that is looked for, and may be none.

use std::sync::Arc;

use proto::ServiceName;

use super::{Fleet, Followed, Full};

/// A service that is followed, perhaps by a name that somebody invented. When this is dropped before anything was heard of it, and
/// nobody else has it, it is followed no more: names of what is not there take no room from what is.
#[derive(Debug)]
#[must_use = "when it is dropped, nobody looks for the service any more"]
pub(crate) struct Sought {
    fleet: Fleet,
    followed: Option<Arc<Followed>>,
}

impl Fleet {
    /// Follows a service for as long as it is looked for, and longer when it turns out to be there.
    ///
    /// # Errors
    ///
    /// When as many are followed as may be.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub(crate) fn seek(&self, service: &ServiceName) -> Result<(Sought, Arc<Followed>), Full> {
        let followed = self.follow(service)?;
        Ok((Sought { fleet: self.clone(), followed: Some(followed.clone()) }, followed))
    }
}

impl Drop for Sought {
    fn drop(&mut self) {
        if let Some(followed) = self.followed.take() {
            self.fleet.let_go(followed);
        }
    }
}
