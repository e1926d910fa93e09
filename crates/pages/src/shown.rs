//! Whether code that says whose it is still is, and whether all Rust says so.

use std::fs;
use std::path::Path;

use crate::Fault;
use crate::links::resolve;
use crate::page::{Block, Pages};

pub(crate) fn faults(root: &Path, pages: &Pages) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (path, page) in pages.iter() {
        for block in &page.blocks {
            let what = match &block.shows {
                Some(shows) => fault(root, path, shows, block),
                // What nobody compiles is wrong one day, and a reader copies it.
                None if is_rust(block) => {
                    Some("is Rust of no file: say <!-- shows FILE --> before it".to_owned())
                }
                None => None,
            };
            faults.extend(what.map(|what| Fault { page: path.to_owned(), line: block.line, what }));
        }
        for (line, shows) in &page.unheeded {
            let what = format!("shows {shows}, and no code follows");
            faults.push(Fault { page: path.to_owned(), line: *line, what });
        }
    }
    faults
}

/// `rust`, also with a word such as `ignore` after it.
fn is_rust(block: &Block) -> bool {
    block.language.split([',', ' ']).next() == Some("rust")
}

/// `FILE`; `FILE at NAME`: the part of that name; `FILE with OLD as NEW`: what is shown has NEW where the file has OLD.
fn fault(root: &Path, from: &Path, shows: &str, block: &Block) -> Option<String> {
    let (shows, instead) = match shows.split_once(" with ") {
        Some((shows, words)) => match words.split_once(" as ") {
            Some(instead) => (shows, Some(instead)),
            None => return Some(format!("shows {shows} with {words}: accepted is FILE with OLD as NEW")),
        },
        None => (shows, None),
    };
    let (file, name) = match shows.split_once(" at ") {
        Some((file, name)) => (file, Some(name)),
        None => (shows, None),
    };
    let Some(path) = resolve(from, file) else { return Some(format!("{file} leads out of the repository")) };
    let text = match fs::read_to_string(root.join(&path)) {
        Ok(text) => text,
        Err(error) => return Some(format!("cannot read {}: {error}", path.display())),
    };
    let text = match name {
        Some(name) => match part(&text, name) {
            Some(part) => part,
            None => return Some(format!("{} has no part {name}", path.display())),
        },
        None => text,
    };
    let text = instead.map_or(text.clone(), |(old, new)| text.replace(old, new));
    let mut pairs = text.lines().zip(block.text.lines());
    match pairs.position(|(there, here)| there != here) {
        Some(line) => Some(format!("is not what {} has, from its line {} on", path.display(), line + 1)),
        None if text.lines().count() == block.text.lines().count() => None,
        None => Some(format!("is not all, or more, of what {} has", path.display())),
    }
}

/// What a file has between `// ANCHOR: NAME` and `// ANCHOR_END: NAME`, moved to the left.
fn part(text: &str, name: &str) -> Option<String> {
    let is = |line: &str, word: &str| line.trim().strip_prefix(word).is_some_and(|rest| rest.trim() == name);
    let mut lines = text.lines().skip_while(|line| !is(line, "// ANCHOR:"));
    lines.next()?;
    let lines: Vec<_> = lines.collect();
    let end = lines.iter().position(|line| is(line, "// ANCHOR_END:"))?;
    let lines = &lines[..end];
    let indent = |line: &&str| line.len() - line.trim_start().len();
    let least = lines.iter().filter(|line| !line.trim().is_empty()).map(indent).min()?;
    Some(lines.iter().map(|line| line.get(least..).unwrap_or_default().to_owned() + "\n").collect())
}
