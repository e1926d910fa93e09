//! Whether the book has every page of docs/, and what these link to.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::Context;

use crate::Fault;
use crate::links::{is_elsewhere, resolve};
use crate::page::{Pages, To};

/// The table of contents, where there is a book.
const SUMMARY: &str = "docs/SUMMARY.md";
/// What renders it, and puts beside it what pages link to.
const SCRIPT: &str = "scripts/book.sh";

pub(crate) fn faults(root: &Path, pages: &Pages) -> anyhow::Result<Vec<Fault>> {
    let mut faults = left_out(pages);
    let beside = beside(root).with_context(|| format!("cannot read {SCRIPT}"))?;
    for (path, page) in pages.iter().filter(|(path, _)| path.starts_with("docs")) {
        for link in &page.links {
            let To::Target(target) = &link.to else { continue };
            let what = lost(path, target, &beside);
            faults.extend(what.map(|what| Fault { page: path.to_owned(), line: link.line, what }));
        }
    }
    Ok(faults)
}

/// Pages that are no chapter.
fn left_out(pages: &Pages) -> Vec<Fault> {
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

/// The folders that the script copies beside the pages.
fn beside(root: &Path) -> io::Result<Vec<PathBuf>> {
    let script = match fs::read_to_string(root.join(SCRIPT)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        script => script?,
    };
    let copies = script.lines().filter_map(|line| line.strip_prefix("cp -r ")?.strip_suffix(r#" "$book/""#));
    Ok(copies.flat_map(str::split_whitespace).map(PathBuf::from).collect())
}

/// Why a link that is good in a checkout leads nowhere in the book.
fn lost(from: &Path, target: &str, beside: &[PathBuf]) -> Option<String> {
    if is_elsewhere(target) {
        return None;
    }
    let path = resolve(from, target.split('#').next()?)?;
    if target.starts_with('#') || path.starts_with("docs") {
        return None;
    }
    // Whatever ends like this is linked to as a page of the book, also where it is none.
    let is_page = path.extension().is_some_and(|extension| extension == "md");
    (is_page || !beside.iter().any(|folder| path.starts_with(folder)))
        .then(|| format!("{target} leads to {}, which the book does not have", path.display()))
}
