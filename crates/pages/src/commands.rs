//! Whether the programs and targets that commands name exist.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::Fault;
use crate::page::Pages;

pub(crate) fn faults(root: &Path, pages: &Pages) -> anyhow::Result<Vec<Fault>> {
    let known = Known::read(root)?;
    let mut faults = Vec::new();
    for (path, page) in pages.iter() {
        for block in page.blocks.iter().filter(|block| block.language == "console") {
            for (at, text) in block.text.lines().enumerate() {
                let Some(command) = text.strip_prefix("$ ") else { continue };
                let what = known.fault(root, command);
                // The fence is a line of its own.
                faults.extend(what.map(|what| Fault {
                    page: path.to_owned(),
                    line: block.line + 1 + at,
                    what,
                }));
            }
        }
    }
    Ok(faults)
}

struct Known {
    targets: HashSet<String>,
}

impl Known {
    fn read(root: &Path) -> anyhow::Result<Self> {
        let makefile = root.join("Makefile");
        let text =
            fs::read_to_string(&makefile).with_context(|| format!("cannot read {}", makefile.display()))?;
        let targets = text.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name);
        Ok(Self {
            targets: targets
                .filter(|name| !name.contains([' ', '\t', '.', '=']))
                .map(str::to_owned)
                .collect(),
        })
    }

    fn fault(&self, root: &Path, command: &str) -> Option<String> {
        let command = command.split(" #").next().unwrap_or(command);
        // Settings stand before a command, and after a target.
        let mut words = command.split_whitespace().filter(|word| !is_setting(word));
        match words.next()? {
            "make" => {
                let target = words.next()?;
                (!self.targets.contains(target)).then(|| format!("the Makefile has no target {target}"))
            }
            "cargo" => {
                let words: Vec<_> = words.collect();
                let package = after(&words, "-p")?;
                let example = after(&words, "--example");
                missing(root, package, example)
            }
            _ => None,
        }
    }
}

fn is_setting(word: &str) -> bool {
    word.split_once('=')
        .is_some_and(|(name, _)| name.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_'))
}

fn after<'a>(words: &[&'a str], flag: &str) -> Option<&'a str> {
    let at = words.iter().take_while(|word| **word != "--").position(|word| *word == flag)?;
    words.get(at + 1).copied()
}

fn missing(root: &Path, package: &str, example: Option<&str>) -> Option<String> {
    let folders =
        [root.join("crates").join(package), root.join(package), root.join("examples").join(package)];
    let Some(folder) = folders.iter().find(|folder| folder.join("Cargo.toml").exists()) else {
        return Some(format!("there is no package {package}"));
    };
    let example = example?;
    let places =
        [folder.join(format!("{example}.rs")), folder.join("examples").join(format!("{example}.rs"))];
    (!places.iter().any(|place| place.exists())).then(|| format!("{package} has no example {example}"))
}
