//! A temporary folder that does not stay, also when its process is killed: a later process that makes one deletes it then.

use std::fs::{self, DirEntry, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::getuid;

/// The file in each folder that is locked as long as anybody uses it. The kernel unlocks it when all of them are gone, however they
/// ended; unlike a pid it can be nobody else's by then.
const LOCK: &str = "in-use";
/// What that file is called where it cannot be locked: nobody takes such a folder for one that was left.
const NO_LOCK: &str = "cannot-be-locked";
/// How often somebody may take a new folder for one that was left, which it looks like until it is locked.
const ATTEMPTS: usize = 5;

/// A temporary folder, deleted with this value.
#[derive(Debug)]
pub(crate) struct Temporary {
    path: PathBuf,
    lock: Option<File>,
}

/// Where such folders are, and how the names of those begin that we may delete.
#[derive(Clone, Debug)]
struct Place {
    all: PathBuf,
    prefix: String,
}

impl Temporary {
    /// Makes one. The first in a process has those deleted that killed processes have left.
    pub(crate) fn make() -> io::Result<Self> {
        static BEGUN: AtomicBool = AtomicBool::new(false);
        let place = Place::on_this_machine();
        let made = Self::make_in(&place, lock)?;
        place.delete_left_once(&BEGUN);
        Ok(made)
    }

    fn make_in(place: &Place, lock: impl Fn(&File) -> Result<(), Errno>) -> io::Result<Self> {
        let mut attempt = 1;
        loop {
            let folder = tempfile::Builder::new().prefix(&place.prefix).tempdir_in(&place.all)?;
            match hold(folder.path(), &lock) {
                Ok(lock) => return Ok(Self { path: folder.keep(), lock }),
                Err(_) if attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The end of a file, to be the standard input of a process: as long as that lives the folder is in use.
    pub(crate) fn stdin(&self) -> io::Result<Stdio> {
        self.lock.as_ref().map_or_else(|| Ok(Stdio::null()), |lock| lock.try_clone().map(Stdio::from))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = delete(&self.path);
    }
}

impl Place {
    /// The names say since which start of the machine a folder is there. Another machine may share the files and know nothing
    /// of our locks. Where the kernel does not say, a number takes its place that nobody else has.
    fn on_this_machine() -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot = match boot.trim() {
            "" => rand::random::<u64>().to_string(),
            boot => boot.to_owned(),
        };
        Self { all: std::env::temp_dir(), prefix: format!("zk-local-{boot}-") }
    }

    /// Deletes what is left unless that was begun. It has a thread to itself: there may be much, nobody waits for it, and a
    /// process that ends meanwhile leaves the rest to the next one.
    fn delete_left_once(self, begun: &AtomicBool) -> Option<JoinHandle<()>> {
        if begun.swap(true, Ordering::Relaxed) {
            return None;
        }
        thread::Builder::new().name("zk-local-left".into()).spawn(move || self.delete_left()).ok()
    }

    /// Deletes our folders that nobody uses. What cannot be deleted stays.
    fn delete_left(&self) {
        let entries = fs::read_dir(&self.all).into_iter().flatten().flatten();
        for folder in entries.filter(|entry| self.is_ours(entry)).map(|entry| entry.path()) {
            // Who made an empty one was killed before it was locked, or when all else was deleted. Who is about to lock it
            // finds that it is gone, and makes another.
            let _ = fs::remove_dir(&folder);
            // As long as it is open it is locked by us, and no other process looks into it meanwhile.
            if let Some(_lock) = unused(&folder) {
                let _ = delete(&folder);
            }
        }
    }

    /// Whether it may be looked into: a stranger's folder may have anything in it.
    fn is_ours(&self, entry: &DirEntry) -> bool {
        let is_named = entry.file_name().to_string_lossy().starts_with(&self.prefix);
        is_named && entry.metadata().is_ok_and(|it| it.is_dir() && it.uid() == getuid().as_raw())
    }
}

/// Says that a new folder is in use: by a locked file, where files can be locked. An error if it was taken for one that was left.
fn hold(folder: &Path, lock: impl Fn(&File) -> Result<(), Errno>) -> io::Result<Option<File>> {
    let path = folder.join(LOCK);
    let file = File::create(&path)?;
    match lock(&file) {
        // What somebody deletes was locked by them until it was gone.
        Ok(()) => fs::metadata(path).map(|_| Some(file)),
        Err(Errno::WOULDBLOCK) => Err(Errno::WOULDBLOCK.into()),
        Err(_) => fs::rename(path, folder.join(NO_LOCK)).map(|()| None),
    }
}

fn lock(file: &File) -> Result<(), Errno> {
    flock(file, FlockOperation::NonBlockingLockExclusive)
}

/// The lock of a folder that nobody uses any more.
fn unused(folder: &Path) -> Option<File> {
    let file = File::open(folder.join(LOCK)).ok()?;
    lock(&file).ok().map(|()| file)
}

/// Deletes a folder in such an order that what an early end leaves is deleted by others later.
fn delete(folder: &Path) -> io::Result<()> {
    for entry in lock_last(folder)? {
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    fs::remove_dir(folder)
}

/// What is in a folder, the file last that tells others how to go on.
fn lock_last(folder: &Path) -> io::Result<Vec<DirEntry>> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(|entry| entry.file_name() == LOCK);
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::mem;

    use super::*;

    /// A place that nobody else knows.
    fn place(outer: &tempfile::TempDir) -> Place {
        Place { all: outer.path().to_owned(), ..Place::on_this_machine() }
    }

    fn make(place: &Place) -> Temporary {
        Temporary::make_in(place, lock).unwrap()
    }

    /// What is left when the process is killed.
    fn kill(mut temporary: Temporary) -> PathBuf {
        drop(temporary.lock.take());
        let path = temporary.path.clone();
        mem::forget(temporary);
        path
    }

    #[test]
    fn what_killed_processes_left_is_deleted_and_what_somebody_uses_stays() {
        let outer = tempfile::tempdir().unwrap();
        let place = place(&outer);
        let (ours, left, served) = (make(&place), kill(make(&place)), make(&place));
        fs::create_dir(left.join("data")).unwrap();
        // Its owner is gone, and its server is not.
        let server = served.lock.as_ref().unwrap().try_clone().unwrap();
        let served = kill(served);
        let other = place.all.join("other");
        fs::create_dir(&other).unwrap();
        fs::write(other.join(LOCK), "").unwrap();

        place.delete_left();
        assert!(!left.exists());
        for kept in [ours.path(), &served, &other] {
            assert!(kept.exists(), "{}", kept.display());
        }
        drop(server);
        place.delete_left();
        assert!(!served.exists());
    }

    #[test]
    fn what_another_machine_shares_with_us_stays() {
        let outer = tempfile::tempdir().unwrap();
        let ours = place(&outer);
        let theirs = Place { prefix: "zk-local-another-start-".into(), ..ours.clone() };
        let kept = kill(make(&theirs));
        ours.delete_left();
        assert!(kept.exists());
        theirs.delete_left();
        assert!(!kept.exists());
    }

    #[test]
    fn an_empty_folder_is_left_from_a_start_or_from_an_end() {
        let outer = tempfile::tempdir().unwrap();
        let place = place(&outer);
        let empty = place.all.join(format!("{}x", place.prefix));
        fs::create_dir(&empty).unwrap();
        place.delete_left();
        assert!(!empty.exists());
    }

    #[test]
    fn the_lock_goes_last() {
        let outer = tempfile::tempdir().unwrap();
        // Whatever the order of a file system, it is not the last one by chance.
        for name in (0..20).map(|n| n.to_string()).chain([LOCK.into()]).chain((20..40).map(|n| n.to_string()))
        {
            fs::write(outer.path().join(name), "").unwrap();
        }
        let order = lock_last(outer.path()).unwrap();
        assert_eq!((order.len(), order[40].file_name()), (41, LOCK.into()));
    }

    #[test]
    fn a_dropped_one_goes_with_all_that_is_in_it() {
        let outer = tempfile::tempdir().unwrap();
        let made = make(&place(&outer));
        fs::create_dir_all(made.path().join("data/version-2")).unwrap();
        fs::write(made.path().join("data/version-2/log.1"), "x").unwrap();
        fs::write(made.path().join("log"), "x").unwrap();
        drop(made);
        assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 0);
    }

    #[test]
    fn one_that_is_deleted_before_it_is_locked_is_made_anew() {
        let outer = tempfile::tempdir().unwrap();
        let place = place(&outer);
        let attempts = Cell::new(0);
        let made = Temporary::make_in(&place, |file| {
            attempts.set(attempts.get() + 1);
            if attempts.get() == 1 {
                place.delete_left();
            }
            // Somebody has locked it, and will delete it.
            if attempts.get() == 2 { Err(Errno::WOULDBLOCK) } else { lock(file) }
        })
        .unwrap();
        assert_eq!(attempts.get(), 3);
        place.delete_left();
        assert!(made.path().join(LOCK).exists());
        assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 1);
    }

    #[test]
    fn where_nothing_can_be_locked_a_folder_is_made_all_the_same_and_nobody_deletes_it() {
        let outer = tempfile::tempdir().unwrap();
        let place = place(&outer);
        let made = Temporary::make_in(&place, |_| Err(Errno::NOTSUP)).unwrap();
        made.stdin().unwrap();
        place.delete_left();
        assert!(made.path().exists());
        drop(made);
        assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_process_deletes_once_what_was_left() {
        let outer = tempfile::tempdir().unwrap();
        let place = place(&outer);
        let left = kill(make(&place));
        let begun = AtomicBool::new(false);
        place.clone().delete_left_once(&begun).unwrap().join().unwrap();
        assert!(!left.exists());
        assert!(place.delete_left_once(&begun).is_none());
    }
}
