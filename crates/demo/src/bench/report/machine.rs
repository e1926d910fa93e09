//! On what, and with what, was it measured?

use std::fs;

/// The processor, the kernel and the number of cores.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let model = model.trim_start_matches([' ', '\t', ':']);
    format!("{cores} cores; {model}; {} {}", std::env::consts::OS, kernel.trim())
}

/// What was measured, for the record.
pub(crate) fn clients() -> String {
    let build =
        if cfg!(debug_assertions) { "built for debugging, which makes it slow" } else { "release build" };
    format!("zookeeper-client {}, headkeeper {}, {build}", client(), env!("CARGO_PKG_VERSION"))
}

/// The version of the client that all of this stands on, as it was built in.
fn client() -> &'static str {
    let lock = include_str!("../../../../../Cargo.lock");
    let entry = lock.split_once("name = \"zookeeper-client\"\nversion = \"").map_or("", |(_, rest)| rest);
    entry.split('"').next().unwrap_or_default()
}
