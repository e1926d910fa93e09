//! A node that this process wants to exist.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use crate::keeping::{self, Keeping, Place};
use crate::path::{self, child};
use crate::wish::{Wants, Wish};
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
    wish: Arc<Wish>,
    status: watch::Receiver<Status>,
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
    /// Another process with the same identity has taken the path after us. We do not fight; this is for good. If our session
    /// ended meanwhile, this is told once it is known that the other one's lives: two session timeouts after we are back.
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
    /// Why what it should say was not written into it, if a server refuses that. It is tried again.
    pub problem: Option<Error>,
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
        let (presence, keeping) = Self::prepare(&sessions, spec, &mut None)?;
        tokio::spawn(Box::new(keeping).run(sessions));
        Ok(presence)
    }

    /// Wants many nodes from now on, in the order of `specs`. They share requests from the first one on, and those of one
    /// directory a task, for as long as nothing happens to one of them alone.
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
        let (mut presences, mut all) = (Vec::with_capacity(specs.len()), Vec::with_capacity(specs.len()));
        let mut directory = None;
        for spec in specs {
            let (presence, keeping) = Self::prepare(sessions, spec, &mut directory)?;
            presences.push(presence);
            all.push(keeping);
        }
        keeping::start(all, sessions);
        Ok(presences)
    }

    /// All that can be refused is refused here. `known` is a directory that was checked: most of many nodes are in the same.
    fn prepare(
        sessions: &Sessions,
        spec: Spec,
        known: &mut Option<Arc<str>>,
    ) -> Result<(Self, Keeping), Error> {
        let directory = match known {
            Some(known) if **known == *spec.directory => known.clone(),
            _ => {
                path::check(&spec.directory)?;
                known.insert(spec.directory.as_str().into()).clone()
            }
        };
        let path: Arc<str> = spec.path()?.into();
        let wish = Wish::new(spec.data);
        let (status_tx, status) = watch::channel(Status::Pending { problem: None });
        let enlisted = sessions.presences.enlist(path.clone(), wish.clone(), status.clone())?;
        let place = Place { directory, path, name: spec.name, parents: spec.parents };
        let keeping = Keeping::new(place, Wants::new(wish.clone()), status_tx, enlisted);
        Ok((Self { wish, status }, keeping))
    }

    /// Writes other data into the node, now or as soon as there is a connection. The latest wins.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for more than [`MAX_DATA`] bytes, and when the node is not wanted any more.
    pub fn update(&self, data: Vec<u8>) -> Result<(), Error> {
        check_size(&data)?;
        if self.wish.update(data) {
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
        self.wish.let_go();
    }

    /// Waits until the node is gone for good, or the keeper is closed; see [`withdraw`](Self::withdraw) for how long that
    /// takes. One that is wanted still stays.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn gone(&self) {
        // Otherwise nothing of ours can be there, and nothing will be: there is no need to wait for a connection.
        if self.wish.leaves_something() {
            // An error says that nothing keeps the node any more.
            let over = |status: &Status| matches!(status, Status::Replaced | Status::Gone);
            let _ = self.status.clone().wait_for(over).await;
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl Spec {
    /// Where the node is, but for a sequence. The directory was checked.
    fn path(&self) -> Result<String, Error> {
        check_size(&self.data)?;
        let (Name::Own(name) | Name::Contended(name) | Name::Sequential(name)) = &self.name;
        if name.is_empty() || name.contains('/') {
            let shown: String = name.chars().take(200).collect();
            return Err(Error::Invalid(format!(
                "the name {shown:?} is unusable: one that is not empty and has no '/' is accepted"
            )));
        }
        let path = child(&self.directory, name);
        match &self.name {
            Name::Own(_) | Name::Contended(_) => path::check(&path)?,
            Name::Sequential(_) => path::check(&format!("{path}0000000000"))?,
        }
        Ok(path)
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
