//! The gateway as a program.

mod program;

use std::process::ExitCode;

use clap::Parser;

use crate::program::Args;

/// A request that is proxied allocates and frees some dozens of small pieces, and one of 8 KiB, within microseconds.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    program::main(Args::parse())
}
