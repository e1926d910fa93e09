//! ZooKeeper's encoding of records: big-endian numbers, and a length before everything that has one.

use anyhow::{Context, ensure};

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn take(&mut self, many: usize) -> anyhow::Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(many).context("it ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn int(&mut self) -> anyhow::Result<i32> {
        Ok(i32::from_be_bytes(self.take(4)?.try_into()?))
    }

    pub(super) fn long(&mut self) -> anyhow::Result<i64> {
        Ok(i64::from_be_bytes(self.take(8)?.try_into()?))
    }

    pub(super) fn bool(&mut self) -> anyhow::Result<bool> {
        Ok(self.take(1)? != [0])
    }

    /// Bytes with their length; nothing is written as -1.
    pub(super) fn buffer(&mut self) -> anyhow::Result<&'a [u8]> {
        let many = self.int()?;
        ensure!(many >= -1, "a length is {many}");
        self.take(usize::try_from(many).unwrap_or(0))
    }

    pub(super) fn string(&mut self) -> anyhow::Result<String> {
        String::from_utf8(self.buffer()?.to_vec()).context("a name is not UTF-8")
    }
}
