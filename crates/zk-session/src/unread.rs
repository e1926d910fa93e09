//! What happened to the children of a node and was not looked into yet.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::path::child_of;
use crate::taking::Taking;
use crate::told::Told;
use crate::{Change, Changes, Error, What};

/// Keeps what a watch tells, by name: only the last of each counts.
///
/// It takes in what is told as it comes, whatever its reader waits for, so that what waits is bounded by the size of the directory and not by
/// how much happens: of a million changes among 10,000 nodes, no more than 10,000 are kept.
#[derive(Debug)]
pub(crate) struct Unread {
    told: Arc<Told<Last>>,
    _taking: Taking,
}

type Last = HashMap<String, Happened>;

/// What happened to a child since all was looked into.
#[derive(Debug)]
struct Happened {
    /// The last of it.
    what: What,
    /// It began with its creation, so its reader does not know that there is such a child.
    unknown: bool,
}

impl Unread {
    /// Of the children of `path`.
    pub(crate) fn new(path: &str, changes: Changes) -> Self {
        let told = Arc::new(Told::default());
        let (path, notes) = (path.to_owned(), told.clone());
        let taking = Taking::start(changes, move |next| match next {
            Some(Change { path: of, what }) => {
                if let Some(name) = child_of(&path, &of) {
                    notes.note(|last| note(last, name, what));
                }
            }
            None => notes.end(),
        });
        Self { told, _taking: taking }
    }

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
        self.told.some(|last| !last.is_empty()).await
    }

    /// All names were asked for and told: any of those that something happened to may be among them.
    pub(crate) fn were_listed(&self) {
        self.told.with(|last| last.values_mut().for_each(|happened| happened.unknown = false));
    }

    /// Whether any of them went, and whether then anybody is left: of those who are `known`, or of those who came.
    pub(crate) fn went<'a>(&self, mut known: impl Iterator<Item = &'a str>) -> Option<bool> {
        self.told.with(|last| {
            let went = |happened: &Happened| happened.what == What::Deleted;
            let left = |last: &Last| !last.values().all(went);
            last.values().any(went).then(|| left(last) || known.any(|name| !last.contains_key(name)))
        })
    }

    /// Looks into all of it, in the order of the names.
    pub(crate) fn read(&self) -> BTreeMap<String, What> {
        let read = self.told.with(std::mem::take);
        read.into_iter().map(|(name, happened)| (name, happened.what)).collect()
    }
}

/// Whether there was nothing before.
fn note(last: &mut Last, name: &str, what: What) -> bool {
    let nothing = last.is_empty();
    // Most names are here already when much happens.
    match last.get_mut(name) {
        // A name that is used once: nobody needs to know that it was. Those would be kept without end.
        Some(happened) if happened.unknown && what == What::Deleted => drop(last.remove(name)),
        Some(happened) => happened.what = what,
        None => drop(last.insert(name.to_owned(), Happened { what, unknown: what == What::Created })),
    }
    nothing
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::channel::mpsc;
    use futures::stream;

    use super::*;

    /// What happens to children of `/a`, told one after the other while nobody looks.
    fn unread(happens: impl IntoIterator<Item = (u32, What)>) -> (Unread, mpsc::UnboundedSender<Change>) {
        let (tell, told) = mpsc::unbounded();
        let unread = Unread::new("/a", Changes::new(told));
        for (name, what) in happens {
            tell.unbounded_send(change(name, what)).unwrap();
        }
        (unread, tell)
    }

    fn change(name: u32, what: What) -> Change {
        Change { path: format!("/a/n{name}"), what }
    }

    fn kept(unread: &Unread) -> usize {
        unread.told.with(|last| last.len())
    }

    #[tokio::test]
    async fn while_nobody_looks_nothing_piles_up_but_the_last_of_each() {
        let (unread, tell) = unread((0..100_000).map(|number| (number % 10, What::Changed)));
        assert!(tell.is_empty(), "nothing waits in the channel");
        assert_eq!(kept(&unread), 10);
        assert!(unread.some().now_or_never().is_some());
        assert_eq!(unread.read().len(), 10);
        assert!(unread.some().now_or_never().is_none(), "all of it was looked into");
        tell.unbounded_send(change(1, What::Changed)).unwrap();
        assert!(matches!(unread.some().now_or_never(), Some(Ok(()))));
    }

    #[test]
    fn of_each_the_last_is_told_and_nothing_of_a_name_that_was_used_once() {
        use What::{Changed, Created, Deleted};
        for (happens, told) in [
            (&[Changed][..], Some(Changed)),
            (&[Deleted], Some(Deleted)),
            (&[Created], Some(Created)),
            (&[Created, Changed], Some(Changed)),
            (&[Created, Deleted], None),
            (&[Created, Changed, Deleted], None),
            (&[Created, Deleted, Created], Some(Created)),
            (&[Created, Deleted, Created, Deleted], None),
            // There was somebody.
            (&[Deleted, Created], Some(Created)),
            (&[Deleted, Created, Deleted], Some(Deleted)),
            (&[Changed, Deleted], Some(Deleted)),
        ] {
            let (unread, _tell) = unread(happens.iter().map(|what| (7, *what)));
            assert_eq!(unread.read().get("n7"), told.as_ref(), "{happens:?}");
        }
    }

    #[test]
    fn that_somebody_is_gone_is_kept_where_it_may_have_been_listed_or_read_meanwhile() {
        for listed in [false, true] {
            let (unread, tell) = unread([(1, What::Created)]);
            if listed {
                unread.were_listed();
            } else {
                assert_eq!(unread.read().get("n1"), Some(&What::Created));
            }
            tell.unbounded_send(change(1, What::Deleted)).unwrap();
            assert_eq!(unread.read().get("n1"), Some(&What::Deleted), "{listed}");
        }
    }

    #[test]
    fn it_is_told_whether_anybody_is_left() {
        use What::{Changed, Created, Deleted};
        for (happens, known, left) in [
            (&[(1, Changed)][..], &["n1"][..], None),
            (&[(1, Deleted)], &["n1"], Some(false)),
            (&[(1, Deleted)], &["n1", "n2"], Some(true)),
            (&[(1, Deleted), (2, Deleted)], &["n1", "n2"], Some(false)),
            (&[(1, Deleted), (2, Changed)], &["n1", "n2"], Some(true)),
            (&[(1, Deleted), (3, Created)], &["n1"], Some(true)),
        ] {
            let (unread, _tell) = unread(happens.iter().copied());
            assert_eq!(unread.went(known.iter().copied()), left, "{happens:?} {known:?}");
        }
    }

    #[tokio::test]
    async fn when_the_connection_is_over_what_was_told_before_comes_first() {
        let changes = Changes::new(stream::iter([change(1, What::Created)]));
        let unread = Unread::new("/a", changes);
        assert!(unread.some().await.is_ok());
        assert_eq!(unread.read().len(), 1);
        assert!(matches!(unread.some().await, Err(Error::Interrupted)));
        assert!(matches!(unread.some().await, Err(Error::Interrupted)));
    }

    #[tokio::test]
    async fn whoever_waits_hears_that_the_connection_is_over() {
        let (unread, tell) = unread([]);
        let mut waiting = std::pin::pin!(unread.some());
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(tell);
        assert!(matches!(waiting.await, Err(Error::Interrupted)));
    }
}
