//! Whose fault an error is.

use std::error::Error;

/// What an error of the service for an instance says of that instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The instance failed, and may have done what was asked.
    Instance,
    /// The instance could not be reached, and failed: nothing was sent.
    Unreached,
    /// Whoever asked is at fault, with a request that cannot be sent for example. It says nothing of the instance.
    Asker,
}

/// Judges an error of the service for an instance.
pub type BlameOf = fn(&(dyn Error + 'static)) -> Blame;

/// Each error is the instance's, where nothing more is known.
pub(super) fn instance(_: &(dyn Error + 'static)) -> Blame {
    Blame::Instance
}
