//! Whether the programs and targets that commands name exist.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::Fault;
use crate::page::Pages;
use crate::shell::{after, commands, is_setting};

pub(crate) fn faults(root: &Path, pages: &Pages) -> anyhow::Result<Vec<Fault>> {
    let known = Known::read(root)?;
    let mut faults = Vec::new();
    for (path, page) in pages.iter() {
        let mentioned = page.codes.iter().map(|(line, text)| (*line, text.as_str()));
        for (line, text) in page.typed().chain(mentioned) {
            let what = commands(text).into_iter().filter_map(|command| known.fault(root, &command));
            faults.extend(what.map(|what| Fault { page: path.to_owned(), line, what }));
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

    fn fault(&self, root: &Path, command: &[String]) -> Option<String> {
        let (first, words) = command.split_first()?;
        match first.as_str() {
            "make" => {
                let mut targets = words.iter().filter(|word| !is_setting(word) && !word.starts_with('-'));
                let unknown = targets.find(|target| !self.targets.contains(*target))?;
                Some(format!("the Makefile has no target {unknown}"))
            }
            "cargo" => missing(root, after(words, "-p")?, after(words, "--example")),
            _ => None,
        }
    }
}

fn missing(root: &Path, package: &str, example: Option<&str>) -> Option<String> {
    let folders =
        [root.join("crates").join(package), root.join(package), root.join("examples").join(package)];
    let Some(folder) = folders.iter().find(|folder| folder.join("Cargo.toml").exists()) else {
        return Some(format!("there is no package {package}"));
    };
    // `NAME` stands for any.
    let example = example.filter(|name| name.contains(|letter: char| !letter.is_ascii_uppercase()))?;
    let places =
        [folder.join(format!("{example}.rs")), folder.join("examples").join(format!("{example}.rs"))];
    (!places.iter().any(|place| place.exists())).then(|| format!("{package} has no example {example}"))
}
