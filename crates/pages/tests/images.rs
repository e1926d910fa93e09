//! What images are built of is a workspace that Cargo can read: what `.dockerignore` lets through, and what the first stage keeps of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

#[test]
fn the_stage_of_manifests_has_all_of_the_workspace() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let work = TempDir::new().unwrap();
    let (all, manifests) = (work.path().join("all"), work.path().join("manifests"));
    let rules = fs::read_to_string(root.join(".dockerignore")).unwrap();
    copy(&root, Path::new(""), &rules, &all);

    let script = stage(&fs::read_to_string(root.join("docker/Dockerfile")).unwrap())
        .replace("/all", all.to_str().unwrap())
        .replace("/manifests", manifests.to_str().unwrap());
    let ran = Command::new("sh").arg("-c").arg(&script).output().unwrap();
    assert!(ran.status.success(), "{script}\n{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(packages(&manifests), packages(&root));
}

/// The command of the stage `manifests`, as the engine gives it to a shell.
fn stage(dockerfile: &str) -> String {
    let (_, stage) = dockerfile.split_once(" AS manifests\n").expect("there is a stage of this name");
    let (_, command) = stage.split_once("\nRUN ").expect("it runs something");
    let mut script = String::new();
    for line in command.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let Some(part) = line.strip_suffix('\\') else { return script + line };
        script += part;
    }
    script
}

/// Copies what is sent to the engine.
fn copy(root: &Path, folder: &Path, rules: &str, to: &Path) {
    for entry in fs::read_dir(root.join(folder)).unwrap() {
        let entry = entry.unwrap();
        let (name, path) = (entry.file_name(), folder.join(entry.file_name()));
        if entry.file_type().unwrap().is_dir() {
            if !["target", ".git", "node_modules"].iter().any(|left_out| name == *left_out) {
                copy(root, &path, rules, to);
            }
        } else if is_sent(&path, rules) {
            fs::create_dir_all(to.join(folder)).unwrap();
            fs::copy(entry.path(), to.join(&path)).unwrap();
        }
    }
}

/// The last rule that means the path, or a folder above it, decides.
fn is_sent(path: &Path, rules: &str) -> bool {
    let rules = rules.lines().filter(|rule| !rule.is_empty() && !rule.starts_with('#'));
    let mut sent = true;
    for rule in rules {
        let (pattern, lets_through) = rule.strip_prefix('!').map_or((rule, false), |rule| (rule, true));
        if path.ancestors().any(|part| is_meant(part, pattern)) {
            sent = lets_through;
        }
    }
    sent
}

/// A `*` stands for one name.
fn is_meant(path: &Path, pattern: &str) -> bool {
    let (mut names, mut parts) = (path.iter(), Path::new(pattern).iter());
    loop {
        match (names.next(), parts.next()) {
            (None, None) => return true,
            (Some(name), Some(part)) if part == "*" || name == part => {}
            _ => return false,
        }
    }
}

/// The manifests of the workspace there, from its root.
fn packages(root: &Path) -> BTreeSet<PathBuf> {
    let root = root.canonicalize().unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(&root);
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let paths = text.split(r#""manifest_path":""#).skip(1).filter_map(|rest| rest.split('"').next());
    paths.map(|path| Path::new(path).strip_prefix(&root).unwrap().to_owned()).collect()
}
