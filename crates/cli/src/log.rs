//! What a program says on stderr besides its results.

use std::io::{IsTerminal, stderr};

use clap::Args;
use tracing_subscriber::EnvFilter;

use crate::output::{chain, complain};

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// How much is said.
#[derive(Args, Clone, Copy, Debug, Default)]
#[group(skip)]
pub struct Verbosity {
    /// Say more on stderr; twice for much more
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

impl Verbosity {
    /// Starts the log. `RUST_LOG` decides what is in it; without that, `usual` and each `-v` one level more.
    pub fn start(self, usual: &str) {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|error| {
            if std::env::var_os(EnvFilter::DEFAULT_ENV).is_some() {
                complain(&format!("RUST_LOG is not understood and does not count: {}", chain(&error)));
            }
            EnvFilter::new(self.filter(usual))
        });
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(stderr)
            .with_ansi(stderr().is_terminal())
            // Its complaint about a closed stderr would be a panic.
            .log_internal_errors(false);
        if let Err(error) = log.try_init() {
            complain(&format!("cannot log: {}", chain(&*error)));
        }
    }

    fn filter(self, usual: &str) -> String {
        let quiet = LEVELS.iter().position(|level| *level == usual).unwrap_or(0);
        let loud = (quiet + usize::from(self.verbose)).min(LEVELS.len() - 1);
        // The clients' libraries say at each try to connect what we say once.
        let (level, library) = (LEVELS[loud], LEVELS[loud.saturating_sub(2)]);
        // Nodes that no session owns are told of by nobody else: they are listed as all others are.
        let layout = LEVELS[loud.max(1)];
        format!("{level},registry::layout={layout},zookeeper_client={library},rumqttc={library}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_v_is_one_level_more_and_libraries_say_less() {
        let filter = |usual, verbose| Verbosity { verbose }.filter(usual);
        let of = |level, layout, library| {
            format!("{level},registry::layout={layout},zookeeper_client={library},rumqttc={library}")
        };
        assert_eq!(filter("error", 0), of("error", "warn", "error"));
        assert_eq!(filter("info", 0), of("info", "info", "error"));
        assert_eq!(filter("info", 1), of("debug", "debug", "warn"));
        assert_eq!(filter("warn", 9), of("trace", "trace", "info"));
    }
}
