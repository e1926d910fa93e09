//! Checks what a release has to be, as far as files tell: `cargo run -p release`, part of `make check`.
//!
//! All packages have one version, and the changelog tells of it or of what comes after it. None is published, so that all of them name
//! each other by path alone: whoever uses them does so by git or by path, and gets all of one commit. The two licences that manifests
//! name are there. What others made comes from crates.io, under licences that `deny.toml` allows. What is wrong is told, and the exit
//! code is 1.

mod changelog;
mod dependencies;
mod licences;
mod packages;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

fn main() -> anyhow::Result<ExitCode> {
    let root = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    let packages = packages::ours(&root)?;
    let mut faults = packages::faults(&packages);
    let version = packages.first().context("there is no package")?.version.clone();

    let text =
        |file: &str| std::fs::read_to_string(root.join(file)).with_context(|| format!("cannot read {file}"));
    faults.extend(changelog::faults(&text("CHANGELOG.md")?, &version));
    let all = packages::all(&root).unwrap_or_else(|error| {
        faults.push(format!("{error:#}"));
        Vec::new()
    });
    faults.extend(dependencies::faults(&all, &dependencies::allowed(&text("deny.toml")?)?));
    faults.extend(licences::faults(&root, &packages));

    for fault in &faults {
        eprintln!("{fault}");
    }
    if faults.is_empty() {
        println!(
            "packages: {}, {version}, with changelog and licences; with those of others: {}",
            packages.len(),
            all.len()
        );
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("faults: {}", faults.len());
    Ok(ExitCode::FAILURE)
}
