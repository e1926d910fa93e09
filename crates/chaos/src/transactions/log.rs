//! A file of ZooKeeper's transaction log, as its servers write it since version 3.5.
//!
//! A header of 16 bytes; then for each transaction a checksum, its length, its bytes and a 'B'; then zeros up to the end of what
//! was allocated. (`FileTxnLog.java`, `SerializeUtils.java`, `zookeeper.jute`.)

use anyhow::{bail, ensure};

use super::Transaction;
use super::jute::Input;
use crate::history::Change;

const MAGIC: &[u8] = b"ZKLG";
const END_OF_RECORD: &[u8] = b"B";

/// The numbers of those kinds of transactions that change which nodes there are (`ZooDefs.OpCode`).
mod kind {
    pub(super) const CREATE: i32 = 1;
    pub(super) const DELETE: i32 = 2;
    pub(super) const MULTI: i32 = 14;
    pub(super) const CREATE2: i32 = 15;
    pub(super) const CREATE_CONTAINER: i32 = 19;
    pub(super) const DELETE_CONTAINER: i32 = 20;
    pub(super) const CREATE_TTL: i32 = 21;
    pub(super) const CLOSE_SESSION: i32 = -11;
}

/// All transactions of a file, up to where a crash may have torn it.
pub(super) fn read(bytes: &[u8]) -> anyhow::Result<Vec<Transaction>> {
    let mut input = Input(bytes);
    // A server that was killed right after it made the file wrote nothing.
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(Vec::new());
    }
    ensure!(input.take(4)? == MAGIC, "it is no transaction log");
    let version = input.int()?;
    ensure!(version == 2, "its version is {version}, and 2 is understood");
    input.long()?;
    let mut all = Vec::new();
    while let Some(record) = next(&mut input) {
        all.push(transaction(record)?);
    }
    Ok(all)
}

/// The next record, unless the rest is empty or torn.
fn next<'a>(input: &mut Input<'a>) -> Option<&'a [u8]> {
    input.long().ok()?;
    let record = input.buffer().ok()?;
    (!record.is_empty() && input.take(1).ok()? == END_OF_RECORD).then_some(record)
}

fn transaction(record: &[u8]) -> anyhow::Result<Transaction> {
    let mut input = Input(record);
    let session = input.long()?;
    let _cxid = input.int()?;
    let (zxid, time, kind) = (input.long()?, input.long()?, input.int()?);
    Ok(Transaction { zxid, session, time, changes: changes(kind, input)? })
}

/// What a transaction of that kind changes.
fn changes(kind: i32, mut input: Input<'_>) -> anyhow::Result<Vec<Change>> {
    Ok(match kind {
        kind::CREATE | kind::CREATE2 => {
            let path = input.string()?;
            input.buffer()?;
            permissions(&mut input)?;
            vec![Change::Created { path, ephemeral: input.bool()? }]
        }
        kind::CREATE_CONTAINER | kind::CREATE_TTL => {
            vec![Change::Created { path: input.string()?, ephemeral: false }]
        }
        kind::DELETE | kind::DELETE_CONTAINER => vec![Change::Deleted { path: input.string()? }],
        kind::CLOSE_SESSION => vec![Change::SessionClosed],
        kind::MULTI => {
            let mut all = Vec::new();
            for _ in 0..input.int()? {
                let kind = input.int()?;
                all.append(&mut changes(kind, Input(input.buffer()?))?);
            }
            all
        }
        // Changes of data, errors, sessions that begin: which nodes there are stays the same.
        _ => Vec::new(),
    })
}

/// Who may do what: passed over.
fn permissions(input: &mut Input<'_>) -> anyhow::Result<()> {
    let many = input.int()?;
    if many < -1 {
        bail!("a number of permissions is {many}");
    }
    for _ in 0..many {
        input.int()?;
        input.buffer()?;
        input.buffer()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(bytes: &[u8]) -> Vec<u8> {
        [&i32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
    }

    fn create(path: &str, ephemeral: bool) -> Vec<u8> {
        let acl = [&1_i32.to_be_bytes()[..], &31_i32.to_be_bytes(), &buffer(b"world"), &buffer(b"anyone")];
        [
            &buffer(path.as_bytes())[..],
            &buffer(b"data"),
            &acl.concat(),
            &[u8::from(ephemeral)],
            &7_i32.to_be_bytes(),
        ]
        .concat()
    }

    fn record(zxid: i64, kind: i32, body: &[u8]) -> Vec<u8> {
        let header = [
            &5_i64.to_be_bytes()[..],
            &1_i32.to_be_bytes(),
            &zxid.to_be_bytes(),
            &1000_i64.to_be_bytes(),
            &kind.to_be_bytes(),
        ];
        let record = [&header.concat()[..], body].concat();
        [&99_i64.to_be_bytes()[..], &buffer(&record), b"B"].concat()
    }

    fn file(records: &[Vec<u8>]) -> Vec<u8> {
        let header = [MAGIC, &2_i32.to_be_bytes(), &0_i64.to_be_bytes()].concat();
        [&header[..], &records.concat(), &[0; 64]].concat()
    }

    fn created(path: &str, ephemeral: bool) -> Change {
        Change::Created { path: path.to_owned(), ephemeral }
    }

    #[test]
    fn what_changes_the_tree_is_read_and_all_else_passed_over() {
        let multi = [
            &2_i32.to_be_bytes()[..],
            &kind::DELETE.to_be_bytes(),
            &buffer(&buffer(b"/a")),
            &kind::CREATE.to_be_bytes(),
            &buffer(&create("/a", true)),
        ];
        let read = read(&file(&[
            record(1, -10, &2000_i32.to_be_bytes()),
            record(2, kind::CREATE2, &create("/a", true)),
            record(3, 5, b"a change of data, which is not even looked at"),
            record(4, kind::CREATE_CONTAINER, &buffer(b"/c")),
            record(5, kind::MULTI, &multi.concat()),
            record(6, kind::CLOSE_SESSION, b""),
        ]))
        .unwrap();
        let changes: Vec<_> = read.iter().map(|one| (one.zxid, one.changes.clone())).collect();
        let replaced = vec![Change::Deleted { path: "/a".into() }, created("/a", true)];
        assert_eq!(
            changes,
            [
                (1, vec![]),
                (2, vec![created("/a", true)]),
                (3, vec![]),
                (4, vec![created("/c", false)]),
                (5, replaced),
                (6, vec![Change::SessionClosed]),
            ]
        );
        assert!(read.iter().all(|one| (one.session, one.time) == (5, 1000)));
    }

    #[test]
    fn a_torn_end_is_left_out_and_nonsense_is_told() {
        let whole = file(&[
            record(1, kind::CREATE, &create("/a", true)),
            record(2, kind::CREATE, &create("/b", true)),
        ]);
        let both = whole.len() - 64;
        for length in both - 10..both {
            assert_eq!(read(&whole[..length]).unwrap().len(), 1, "{length}");
        }
        assert_eq!(read(&whole).unwrap().len(), 2);
        assert!(read(&[0; 100]).unwrap().is_empty());
        assert!(read(b"hello, this is text").is_err());
        assert!(read(&file(&[record(1, kind::CREATE, b"\0\0\0\x7f")])).is_err());
    }
}
