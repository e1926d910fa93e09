//! The packages as Cargo reads them, and what is wrong with ours.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde::Deserialize;

/// A package, of the workspace or of others.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    #[serde(default)]
    id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    /// Where it comes from; nowhere when it is one of ours.
    pub(crate) source: Option<String>,
    description: Option<String>,
    rust_version: Option<String>,
    /// The registries that it may go to; none at all when it is not published.
    publish: Option<Vec<String>>,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    req: String,
    /// Where it is, when it is one of ours.
    path: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    /// What of these is used; without dependencies nobody asks.
    resolve: Option<Resolve>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
}

/// Those of the workspace; needs neither network nor lock file.
pub(crate) fn ours(root: &Path) -> anyhow::Result<Vec<Package>> {
    read(root, &["--no-deps", "--offline"])
}

/// All that is compiled on this platform, with any feature, in the versions that are written down: it is for these that the answer counts,
/// and a check changes no file. Fetches what is not there yet.
pub(crate) fn all(root: &Path) -> anyhow::Result<Vec<Package>> {
    let platform = Command::new("rustc").arg("-vV").output().context("cannot start rustc")?;
    let platform = String::from_utf8_lossy(&platform.stdout).into_owned();
    let platform = platform.lines().find_map(|line| line.strip_prefix("host: "));
    read(
        root,
        &[
            "--locked",
            "--all-features",
            "--filter-platform",
            platform.context("rustc does not say what this machine is")?,
        ],
    )
}

fn read(root: &Path, flags: &[&str]) -> anyhow::Result<Vec<Package>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--manifest-path"])
        .arg(root.join("Cargo.toml"))
        .args(flags)
        .output()
        .context("cannot start cargo")?;
    ensure!(output.status.success(), "cargo cannot read it: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).context("cannot understand what cargo says")?;
    let nodes = metadata.resolve.map(|resolve| resolve.nodes);
    let is_there =
        |package: &Package| nodes.as_ref().is_none_or(|nodes| nodes.iter().any(|node| node.id == package.id));
    Ok(metadata.packages.into_iter().filter(is_there).collect())
}

/// The project of the first guide stands for one of a user: it has a version of its own, and no licence.
const GUIDE: &str = "first";

pub(crate) fn faults(packages: &[Package]) -> Vec<String> {
    let mut faults = Vec::new();
    let ours: Vec<_> = packages.iter().filter(|package| package.name != GUIDE).collect();
    for package in &ours {
        let name = &package.name;
        let first = ours[0];
        if package.version != first.version {
            faults.push(format!(
                "{name} has version {}, {} has {}",
                package.version, first.name, first.version
            ));
        }
        if package.license.is_none() || package.description.is_none() || package.rust_version.is_none() {
            faults.push(format!("{name} lacks its licence, its description or its rust-version"));
        }
        if package.publish.as_deref() != Some(&[]) {
            faults.push(format!("{name} would be published: it lacks publish = false"));
        }
        let ours = package.dependencies.iter().filter(|dependency| dependency.path.is_some());
        faults.extend(ours.filter(|dependency| dependency.req != "*").map(|dependency| {
            format!("{name} names a version of {}, which is not published", dependency.name)
        }));
        let others = package.dependencies.iter().filter(|dependency| dependency.path.is_none());
        faults.extend(
            others
                .filter(|dependency| dependency.req == "*")
                .map(|dependency| format!("{name} takes any version of {}", dependency.name)),
        );
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_version_of_somebody_elses_package_is_refused_and_a_path_is_not() {
        let dependency = |req: &str, path: Option<&str>| {
            let text = serde_json::json!([{
                "name": "a", "version": "1.0.0", "license": "MIT", "description": "A", "rust_version": "1.88", "publish": [],
                "source": null, "dependencies": [{ "name": "b", "req": req, "path": path }],
            }]);
            faults(&serde_json::from_value::<Vec<_>>(text).expect("is a package"))
        };
        assert_eq!(dependency("^1", None), [""; 0]);
        assert_eq!(dependency("*", Some("/b")), [""; 0]);
        assert_eq!(dependency("*", None), ["a takes any version of b"]);
        assert_eq!(dependency("^1", Some("/b")), ["a names a version of b, which is not published"]);
    }
}
