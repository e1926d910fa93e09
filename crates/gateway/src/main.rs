//! The gateway as a program.

mod program;

use std::process::ExitCode;

use clap::Parser;

use crate::program::Args;

fn main() -> ExitCode {
    program::main(Args::parse())
}
