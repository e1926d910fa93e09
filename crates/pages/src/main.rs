//! Says what is wrong in the pages of a repository, with file and line; the exit code is 1 then.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    let root = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    let (pages, faults) = pages::check(&root)?;
    for fault in &faults {
        eprintln!("{fault}");
    }
    if faults.is_empty() {
        println!(
            "pages: {}, links: {}, files shown: {}; all is there",
            pages.count(),
            pages.links(),
            pages.shown()
        );
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("faults: {}", faults.len());
    Ok(ExitCode::FAILURE)
}
