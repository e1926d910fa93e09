//! Checks the documentation of this repository without a network: `cargo run -p pages`.
//!
//! Of every Markdown file: that what it links to is there, and the heading too where a link names one; that code which says whose it is
//! (`<!-- shows ../examples/first/src/main.rs -->` before the block) is that file, or the part of it that is named
//! (`<!-- shows ../examples/tests/shown.rs at leading -->`), and that all Rust says so; that the programs and targets that a command
//! names exist. And that the book has every page of docs/ and what these link to. What is wrong is told with file and line, and the exit code is 1.

mod anchor;
mod book;
mod commands;
mod links;
mod page;
mod shown;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use crate::page::Pages;

/// Something wrong in a page.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fault {
    /// The page, from the root of the repository.
    page: PathBuf,
    line: usize,
    what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.page.display(), self.line, self.what)
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let root = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    let (pages, faults) = check(&root)?;
    for fault in &faults {
        eprintln!("{fault}");
    }
    if faults.is_empty() {
        println!(
            "pages: {}, links: {}, files shown: {}; all is there",
            pages.len(),
            pages.links(),
            pages.shown()
        );
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("faults: {}", faults.len());
    Ok(ExitCode::FAILURE)
}

fn check(root: &Path) -> anyhow::Result<(Pages, Vec<Fault>)> {
    let pages = Pages::read(root).with_context(|| format!("cannot read the pages in {}", root.display()))?;
    let mut faults = links::faults(root, &pages);
    faults.extend(shown::faults(root, &pages));
    faults.extend(commands::faults(root, &pages)?);
    faults.extend(book::faults(root, &pages)?);
    faults.sort();
    Ok((pages, faults))
}
