//! What the command lines of our programs share: flags towards ZooKeeper and what is made of them, being asked to stop, the log,
//! what a program ends with, and what it teaches: completions for shells and manual pages.
//!
//! For binaries alone; no library of ours depends on it. What one program has and no other stays with that program.
//!
//! # Errors
//!
//! [`ending::Usage`] is for what was not understood: nothing was sent, and the program ends with [`ending::NOT_UNDERSTOOD`]. All else is told
//! on stderr by [`ending::code`], and the program ends with 1.
//!
//! # Examples
//!
//! ```
//! use cli::ending::{Usage, run};
//! use std::process::ExitCode;
//!
//! let outcome = run(async {
//!     let seconds = 70;
//!     anyhow::ensure!(seconds <= 60, Usage(format!("--for: {seconds} is more than 60")));
//!     Ok(ExitCode::SUCCESS)
//! });
//! assert!(outcome.is_err_and(|error| error.is::<Usage>())); // ending::code(outcome) is what main returns
//! ```

pub mod ending;
pub mod flags;
mod lines;
pub mod listening;
pub mod log;
pub mod output;
pub mod signals;
pub mod teaching;
pub mod zookeeper;
