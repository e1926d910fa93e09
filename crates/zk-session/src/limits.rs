//! How much one request may hold. Servers drop the connection without an answer at about 1 MiB, and with it every
//! other request that is under way; a repetition does the same again.

use crate::path;
use crate::{Error, Kind, MAX_COMMIT_BYTES, MAX_DATA, MAX_OPS, Op};

pub(crate) fn check_data(path: &str, data: &[u8]) -> Result<(), Error> {
    if data.len() > MAX_DATA {
        return Err(Error::Invalid(format!(
            "the data for {path} has {} bytes: up to {MAX_DATA} are accepted",
            data.len()
        )));
    }
    Ok(())
}

pub(crate) fn check_create(path: &str, data: &[u8], kind: Kind) -> Result<(), Error> {
    match kind {
        Kind::EphemeralSequential => path::check_prefix(path)?,
        Kind::Persistent | Kind::Container | Kind::Ephemeral => path::check_node(path)?,
    }
    check_data(path, data)
}

pub(crate) fn check_commit(ops: &[Op]) -> Result<(), Error> {
    if ops.len() > MAX_OPS {
        return Err(Error::Invalid(format!(
            "a commit of {} operations: up to {MAX_OPS} are accepted",
            ops.len()
        )));
    }
    let mut bytes = 0;
    for op in ops {
        bytes += match op {
            Op::Check { path, .. } => {
                path::check(path)?;
                path.len()
            }
            Op::Delete { path, .. } => {
                path::check_node(path)?;
                path.len()
            }
            Op::Create { path, data, kind } => {
                check_create(path, data, *kind)?;
                path.len() + data.len()
            }
            Op::Set { path, data, .. } => {
                path::check(path)?;
                check_data(path, data)?;
                path.len() + data.len()
            }
        };
    }
    if bytes > MAX_COMMIT_BYTES {
        return Err(Error::Invalid(format!(
            "a commit with {bytes} bytes of paths and data: up to {MAX_COMMIT_BYTES} are accepted"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(bytes: usize) -> Op {
        Op::Set { path: "/a".to_owned(), data: vec![0; bytes], version: None }
    }

    #[test]
    fn what_is_too_large_is_refused_with_both_sizes() {
        assert!(check_data("/a", &vec![0; MAX_DATA]).is_ok());
        let refused = check_data("/a", &vec![0; MAX_DATA + 1]);
        assert!(
            matches!(refused, Err(Error::Invalid(text)) if text.contains("65537") && text.contains("65536"))
        );

        assert!(check_commit(&vec![set(1); MAX_OPS]).is_ok());
        let refused = check_commit(&vec![set(1); MAX_OPS + 1]);
        assert!(matches!(refused, Err(Error::Invalid(text)) if text.contains("501") && text.contains("500")));

        let eight = vec![set(MAX_DATA - 2); 8];
        assert!(check_commit(&eight).is_ok());
        let refused = check_commit(&[eight, vec![set(1)]].concat());
        assert!(
            matches!(refused, Err(Error::Invalid(text)) if text.contains("524291") && text.contains("524288"))
        );
        assert!(matches!(check_commit(&[set(MAX_DATA + 1)]), Err(Error::Invalid(_))));
    }

    #[test]
    fn every_path_of_a_commit_is_checked() {
        let bad = || "/a//b".to_owned();
        let table = [
            Op::Check { path: bad(), version: None },
            Op::Create { path: bad(), data: vec![], kind: Kind::Ephemeral },
            Op::Set { path: bad(), data: vec![], version: None },
            Op::Delete { path: bad(), version: None },
        ];
        for op in table {
            assert!(matches!(check_commit(std::slice::from_ref(&op)), Err(Error::Invalid(_))), "{op:?}");
        }
    }
}
