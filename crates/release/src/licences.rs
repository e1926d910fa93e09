//! Whether the licences that manifests name are there.

use std::fs;
use std::path::Path;

use crate::packages::Package;

const LICENCE: &str = "MIT OR Apache-2.0";

/// A file for each of the two, and words that only that one has.
const FILES: [(&str, &str); 2] = [
    ("LICENSE-MIT", "Permission is hereby granted, free of charge"),
    ("LICENSE-APACHE", "Version 2.0, January 2004"),
];

pub(crate) fn faults(root: &Path, packages: &[Package]) -> Vec<String> {
    let named = packages.iter().filter_map(|package| Some((&package.name, package.license.as_ref()?)));
    let mut faults: Vec<_> = named
        .filter(|(_, licence)| *licence != LICENCE)
        .map(|(name, licence)| format!("{name} is under {licence}, and not under {LICENCE}"))
        .collect();
    for (file, words) in FILES {
        match fs::read_to_string(root.join(file)) {
            Ok(text) if text.contains(words) => {}
            Ok(_) => faults.push(format!("{file} is not that licence")),
            Err(error) => faults.push(format!("cannot read {file}: {error}")),
        }
    }
    faults
}
