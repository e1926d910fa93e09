//! Whether the book has every page of docs/.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::Fault;
use crate::links::resolve;
use crate::page::{Pages, To};

/// The table of contents, where there is a book.
const SUMMARY: &str = "docs/SUMMARY.md";

pub(crate) fn faults(pages: &Pages) -> Vec<Fault> {
    let summary = Path::new(SUMMARY);
    let Some(contents) = pages.get(summary) else { return Vec::new() };
    let chapters: HashSet<PathBuf> = contents
        .links
        .iter()
        .filter_map(|link| match &link.to {
            To::Target(target) => resolve(summary, target),
            To::Undefined(_) => None,
        })
        .collect();
    pages
        .iter()
        .filter(|(path, _)| path.starts_with("docs") && *path != summary && !chapters.contains(*path))
        .map(|(path, _)| Fault {
            page: summary.to_owned(),
            line: 1,
            what: format!("{} is no chapter of the book", path.display()),
        })
        .collect()
}
