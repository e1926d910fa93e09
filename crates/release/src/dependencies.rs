//! Whether what comes into the tree is under licences that we take, and comes from crates.io.
//!
//! This takes a moment, so it is part of `make check`. Before a release cargo-deny looks closer, at other platforms and at duplicates.

use anyhow::{Context, anyhow};
use spdx::{Expression, Licensee, ParseMode};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::packages::Package;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The licences that cargo-deny's configuration allows.
pub(crate) fn allowed(deny: &str) -> anyhow::Result<Vec<Licensee>> {
    let root = DeTable::parse(deny).context("deny.toml is no TOML")?;
    let list = match root.get_ref().get("licenses").map(Spanned::get_ref) {
        Some(DeValue::Table(licences)) => licences.get("allow"),
        _ => None,
    };
    let Some(DeValue::Array(list)) = list.map(Spanned::get_ref) else {
        return Err(anyhow!("deny.toml has no list licenses.allow"));
    };
    list.iter()
        .map(|name| match name.get_ref() {
            DeValue::String(name) => Licensee::parse(name).map_err(|error| anyhow!("deny.toml: {error}")),
            _ => Err(anyhow!("deny.toml: a licence is no text")),
        })
        .collect()
}

/// Of all packages, ours included, which are those without a source.
pub(crate) fn faults(packages: &[Package], allowed: &[Licensee]) -> Vec<String> {
    packages
        .iter()
        .filter_map(|package| {
            let source = package.source.as_ref()?;
            let what = if source == CRATES_IO {
                refused(package.license.as_deref(), allowed)?
            } else {
                format!("comes from {source}")
            };
            Some(format!("{} {} {what}", package.name, package.version))
        })
        .collect()
}

/// What is wrong with this licence, if anything.
fn refused(licence: Option<&str>, allowed: &[Licensee]) -> Option<String> {
    let Some(licence) = licence else { return Some("names no licence".to_owned()) };
    let Ok(expression) = Expression::parse_mode(licence, ParseMode::LAX) else {
        return Some(format!("is under {licence:?}, which cannot be read"));
    };
    let is_allowed = expression.evaluate(|wanted| allowed.iter().any(|licence| licence.satisfies(wanted)));
    (!is_allowed).then(|| format!("is under {licence}, which deny.toml does not allow"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENY: &str = "[licenses]\nallow = [\"Apache-2.0\", \"Apache-2.0 WITH LLVM-exception\", \"MIT\"]\n";

    #[test]
    fn a_licence_is_one_that_we_take_or_is_told() {
        let table = [
            (Some("MIT"), None),
            (Some("MIT/Apache-2.0"), None),
            (Some("Apache-2.0 WITH LLVM-exception OR GPL-3.0"), None),
            (Some("GPL-3.0 OR MIT"), None),
            (Some("GPL-3.0 AND MIT"), Some("is under GPL-3.0 AND MIT, which deny.toml does not allow")),
            (Some("MPL-2.0"), Some("is under MPL-2.0, which deny.toml does not allow")),
            (Some("mine"), Some("is under \"mine\", which cannot be read")),
            (None, Some("names no licence")),
        ];
        let allowed = allowed(DENY).expect("is a list");
        for (licence, expected) in table {
            assert_eq!(refused(licence, &allowed).as_deref(), expected);
        }
    }

    #[test]
    fn a_package_from_elsewhere_is_told_and_ours_are_not() {
        let package = |source: Option<&str>| {
            let text = serde_json::json!({
                "name": "a", "version": "1.0.0", "license": "MIT", "source": source, "dependencies": [],
            });
            serde_json::from_value(text).expect("is a package")
        };
        let git = "git+https://example.org/a";
        let packages = [package(None), package(Some(CRATES_IO)), package(Some(git))];
        let allowed = allowed(DENY).expect("is a list");
        assert_eq!(faults(&packages, &allowed), [format!("a 1.0.0 comes from {git}")]);
    }

    #[test]
    fn a_configuration_without_a_list_is_an_error() {
        for deny in [
            "",
            "[licenses]",
            "[licenses]\nallow = 1",
            "[licenses]\nallow = [1]",
            "[licenses]\nallow = [\"mine\"]",
            "[",
        ] {
            assert!(allowed(deny).is_err(), "{deny}");
        }
    }
}
