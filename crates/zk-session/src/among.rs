//! What happens to nodes of ours in a directory that is watched as a whole.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{OnceCell, oneshot};

use crate::taking::Taking;
use crate::told::Told;
use crate::{Change, Changed, Error, Session, What};

/// One recursive watch on a directory, shared by all who keep nodes there.
///
/// It takes in what is told as it comes, and keeps of it what somebody waits for: so what is kept is bounded by how many nodes of ours there
/// are, and neither by how much happens nor by how long those who wait are busy.
#[derive(Debug, Default)]
pub(crate) struct Among {
    /// How many children the directory had when that was asked first.
    pub(crate) had: OnceCell<usize>,
    watch: OnceCell<Taking>,
    listeners: Arc<Listeners>,
}

/// Who is told.
#[derive(Debug, Default)]
struct Listeners(Mutex<Listening>);

#[derive(Debug, Default)]
struct Listening {
    /// Who keep a node by itself: each is told once.
    singly: HashMap<Arc<str>, Vec<oneshot::Sender<What>>>,
    together: Vec<Weak<Inbox>>,
    /// The connection is gone.
    over: bool,
}

/// Which number each of many nodes has, by its path.
pub(crate) type Numbers = HashMap<Arc<str>, usize>;

/// What happened to many nodes and was not looked into yet. When it is dropped, no more is kept.
#[derive(Debug)]
pub(crate) struct Happened {
    inbox: Arc<Inbox>,
    _among: Arc<Among>,
}

#[derive(Debug)]
struct Inbox {
    numbers: Arc<Numbers>,
    told: Told<BTreeMap<usize, What>>,
}

impl Among {
    /// Tells when the node at `path` was changed or deleted after this call, or that the connection is over.
    ///
    /// Its creation is not told: whoever waits is about to create it.
    pub(crate) async fn watch(
        self: &Arc<Self>,
        session: &dyn Session,
        directory: &str,
        path: &Arc<str>,
    ) -> Result<Changed, Error> {
        self.arm(session, directory).await?;
        let waiting = Waiting { fired: self.listeners.listen(path), path: path.clone(), among: self.clone() };
        Ok(Changed::new(waiting.fired()))
    }

    /// The same of many nodes, again and again, by their `numbers`.
    pub(crate) async fn watch_many(
        self: &Arc<Self>,
        session: &dyn Session,
        directory: &str,
        numbers: Arc<Numbers>,
    ) -> Result<Happened, Error> {
        self.arm(session, directory).await?;
        Ok(Happened { inbox: self.listeners.listen_to_many(numbers), _among: self.clone() })
    }

    async fn arm(&self, session: &dyn Session, directory: &str) -> Result<(), Error> {
        let watch = async || {
            let changes = session.watch_tree(directory).await?;
            let listeners = self.listeners.clone();
            Ok(Taking::start(changes, move |next| listeners.note(next)))
        };
        self.watch.get_or_try_init(watch).await.map(|_| ())
    }
}

impl Happened {
    /// Waits until something happened.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] when the connection is over.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when this is dropped before it is ready.
    pub(crate) async fn some(&self) -> Result<(), Error> {
        self.inbox.told.some(|happened| !happened.is_empty()).await
    }

    /// Looks into all of it, by number. Of one that was deleted, that is told, whatever came after it.
    pub(crate) fn read(&self) -> BTreeMap<usize, What> {
        self.inbox.told.with(std::mem::take)
    }
}

/// Who waits for what happens to one node. Nothing is left of it when it goes, and the watch stays while it is there.
struct Waiting {
    fired: oneshot::Receiver<What>,
    path: Arc<str>,
    among: Arc<Among>,
}

impl Waiting {
    async fn fired(mut self) -> Option<What> {
        (&mut self.fired).await.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.fired.close();
        self.among.listeners.leave(&self.path);
    }
}

impl Listeners {
    fn listen(&self, path: &Arc<str>) -> oneshot::Receiver<What> {
        let (fire, fired) = oneshot::channel();
        let mut listening = self.listening();
        if !listening.over {
            listening.singly.entry(path.clone()).or_default().push(fire);
        }
        fired
    }

    fn listen_to_many(&self, numbers: Arc<Numbers>) -> Arc<Inbox> {
        let inbox = Arc::new(Inbox { numbers, told: Told::default() });
        let mut listening = self.listening();
        if listening.over {
            inbox.told.end();
        } else {
            // Whoever tries again and again leaves none behind.
            listening.together.retain(|earlier| earlier.strong_count() > 0);
            listening.together.push(Arc::downgrade(&inbox));
        }
        inbox
    }

    fn leave(&self, path: &str) {
        let mut listening = self.listening();
        if let Some(here) = listening.singly.get_mut(path) {
            here.retain(|fire| !fire.is_closed());
            if here.is_empty() {
                listening.singly.remove(path);
            }
        }
    }

    /// In the thread that brings it, so nobody is waited for.
    fn note(&self, next: Option<Change>) {
        let Some(Change { path, what }) = next else { return self.end() };
        if what == What::Created {
            return;
        }
        let mut listening = self.listening();
        let fires = listening.singly.remove(&*path);
        listening.together.iter().filter_map(Weak::upgrade).for_each(|inbox| inbox.note(&path, what));
        drop(listening);
        for fire in fires.into_iter().flatten() {
            // Whoever waited may have gone.
            let _ = fire.send(what);
        }
    }

    fn end(&self) {
        let mut listening = self.listening();
        listening.over = true;
        let singly = std::mem::take(&mut listening.singly);
        let together = std::mem::take(&mut listening.together);
        drop(listening);
        // To drop the others says it.
        drop(singly);
        together.iter().filter_map(Weak::upgrade).for_each(|inbox| inbox.told.end());
    }

    fn listening(&self) -> MutexGuard<'_, Listening> {
        // Nothing that is done while it is held can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inbox {
    fn note(&self, path: &str, what: What) {
        let Some(&number) = self.numbers.get(path) else { return };
        self.told.note(|happened| {
            let nothing = happened.is_empty();
            let told = happened.entry(number).or_insert(what);
            if what == What::Deleted {
                *told = what;
            }
            nothing
        });
    }
}

#[cfg(all(test, feature = "fake"))]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::fake::{FakeClient, FakeZk};
    use crate::{Connect, Kind};

    const DIR: &str = "/a";

    fn path(number: usize) -> Arc<str> {
        format!("{DIR}/n{number}").into()
    }

    struct World {
        zk: FakeZk,
        _client: FakeClient,
        session: Arc<dyn Session>,
        among: Arc<Among>,
    }

    impl World {
        async fn new() -> Self {
            let zk = FakeZk::default();
            let client = zk.client();
            let session = client.connect().await.expect("connected");
            Self { zk, _client: client, session, among: Arc::default() }
        }

        async fn one(&self, number: usize) -> Changed {
            self.among.watch(&*self.session, DIR, &path(number)).await.expect("watched")
        }

        async fn many(&self, count: usize) -> Happened {
            let numbers = (0..count).map(|number| (path(number), number)).collect();
            self.among.watch_many(&*self.session, DIR, Arc::new(numbers)).await.expect("watched")
        }

        /// How many are told of one node, and how many of many.
        fn listening(&self) -> (usize, usize) {
            let listening = self.among.listeners.listening();
            (listening.singly.values().map(Vec::len).sum(), listening.together.len())
        }
    }

    #[tokio::test]
    async fn while_nobody_looks_no_more_is_kept_than_there_are_nodes_of_ours() {
        let world = World::new().await;
        let (happened, mut one) = (world.many(10).await, world.one(3).await);
        for number in 0..10_000 {
            world.zk.put(&path(number % 20), number.to_string());
            world.zk.put(&format!("{DIR}/used-once-{number}"), "");
            world.zk.remove(&format!("{DIR}/used-once-{number}"));
            assert_eq!(world.zk.events_waiting(), 0, "each is taken in at once");
        }
        assert_eq!(happened.inbox.told.with(|happened| happened.len()), 10);
        assert!(happened.some().now_or_never().is_some());
        assert_eq!(happened.read(), (0..10).map(|number| (number, What::Changed)).collect());
        assert!(happened.some().now_or_never().is_none(), "all of it was looked into");
        assert_eq!((&mut one).now_or_never(), Some(Some(What::Changed)));
        world.zk.put(&path(7), "");
        assert!(matches!(happened.some().now_or_never(), Some(Ok(()))));
    }

    #[tokio::test]
    async fn that_one_was_deleted_is_told_whatever_came_after_it() {
        let world = World::new().await;
        world.zk.put(&path(1), "");
        let (happened, mut one) = (world.many(3).await, world.one(2).await);
        world.zk.put(&path(1), "changed");
        world.zk.remove(&path(1));
        world.zk.put(&path(1), "another");
        world.zk.put(&path(1), "changed");
        world.zk.put(&path(2), "new");
        assert_eq!(happened.read(), [(1, What::Deleted)].into(), "that one was made is not told");
        assert!((&mut one).now_or_never().is_none());
        world.zk.remove(&path(2));
        assert_eq!((&mut one).now_or_never(), Some(Some(What::Deleted)));
    }

    #[tokio::test]
    async fn whoever_tries_again_and_again_leaves_nothing_behind() {
        let world = World::new().await;
        for _ in 0..100 {
            drop((world.many(3).await, world.one(1).await));
        }
        let (_stays, _stays_too) = (world.one(1).await, world.many(3).await);
        drop(world.one(1).await);
        assert_eq!(world.listening(), (1, 1));
        assert_eq!(world.zk.requests().watches, 1, "{:?}", world.zk.requests());
    }

    #[tokio::test]
    async fn when_the_connection_is_over_everybody_is_told_after_what_happened_before() {
        let world = World::new().await;
        let (happened, mut one, mut fired) = (world.many(3).await, world.one(1).await, world.one(2).await);
        world.zk.put(&path(2), "");
        world.zk.put(&path(2), "changed");
        world.zk.disconnect(world.session.id());
        assert_eq!((&mut one).now_or_never(), Some(None));
        assert_eq!((&mut fired).now_or_never(), Some(Some(What::Changed)));
        assert!(matches!(happened.some().now_or_never(), Some(Ok(()))));
        assert_eq!(happened.read(), [(2, What::Changed)].into());
        assert!(matches!(happened.some().now_or_never(), Some(Err(Error::Interrupted))));
        // Who comes too late is told at once.
        let (late, mut one) = (world.many(3).await, world.one(1).await);
        assert!(matches!(late.some().now_or_never(), Some(Err(Error::Interrupted))));
        assert_eq!((&mut one).now_or_never(), Some(None));
        assert_eq!(world.listening(), (0, 0));
    }

    #[tokio::test]
    async fn the_watch_is_given_up_when_nobody_is_left() {
        let mut world = World::new().await;
        world.session.create(DIR, b"", Kind::Persistent).await.expect("made");
        let (happened, one) = (world.many(3).await, world.one(1).await);
        world.among = Arc::default();
        world.zk.reset_requests();
        let heard = |world: &World| {
            world.zk.put(&path(1), "");
            world.zk.requests().events
        };
        assert_eq!(heard(&world), 1);
        drop(happened);
        assert_eq!(heard(&world), 2);
        drop(one);
        assert_eq!(heard(&world), 2, "nobody was told");
    }
}
