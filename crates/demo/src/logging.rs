//! What the program says on stderr besides its results.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// Starts the log. `RUST_LOG` decides what is in it; without that, `usual` and each `-v` one level more.
pub(crate) fn start(usual: &str, verbose: u8) {
    let quiet = LEVELS.iter().position(|level| *level == usual).unwrap_or(0);
    let loud = (quiet + usize::from(verbose)).min(LEVELS.len() - 1);
    // The clients' libraries say at each try to connect what we say once.
    let (level, library) = (LEVELS[loud], LEVELS[loud.saturating_sub(2)]);
    // Nodes that no session owns are told of by nobody else: they are listed as all others are.
    let layout = LEVELS[loud.max(1)];
    let usual = || {
        EnvFilter::new(format!(
            "{level},registry::layout={layout},zookeeper_client={library},rumqttc={library}"
        ))
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| usual());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // Its complaint about a closed stderr would be a panic.
        .log_internal_errors(false)
        .init();
}
