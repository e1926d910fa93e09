//! Keeps a balancer up to date with its channels.

use std::any::Any;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::thread;

use proto::InstanceId;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::yield_now;
use tracing::{error, warn};

use crate::balancer::Instances;
use crate::shared::Shared;

/// Keeps `shared` up to date for as long as it is there.
pub(crate) fn follow(
    shared: &Arc<Shared>,
    lists: Option<watch::Receiver<Option<Instances>>>,
    master: Option<watch::Receiver<Option<InstanceId>>>,
) {
    let bringing = lists.is_some().then(|| Arc::new(Bringing(Arc::downgrade(shared))));
    let mut following = Following { shared: Arc::downgrade(shared), lists, master, bringing };
    if let Some(instances) = following.newest() {
        shared.replace(instances);
    }
    let task = tokio::spawn(following.run());
    // Set once, here.
    let _ = shared.following.set(task.abort_handle());
}

/// Many balancers may get a large list at the same time, and each thread of theirs is one that others cannot have.
static THREADS: Semaphore = Semaphore::const_new(64);

struct Following {
    shared: Weak<Shared>,
    lists: Option<watch::Receiver<Option<Instances>>>,
    master: Option<watch::Receiver<Option<InstanceId>>>,
    /// There while lists are still to come from here, and not by hand.
    bringing: Option<Arc<Bringing>>,
}

/// Held by who brings lists, and with each list by who prepares for it.
struct Bringing(Weak<Shared>);

impl Drop for Bringing {
    /// However it ends, by its channels, with its runtime or by being aborted: nobody is to wait for a list that will not come.
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
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
                    self.bringing = None;
                    continue;
                }
                News::NoMoreMasters => {
                    self.master = None;
                    continue;
                }
                News::Master => None,
            };
            if let Err(panic) = prepare(shared, instances, self.bringing.clone()).await {
                // The next list is tried again.
                error!(error = said(&*panic), "cannot prepare for a list: picks go on with the one before");
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

/// Prepares for a list, or once more for the one that is there. Ends with the panic of an algorithm, if there is one.
///
/// Never by `spawn_blocking`: the application may keep all of those threads for itself, or wait on the last of them for this very list.
async fn prepare(
    shared: Arc<Shared>,
    instances: Option<Instances>,
    bringing: Option<Arc<Bringing>>,
) -> thread::Result<()> {
    let takes_long = shared.takes_long(instances.as_ref());
    let work = move || {
        let _until_made = bringing;
        let make = || match instances {
            Some(instances) => shared.replace(instances),
            None => shared.refresh(),
        };
        // What a panic leaves behind is the list before.
        catch_unwind(AssertUnwindSafe(make))
    };
    if takes_long {
        // It is never closed.
        let place = THREADS.acquire().await;
        let (made, making) = oneshot::channel();
        let (runtime, there) = (Handle::current(), work.clone());
        let beside = move || {
            let _until_done = place;
            // An algorithm may spawn, as it may in a task.
            let _inside = runtime.enter();
            // The follower may be gone.
            let _ = made.send(there());
        };
        match thread::Builder::new().name("loadbalance".into()).spawn(beside) {
            Ok(_) => return making.await.unwrap_or_else(|gone| Err(Box::new(gone))),
            Err(error) => warn!(
                error = &error as &dyn Error,
                "no thread to prepare for a list: it is done in a task, which holds up others"
            ),
        }
    }
    let made = work();
    // Lists that come without a pause are not to keep others from their turn.
    yield_now().await;
    made
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref().copied()).unwrap_or("a panic")
}
