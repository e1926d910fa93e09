//! Who is told of what.

use std::collections::HashMap;

use futures::channel::{mpsc, oneshot};

use super::server::ConnectionId;
use super::tree::within;
use crate::{Change, Changed, Changes, What};

/// The watches of all connections, and the events that are held back.
#[derive(Debug, Default)]
pub(super) struct Watches {
    nodes: HashMap<String, Vec<NodeWatch>>,
    trees: Vec<TreeWatch>,
    held: Option<Vec<Event>>,
    delivered: u64,
}

#[derive(Debug)]
struct NodeWatch {
    by: ConnectionId,
    fire: oneshot::Sender<What>,
}

// futures' channel, not tokio's: that one says "nothing here" to a task that has read 128 events in a row.
#[derive(Debug)]
struct TreeWatch {
    by: ConnectionId,
    path: String,
    tell: mpsc::UnboundedSender<Change>,
    /// The server has forgotten it.
    forgotten: bool,
}

#[derive(Debug)]
enum Event {
    Node(NodeWatch, What),
    Tree(ConnectionId, mpsc::UnboundedSender<Change>, Change),
}

impl Event {
    fn by(&self) -> ConnectionId {
        match self {
            Self::Node(watch, _) => watch.by,
            Self::Tree(by, ..) => *by,
        }
    }

    /// Whether somebody still listened.
    fn deliver(self) -> bool {
        match self {
            Self::Node(watch, what) => watch.fire.send(what).is_ok(),
            Self::Tree(_, tell, change) => tell.unbounded_send(change).is_ok(),
        }
    }
}

impl Watches {
    pub(super) fn node(&mut self, by: ConnectionId, path: &str) -> Changed {
        let (fire, fired) = oneshot::channel();
        let here = self.nodes.entry(path.to_owned()).or_default();
        here.retain(|watch| !watch.fire.is_canceled());
        here.push(NodeWatch { by, fire });
        // Servers before 3.9 know one kind of watch for a path and a connection: the later one (ZOOKEEPER-4466).
        self.trees_at(by, path).for_each(|tree| tree.forgotten = true);
        // An error says that the connection is gone.
        Changed::new(async { fired.await.ok() })
    }

    pub(super) fn tree(&mut self, by: ConnectionId, path: &str) -> Changes {
        let (tell, told) = mpsc::unbounded();
        self.trees.retain(|watch| !watch.tell.is_closed());
        self.trees_at(by, path).for_each(|tree| tree.forgotten = false);
        self.trees.push(TreeWatch { by, path: path.to_owned(), tell, forgotten: false });
        Changes::new(told)
    }

    /// Tells everybody who watches, in the order of `changes`.
    pub(super) fn raise(&mut self, changes: &[Change]) {
        for change in changes {
            for watch in self.nodes.remove(&change.path).into_iter().flatten() {
                self.deliver(Event::Node(watch, change.what));
            }
            let concerns = |watch: &&TreeWatch| !watch.forgotten && within(&watch.path, &change.path);
            let concerned = self.trees.iter().filter(concerns);
            let events: Vec<Event> =
                concerned.map(|watch| Event::Tree(watch.by, watch.tell.clone(), change.clone())).collect();
            for event in events {
                self.deliver(event);
            }
        }
    }

    /// Holds events back from now on, or lets them all go.
    pub(super) fn hold(&mut self, hold: bool) {
        if hold {
            self.held.get_or_insert_default();
        } else {
            for event in self.held.take().unwrap_or_default() {
                self.deliver(event);
            }
        }
    }

    /// Ends all watches of a connection; what was told already can still be read.
    pub(super) fn end(&mut self, of: ConnectionId) {
        self.nodes.retain(|_, here| {
            here.retain(|watch| watch.by != of);
            !here.is_empty()
        });
        self.trees.retain(|watch| watch.by != of);
        if let Some(held) = &mut self.held {
            held.retain(|event| event.by() != of);
        }
    }

    /// How many events of trees are in their channels.
    pub(super) fn waiting(&self) -> usize {
        self.trees.iter().map(|watch| watch.tell.len()).sum()
    }

    /// How many events somebody got.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    pub(super) fn forget_delivered(&mut self) {
        self.delivered = 0;
    }

    fn trees_at(&mut self, by: ConnectionId, path: &str) -> impl Iterator<Item = &mut TreeWatch> {
        self.trees.iter_mut().filter(move |tree| tree.by == by && tree.path == path)
    }

    fn deliver(&mut self, event: Event) {
        match &mut self.held {
            Some(held) => held.push(event),
            None => self.delivered += u64::from(event.deliver()),
        }
    }
}
