//! With what, and when, was it measured?

use std::process::Command;

/// The compiler that is at hand, which is the one that built this.
pub(super) fn compiler() -> String {
    let asked = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into())).arg("--version").output();
    asked.ok().and_then(|said| String::from_utf8(said.stdout).ok()).unwrap_or_default().trim().to_owned()
}

pub(super) fn today() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}
