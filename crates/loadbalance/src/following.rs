//! Keeps a balancer up to date with its channels.

use std::error::Error;
use std::sync::{Arc, Weak};

use proto::InstanceId;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tracing::error;

use crate::balancer::Instances;
use crate::shared::Shared;

/// Keeps `shared` up to date for as long as it is there.
pub(crate) fn follow(
    shared: &Arc<Shared>,
    lists: Option<watch::Receiver<Option<Instances>>>,
    master: Option<watch::Receiver<Option<InstanceId>>>,
) {
    let brings_lists = lists.is_some();
    let mut following = Following { shared: Arc::downgrade(shared), lists, master, brings_lists };
    if let Some(instances) = following.newest() {
        shared.replace(instances);
    }
    let task = tokio::spawn(following.run());
    // Set once, here.
    let _ = shared.following.set(task.abort_handle());
}

struct Following {
    shared: Weak<Shared>,
    lists: Option<watch::Receiver<Option<Instances>>>,
    master: Option<watch::Receiver<Option<InstanceId>>>,
    /// Whether lists are still to come from here, and not by hand.
    brings_lists: bool,
}

impl Drop for Following {
    /// However it ends, by its channels, with its runtime or by being aborted: nobody is to wait for a list that will not come.
    fn drop(&mut self) {
        if self.brings_lists
            && let Some(shared) = self.shared.upgrade()
        {
            shared.close();
        }
    }
}

enum News {
    List,
    Master,
    NoMoreLists,
    NoMoreMasters,
}

impl Following {
    async fn run(mut self) {
        while self.lists.is_some() || self.master.is_some() {
            let news = tokio::select! {
                changed = change(&mut self.lists) => if changed { News::List } else { News::NoMoreLists },
                changed = change(&mut self.master) => if changed { News::Master } else { News::NoMoreMasters },
            };
            let Some(shared) = self.shared.upgrade() else { return };
            let instances = match news {
                News::List => self.newest(),
                News::NoMoreLists => {
                    self.lists = None;
                    // Once: a list by hand may come afterwards, and another one be waited for.
                    self.brings_lists = false;
                    shared.close();
                    continue;
                }
                News::NoMoreMasters => {
                    self.master = None;
                    continue;
                }
                News::Master => None,
            };
            let made = spawn_blocking(move || match instances {
                Some(instances) => shared.replace(instances),
                None => shared.refresh(),
            });
            if let Err(error) = made.await {
                // The next list is tried again.
                error!(
                    error = &error as &dyn Error,
                    "cannot prepare for a list: picks go on with the one before"
                );
            }
        }
    }

    /// The list of the channel, once there is one.
    fn newest(&mut self) -> Option<Instances> {
        self.lists.as_mut()?.borrow_and_update().clone()
    }
}

/// Waits for a change; false when there will be none.
async fn change<T>(channel: &mut Option<watch::Receiver<T>>) -> bool {
    match channel {
        Some(channel) => channel.changed().await.is_ok(),
        None => std::future::pending().await,
    }
}
