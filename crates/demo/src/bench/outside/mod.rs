//! What somebody else does while we are measured: fills directories, reads them, changes what is in them, and ends sessions that are not his.

pub(crate) mod changes;
pub(crate) mod expiring;
pub(crate) mod reader;
pub(crate) mod writer;
