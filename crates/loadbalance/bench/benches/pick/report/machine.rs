//! On what, with what and when was it measured?

use std::fs;
use std::process::Command;

/// The processor, the kernel and the number of cores.
pub(super) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = |name| info.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let value = |name| line(name).trim_start_matches([' ', '\t', ':']).to_owned();
    format!(
        "{cores} cores; {} family {} model {}; {} {}",
        value("model name"),
        value("cpu family"),
        value("model\t"),
        std::env::consts::OS,
        kernel.trim()
    )
}

/// The compiler that is at hand, which is the one that built this.
pub(super) fn compiler() -> String {
    let asked = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into())).arg("--version").output();
    asked.ok().and_then(|said| String::from_utf8(said.stdout).ok()).unwrap_or_default().trim().to_owned()
}

pub(super) fn today() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}
