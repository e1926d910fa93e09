//! What is said on stdout and stderr.

use std::error::Error;
use std::io::{IsTerminal, Write, stderr, stdout};

use tracing_subscriber::EnvFilter;

/// An error with its causes, on one line.
pub(crate) fn chain_of(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// For whoever watches. It goes on when nobody does.
pub(crate) fn say(text: impl std::fmt::Display) {
    let mut out = stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Starts the log, which `RUST_LOG` may have otherwise.
pub(crate) fn log(verbose: u8) {
    // The client's library says at each try to connect what we say once.
    let usual = match verbose {
        0 => "info,zookeeper_client=error",
        1 => "debug,zookeeper_client=warn",
        _ => "trace,zookeeper_client=info",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        // Its complaint about a closed stderr would be a panic.
        .log_internal_errors(false);
    if let Err(error) = subscriber.try_init() {
        let _ = writeln!(stderr(), "cannot log: {}", &*error as &dyn Error);
    }
}
