//! Whether code that says whose it is still is.

use std::fs;
use std::path::Path;

use crate::Fault;
use crate::links::resolve;
use crate::page::{Block, Pages};

pub(crate) fn faults(root: &Path, pages: &Pages) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (path, page) in pages.iter() {
        for block in &page.blocks {
            let Some(shows) = &block.shows else { continue };
            let what = fault(root, path, shows, block);
            faults.extend(what.map(|what| Fault { page: path.to_owned(), line: block.line, what }));
        }
        for (line, shows) in &page.unheeded {
            let what = format!("shows {shows}, and no code follows");
            faults.push(Fault { page: path.to_owned(), line: *line, what });
        }
    }
    faults
}

/// `FILE`, or `FILE with OLD as NEW`: what is shown has NEW where the file has OLD.
fn fault(root: &Path, from: &Path, shows: &str, block: &Block) -> Option<String> {
    let (file, instead) = match shows.split_once(" with ") {
        Some((file, words)) => match words.split_once(" as ") {
            Some(instead) => (file, Some(instead)),
            None => return Some(format!("shows {shows}: accepted is FILE, or FILE with OLD as NEW")),
        },
        None => (shows, None),
    };
    let Some(path) = resolve(from, file) else { return Some(format!("{file} leads out of the repository")) };
    let text = match fs::read_to_string(root.join(&path)) {
        Ok(text) => text,
        Err(error) => return Some(format!("cannot read {}: {error}", path.display())),
    };
    let text = instead.map_or(text.clone(), |(old, new)| text.replace(old, new));
    let mut pairs = text.lines().zip(block.text.lines());
    match pairs.position(|(there, here)| there != here) {
        Some(line) => Some(format!("is not what {} has, from its line {} on", path.display(), line + 1)),
        None if text.lines().count() == block.text.lines().count() => None,
        None => Some(format!("is not all, or more, of what {} has", path.display())),
    }
}
