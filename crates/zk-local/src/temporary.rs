//! A temporary folder that does not stay, also when its process is killed: the next one that makes a folder deletes it then.

use std::fs::{self, DirEntry, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;

use rustix::fs::{FlockOperation, flock};
use rustix::process::getuid;
use tempfile::TempDir;

const PREFIX: &str = "zk-local-";

/// The file in each folder that is locked as long as anybody uses it. The kernel unlocks it when all of them are gone, however they
/// ended; unlike a pid it can be nobody else's by then.
const LOCK: &str = "in-use";

/// A temporary folder, deleted with this value.
#[derive(Debug)]
pub(crate) struct Temporary {
    folder: TempDir,
    lock: File,
}

impl Temporary {
    /// Makes one, after those were deleted that killed processes have left.
    pub(crate) fn make() -> io::Result<Self> {
        let all = std::env::temp_dir();
        delete_left(&all);
        Self::make_in(&all)
    }

    fn make_in(all: &Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(all)?;
        // It gets its name when it is locked already: nobody ever finds one that only seems to be left.
        let part = folder.path().join("part");
        let lock = File::create(&part)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        fs::rename(part, folder.path().join(LOCK))?;
        Ok(Self { folder, lock })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The end of a file, to be the standard input of a process: as long as that lives the folder is in use.
    pub(crate) fn stdin(&self) -> io::Result<Stdio> {
        self.lock.try_clone().map(Stdio::from)
    }
}

/// Deletes our folders in `all` that nobody uses. What cannot be deleted stays.
fn delete_left(all: &Path) {
    let entries = fs::read_dir(all).into_iter().flatten().flatten();
    for entry in entries.filter(is_ours) {
        // As long as it is open it is locked by us, and no other process looks into it meanwhile.
        if let Some(_lock) = unused(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether it may be looked into: a stranger's folder may have anything in it.
fn is_ours(entry: &DirEntry) -> bool {
    let is_named = entry.file_name().to_string_lossy().starts_with(PREFIX);
    is_named && entry.metadata().is_ok_and(|it| it.is_dir() && it.uid() == getuid().as_raw())
}

/// The lock of a folder that nobody uses any more. One without such a file may be about to get it.
fn unused(folder: &Path) -> Option<File> {
    let lock = File::open(folder.join(LOCK)).ok()?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive).ok().map(|()| lock)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// What is left when the process is killed.
    fn kill(temporary: Temporary) -> PathBuf {
        let Temporary { folder, lock } = temporary;
        drop(lock);
        folder.keep()
    }

    #[test]
    fn what_killed_processes_left_is_deleted_and_what_somebody_uses_stays() {
        let all = tempfile::tempdir().unwrap();
        let make = || Temporary::make_in(all.path()).unwrap();
        let (ours, left, served) = (make(), kill(make()), make());
        fs::create_dir(left.join("data")).unwrap();
        // Its owner is gone, and its server is not.
        let server = served.lock.try_clone().unwrap();
        let served = kill(served);
        let young = all.path().join("zk-local-young");
        let other = all.path().join("other");
        for folder in [&young, &other] {
            fs::create_dir(folder).unwrap();
        }
        fs::write(other.join(LOCK), "").unwrap();

        delete_left(all.path());
        assert!(!left.exists());
        for kept in [ours.path(), &served, &young, &other] {
            assert!(kept.exists(), "{}", kept.display());
        }
        drop(server);
        delete_left(all.path());
        assert!(!served.exists());
    }
}
