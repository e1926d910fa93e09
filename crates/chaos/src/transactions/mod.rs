//! What ZooKeeper's servers did, from the logs in which they write every transaction before they answer for it.
//!
//! That is the one account of who was registered and when which does not pass through any client.

mod jute;
mod log;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::Context;

use crate::history::Change;

/// One transaction, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transaction {
    pub(crate) zxid: i64,
    pub(crate) session: i64,
    /// Unix milliseconds, by the server that led.
    pub(crate) time: i64,
    pub(crate) changes: Vec<Change>,
}

/// What was decided, from the folders of three servers.
///
/// A transaction is decided when two of them have written it down. What only one has was never decided: that server led, and had
/// lost the others; it leaves such lines in its log when it gets the truth as a snapshot.
pub(crate) fn read(folders: &[PathBuf]) -> anyhow::Result<Vec<Transaction>> {
    let mut found: BTreeMap<i64, (usize, Transaction)> = BTreeMap::new();
    for folder in folders {
        for transaction in of_one(folder)? {
            found.entry(transaction.zxid).or_insert_with(|| (0, transaction)).0 += 1;
        }
    }
    Ok(found.into_values().filter(|(servers, _)| *servers >= 2).map(|(_, transaction)| transaction).collect())
}

fn of_one(folder: &PathBuf) -> anyhow::Result<Vec<Transaction>> {
    let doing = || format!("cannot read the transaction logs in {}", folder.display());
    let mut all = BTreeMap::new();
    for file in fs::read_dir(folder).with_context(doing)? {
        let path = file.with_context(doing)?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("log.")) {
            let bytes = fs::read(&path).with_context(doing)?;
            let transactions = log::read(&bytes).with_context(|| format!("in {}", path.display()))?;
            all.extend(transactions.into_iter().map(|transaction| (transaction.zxid, transaction)));
        }
    }
    Ok(all.into_values().collect())
}
