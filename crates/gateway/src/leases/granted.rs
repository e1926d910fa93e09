//! An instance between its registration and the answer to that.

use super::table::Key;
use super::{Leases, Refused, Standing};

/// An instance that was registered, and whose program was not told yet. Its time begins when this is dropped at the latest.
pub(crate) struct Granted {
    leases: Leases,
    key: Key,
    standing: Standing,
}

impl Granted {
    pub(super) fn new(leases: Leases, key: Key, standing: Standing) -> Self {
        Self { leases, key, standing }
    }

    /// How it stands.
    pub(crate) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Its program is told now: it has its whole time from now on.
    ///
    /// # Errors
    ///
    /// When it is not there any more, or another one's.
    pub(crate) fn begin(self) -> Result<Standing, Refused> {
        let began = self.leases.begin(&self.key, &self.standing.token)?;
        let Standing { overwrites, took_over, .. } = self.standing;
        Ok(Standing { overwrites, took_over, ..began })
    }
}

impl Drop for Granted {
    /// Nobody waits for an answer any more. Where it has begun, it does so a moment later.
    fn drop(&mut self) {
        let _ = self.leases.begin(&self.key, &self.standing.token);
    }
}
