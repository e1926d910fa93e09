//! Checks the documentation of this repository without a network: `cargo run -p pages`.
//!
//! Of every Markdown file: that what it links to is there, and the heading too where a link names one; that code which says whose it is
//! (`<!-- shows ../examples/first/src/main.rs -->` before the block) is that file, or the part of it that is named
//! (`<!-- shows ../examples/tests/shown.rs at leading -->`), and that all Rust says so; that the programs and targets that a command
//! names exist. And that the book has every page of docs/ and what these link to.
//!
//! What a command line says to one of our programs is for that program to judge, in a test: by [`misunderstood`].
//!
//! # Errors
//!
//! What is wrong in a page is no error but a [`Fault`], with file and line. An error is what kept the pages from being read.
//!
//! # Examples
//!
//! ```
//! let root = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
//! let (pages, faults) = pages::check(root)?;
//! assert!(pages.count() > 0);
//! for fault in faults {
//!     eprintln!("{fault}");
//! }
//! # anyhow::Ok(())
//! ```

mod anchor;
mod book;
mod commands;
mod links;
mod page;
mod said;
mod shell;
mod shown;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context;

pub use self::page::Pages;
pub use self::said::misunderstood;

/// Something wrong in a page.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
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

/// Reads the pages below a folder, and says what is wrong in them.
///
/// # Errors
///
/// When something cannot be read.
pub fn check(root: &Path) -> anyhow::Result<(Pages, Vec<Fault>)> {
    let pages = Pages::read(root).with_context(|| format!("cannot read the pages in {}", root.display()))?;
    let mut faults = links::faults(root, &pages);
    faults.extend(shown::faults(root, &pages));
    faults.extend(commands::faults(root, &pages)?);
    faults.extend(book::faults(root, &pages)?);
    faults.sort();
    Ok((pages, faults))
}
