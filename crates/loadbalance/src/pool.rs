//! Whom a service has requests for.

use proto::InstanceId;
use tokio::sync::watch;

/// Which of the instances that a filter leaves requests go to.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Pool {
    /// All of them.
    #[default]
    All,

    /// All but the master, whose id the channel has: it has work of its own. To the master when there is nobody else; to all
    /// while nobody is known to be the master.
    Normal(watch::Receiver<Option<InstanceId>>),
}

impl Pool {
    /// Who is kept out now.
    pub(crate) fn master(&self) -> Option<InstanceId> {
        match self {
            Self::All => None,
            Self::Normal(master) => master.borrow().clone(),
        }
    }
}
