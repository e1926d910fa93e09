//! A node that this process wants to exist.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use crate::enlisted::{Enlisted, Wants};
use crate::keeping::Keeping;
use crate::path::{self, child};
use crate::{Error, Kind, Link, MAX_DATA, SessionId, Sessions};

/// An ephemeral node that this process wants to exist, whatever happens to connections, sessions and the node itself.
///
/// It is made on the first connection, adopted on later ones of the same session, made anew in a new session, and
/// restored when somebody else deletes it. It is the only place where ephemeral nodes are made.
///
/// ```text
///            create / adopt / replace
///   Pending ──────────────────────────► Held ──── another process took the path ───► Replaced
///      ▲                                │  ▲
///      └──────── connection over ───────┘  │      withdraw, from any state ────────► Gone
///                                       │  │
///                 somebody deleted it   ▼  │ create
///                                      Missing
/// ```
///
/// Dropping it withdraws the node in the background.
pub struct Presence {
    wanted: watch::Sender<Option<Arc<[u8]>>>,
    status: watch::Receiver<Status>,
    tried: Arc<AtomicBool>,
}

impl fmt::Debug for Presence {
    /// Without what is in the node, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presence").field("status", &*self.status.borrow()).finish_non_exhaustive()
    }
}

/// Which node a [`Presence`] keeps.
#[derive(Clone)]
pub struct Spec {
    /// The directory it is in.
    pub directory: String,
    /// What it is called there.
    pub name: Name,
    /// What is in it at first.
    pub data: Vec<u8>,
    /// What the directory and those above it are made as, where they are missing.
    pub parents: Kind,
}

impl fmt::Debug for Spec {
    /// Without what is in the node, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { directory, name, data, parents } = self;
        f.debug_struct("Spec")
            .field("directory", directory)
            .field("name", name)
            .field("bytes", &data.len())
            .field("parents", parents)
            .finish()
    }
}

/// What a node is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// Exactly this, and it carries our own identity: whatever is there is a predecessor of ours and is replaced.
    Own(String),
    /// Exactly this, but it belongs to whoever comes first: a stranger's node is never touched, its end is awaited. All who
    /// wait learn of it at the same moment, so each lets a random time of 100 ms at most pass before it tries.
    Contended(String),
    /// This and ten digits that the server chooses. Our node is found again by it, and by the session that owns it, when the
    /// answer to its making was lost.
    Sequential(String),
}

/// How a [`Presence`] stands.
#[derive(Clone, Debug)]
pub enum Status {
    /// The node is not known to be there: not yet, or not since the connection went.
    Pending {
        /// What a person would have to know: the last try failed for this reason.
        problem: Option<Error>,
    },
    /// The node is ours.
    Held(Held),
    /// The node was ours, and somebody deleted it. It is about to be made anew.
    Missing,
    /// Somebody else has the node, which belongs to whoever comes first. Its end is awaited.
    Taken {
        /// Whose it is; `None` when no session owns it, which stays until somebody deletes it, or when we may not see whose it is.
        by: Option<SessionId>,
    },
    /// Another process with the same identity has taken the path after us. We do not fight; this is for good.
    Replaced,
    /// Withdrawn, or the keeper was closed. This is for good.
    Gone,
}

/// A node that is ours on the connection that is open now.
#[derive(Clone, Debug)]
pub struct Held {
    /// Where it is.
    pub path: String,
    /// The connection that it was seen on.
    pub link: Link,
    /// The transaction that made it. Unknown for a node that was made together with many others.
    pub czxid: Option<i64>,
}

impl Held {
    /// The session that owns the node.
    pub fn session(&self) -> SessionId {
        self.link.id()
    }
}

impl Presence {
    /// Wants the node of `spec` from now on. Returns at once.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for more than [`MAX_DATA`] bytes, a directory that is no path, and a name that servers refuse
    /// or that would lead out of the directory, or whose node is kept on these sessions already. Nothing is sent then. One
    /// that was withdrawn, or dropped, is no obstacle: its end is awaited first.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn hold(sessions: Sessions, spec: Spec) -> Result<Self, Error> {
        Ok(Prepared::new(&sessions, spec)?.start(sessions))
    }

    /// Wants many nodes from now on, in the order of `specs`. They share requests from the first one on.
    ///
    /// # Errors
    ///
    /// As [`hold`](Self::hold), for the first that is refused; none is wanted then.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn hold_all(sessions: &Sessions, specs: Vec<Spec>) -> Result<Vec<Self>, Error> {
        // All are counted before the first one asks whether they are many.
        let prepared = specs.into_iter().map(|spec| Prepared::new(sessions, spec));
        let prepared: Vec<_> = prepared.collect::<Result<_, _>>()?;
        Ok(prepared.into_iter().map(|prepared| prepared.start(sessions.clone())).collect())
    }

    /// Writes other data into the node, now or as soon as there is a connection. The latest wins.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for more than [`MAX_DATA`] bytes, and when the node is not wanted any more.
    pub fn update(&self, data: Vec<u8>) -> Result<(), Error> {
        check_size(&data)?;
        let wanted = self.wanted.send_if_modified(|wanted| {
            let is_wanted = wanted.is_some();
            if is_wanted {
                *wanted = Some(Arc::from(data));
            }
            is_wanted
        });
        if wanted {
            Ok(())
        } else {
            Err(Error::Invalid("the node was withdrawn: nothing is written into it".to_owned()))
        }
    }

    /// How it stands, and every change of that (fast ones may be skipped).
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Takes the node away and waits until it is gone, or until the keeper is closed.
    ///
    /// Without a connection this waits for one, and while an ACL refuses the deletion it tries again: bound it. The node
    /// does not come back in any case.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the withdrawal goes on in the background.
    pub async fn withdraw(self) {
        self.let_go();
        self.gone().await;
    }

    /// Does not want the node any more, from now on and for good. It is taken away as soon as that is possible.
    pub fn let_go(&self) {
        self.wanted.send_replace(None);
    }

    /// Waits until the node is gone for good, or the keeper is closed; see [`withdraw`](Self::withdraw) for how long that
    /// takes. One that is wanted still stays.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn gone(&self) {
        // Otherwise nothing of ours can be there, and nothing will be: there is no need to wait for a connection.
        let never_tried = !self.tried.load(Ordering::SeqCst) && self.wanted.borrow().is_none();
        if !never_tried {
            // An error says that nothing keeps the node any more.
            let over = |status: &Status| matches!(status, Status::Replaced | Status::Gone);
            let _ = self.status.clone().wait_for(over).await;
        }
    }
}

/// A presence that may begin.
struct Prepared {
    spec: Spec,
    wanted: watch::Sender<Option<Arc<[u8]>>>,
    wants: Wants,
    status: watch::Sender<Status>,
    enlisted: Enlisted,
}

impl Prepared {
    fn new(sessions: &Sessions, spec: Spec) -> Result<Self, Error> {
        spec.check()?;
        let (wanted, wants) = watch::channel(Some(Arc::from(&*spec.data)));
        let (status, told) = watch::channel(Status::Pending { problem: None });
        let enlisted = sessions.presences.enlist(spec.path(), wants.clone(), told)?;
        Ok(Self { spec, wanted, wants, status, enlisted })
    }

    fn start(self, sessions: Sessions) -> Presence {
        let Self { spec, wanted, wants, status: status_tx, enlisted } = self;
        let (status, tried) = (status_tx.subscribe(), Arc::new(AtomicBool::new(false)));
        let keeping = Keeping::new(spec, wants, status_tx, tried.clone(), enlisted);
        tokio::spawn(Box::new(keeping).run(sessions));
        Presence { wanted, status, tried }
    }
}

impl Spec {
    /// Where the node is, but for a sequence.
    fn path(&self) -> String {
        let (Name::Own(name) | Name::Contended(name) | Name::Sequential(name)) = &self.name;
        child(&self.directory, name)
    }

    fn check(&self) -> Result<(), Error> {
        check_size(&self.data)?;
        path::check(&self.directory)?;
        let (name, sequence) = match &self.name {
            Name::Own(name) | Name::Contended(name) => (name, ""),
            Name::Sequential(prefix) => (prefix, "0000000000"),
        };
        if name.is_empty() || name.contains('/') {
            let shown: String = name.chars().take(200).collect();
            return Err(Error::Invalid(format!(
                "the name {shown:?} is unusable: one that is not empty and has no '/' is accepted"
            )));
        }
        path::check(&child(&self.directory, &format!("{name}{sequence}")))
    }
}

fn check_size(data: &[u8]) -> Result<(), Error> {
    if data.len() > MAX_DATA {
        return Err(Error::Invalid(format!(
            "{} bytes of node data; at most {MAX_DATA} are accepted",
            data.len()
        )));
    }
    Ok(())
}
