//! The folder in which a server lives: its configuration, its log and its data.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::error::{Error, cannot};
use crate::temporary::Temporary;

/// A folder of one server: a temporary one, deleted with this value, or one that somebody named, which stays.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    temporary: Option<Temporary>,
}

/// The data of a server at one moment.
#[derive(Debug)]
pub struct Snapshot(Temporary);

impl Snapshot {
    fn versions(&self) -> PathBuf {
        self.0.path().join("versions")
    }
}

impl Folder {
    pub(crate) fn temporary() -> Result<Self, Error> {
        let temporary = Temporary::make().map_err(cannot("make a temporary folder"))?;
        let folder = Self { path: temporary.path().into(), temporary: Some(temporary) };
        folder.with_data()
    }

    pub(crate) fn named(path: &Path) -> Result<Self, Error> {
        let doing = || format!("make the folder {}", path.display());
        fs::create_dir_all(path).map_err(cannot(doing()))?;
        // The server is started in another working folder than ours.
        let path = path.canonicalize().map_err(cannot(doing()))?;
        Self { path, temporary: None }.with_data()
    }

    fn with_data(self) -> Result<Self, Error> {
        let data = self.data();
        fs::create_dir_all(&data).map_err(cannot(format!("make the folder {}", data.display())))?;
        Ok(self)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path.join("zoo.cfg")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// What a server of this folder has as its standard input: nothing to read.
    pub(crate) fn stdin(&self) -> Result<Stdio, Error> {
        let stdin = self.temporary.as_ref().map_or_else(|| Ok(Stdio::null()), Temporary::stdin);
        stdin.map_err(cannot("open a file in a temporary folder once more"))
    }

    /// Says which member of its ensemble the server is.
    pub(crate) fn set_id(&self, id: usize) -> Result<(), Error> {
        let path = self.data().join("myid");
        fs::write(&path, id.to_string()).map_err(cannot(format!("write {}", path.display())))
    }

    pub(crate) fn snapshot(&self) -> Result<Snapshot, Error> {
        let snapshot = Snapshot(Temporary::make().map_err(cannot("make a temporary folder"))?);
        copy_all(&self.versions(), &snapshot.versions()).map_err(cannot("copy a server's data"))?;
        Ok(snapshot)
    }

    pub(crate) fn restore(&self, snapshot: &Snapshot) -> Result<(), Error> {
        self.wipe()?;
        copy_all(&snapshot.versions(), &self.versions()).map_err(cannot("put a server's data back"))
    }

    /// Deletes the data, but not the server's number in its ensemble.
    pub(crate) fn wipe(&self) -> Result<(), Error> {
        match fs::remove_dir_all(self.versions()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(cannot("delete a server's data")(error))
            }
            _ => Ok(()),
        }
    }

    /// Where the server keeps its transaction logs and snapshots. Beside it is its number in the ensemble.
    pub(crate) fn versions(&self) -> PathBuf {
        self.data().join("version-2")
    }
}

/// Copies a folder of files and folders, if it is there.
fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    fs::create_dir_all(to)?;
    for entry in entries {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_all(&from, &to)?;
        } else {
            fs::copy(from, to)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restored_data_are_what_they_were_and_nothing_else() {
        let folder = Folder::temporary().unwrap();
        folder.set_id(3).unwrap();
        let versions = folder.versions();
        fs::create_dir_all(&versions).unwrap();
        fs::write(versions.join("log.1"), "early").unwrap();
        let snapshot = folder.snapshot().unwrap();

        fs::write(versions.join("log.1"), "late").unwrap();
        fs::write(versions.join("log.2"), "later").unwrap();
        folder.restore(&snapshot).unwrap();
        assert_eq!(fs::read_to_string(versions.join("log.1")).unwrap(), "early");
        assert!(!versions.join("log.2").exists());
        assert_eq!(fs::read_to_string(folder.data().join("myid")).unwrap(), "3");
    }

    #[test]
    fn an_empty_server_can_be_wiped_and_restored() {
        let folder = Folder::temporary().unwrap();
        let empty = folder.snapshot().unwrap();
        folder.wipe().unwrap();
        fs::create_dir_all(folder.versions()).unwrap();
        fs::write(folder.versions().join("log.1"), "x").unwrap();
        folder.restore(&empty).unwrap();
        assert!(!folder.versions().join("log.1").exists());
    }

    #[test]
    fn a_temporary_folder_goes_and_a_named_one_stays() {
        let temporary = Folder::temporary().unwrap();
        let path = temporary.path().to_owned();
        drop(temporary);
        assert!(!path.exists());

        let outer = tempfile::tempdir().unwrap();
        drop(Folder::named(&outer.path().join("a/b")).unwrap());
        assert!(outer.path().join("a/b/data").exists());
    }
}
