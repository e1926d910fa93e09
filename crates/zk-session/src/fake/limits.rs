//! What is refused before anything is sent.

use crate::{Error, Kind, MAX_COMMIT_BYTES, MAX_DATA, MAX_OPS, Op};

/// A path that servers accept.
pub(super) fn path(path: &str) -> Result<(), Error> {
    let Some(names) = path.strip_prefix('/') else {
        return Err(Error::Invalid(format!("the path {path:?} does not begin with a slash")));
    };
    if names.is_empty() {
        return Ok(());
    }
    for name in names.split('/') {
        if matches!(name, "" | "." | "..") {
            return Err(Error::Invalid(format!(
                "the path {path:?} has the name {name:?} in it, which servers refuse"
            )));
        }
    }
    match path.chars().find(|c| unusable(*c)) {
        Some(bad) => {
            Err(Error::Invalid(format!("the path {path:?} has {bad:?} in it, which servers refuse")))
        }
        None => Ok(()),
    }
}

/// The path of a node that can be made or deleted.
pub(super) fn node_path(node: &str) -> Result<(), Error> {
    if node == "/" {
        return Err(Error::Invalid("the root can be neither made nor deleted".to_owned()));
    }
    path(node)
}

pub(super) fn data(path: &str, data: &[u8]) -> Result<(), Error> {
    if data.len() > MAX_DATA {
        return Err(Error::Invalid(format!(
            "{} bytes are too many for {path}: a node holds {MAX_DATA} at most",
            data.len()
        )));
    }
    Ok(())
}

pub(super) fn create(path: &str, bytes: &[u8], kind: Kind) -> Result<(), Error> {
    match kind {
        // A sequence can follow a bare slash.
        Kind::EphemeralSequential => self::path(&format!("{path}0"))?,
        Kind::Persistent | Kind::Container | Kind::Ephemeral => node_path(path)?,
    }
    data(path, bytes)
}

pub(super) fn commit(ops: &[Op]) -> Result<(), Error> {
    if ops.len() > MAX_OPS {
        return Err(Error::Invalid(format!(
            "{} operations are too many for one commit: it holds {MAX_OPS} at most",
            ops.len()
        )));
    }
    let mut bytes = 0;
    for op in ops {
        bytes += match op {
            Op::Check { path, .. } => {
                self::path(path)?;
                path.len()
            }
            Op::Create { path, data, kind } => {
                create(path, data, *kind)?;
                path.len() + data.len()
            }
            Op::Set { path, data, .. } => {
                self::path(path)?;
                self::data(path, data)?;
                path.len() + data.len()
            }
            Op::Delete { path, .. } => {
                node_path(path)?;
                path.len()
            }
        };
    }
    if bytes > MAX_COMMIT_BYTES {
        return Err(Error::Invalid(format!(
            "{bytes} bytes are too many for one commit: it holds {MAX_COMMIT_BYTES} at most"
        )));
    }
    Ok(())
}

fn unusable(c: char) -> bool {
    matches!(u32::from(c), 0..=0x1f | 0x7f..=0x9f | 0xd800..=0xf8ff | 0xfff0..=0xffff)
}
