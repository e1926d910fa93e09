//! What is wrong with a workspace is found, each kind of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const ONE: &str = "[package]
name = \"one\"
description = \"One\"
version = \"0.1.0\"
edition = \"2024\"
rust-version = \"1.88\"
license = \"MIT OR Apache-2.0\"
publish = false
";

/// A small workspace in which all is well.
fn workspace() -> TempDir {
    let root = TempDir::new().unwrap();
    let at = root.path();
    put(at, "Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"one\", \"two\"]\n");
    put(at, "one/Cargo.toml", ONE);
    put(at, "one/src/lib.rs", "");
    let two = ONE.replace("one", "two") + "\n[dependencies]\none = { path = \"../one\" }\n";
    put(at, "two/Cargo.toml", &two);
    put(at, "two/src/lib.rs", "");
    put(at, "CHANGELOG.md", "# Changelog\n\n## Unreleased\n\n- All of it.\n");
    put(at, "deny.toml", "[licenses]\nallow = [\"MIT\"]\n");
    put(at, "LICENSE-MIT", "Permission is hereby granted, free of charge\n");
    put(at, "LICENSE-APACHE", "Version 2.0, January 2004\n");
    lock(at);
    root
}

/// Writes the versions down that the manifests want.
fn lock(root: &Path) {
    let mut cargo = Command::new(env!("CARGO"));
    let written =
        cargo.args(["generate-lockfile", "--quiet", "--offline"]).current_dir(root).status().unwrap();
    assert!(written.success());
}

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn check(root: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_release")).arg(root).output().unwrap()
}

#[test]
fn a_workspace_in_which_all_is_well_passes() {
    let root = workspace();
    let output = check(root.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected = "packages: 2, 0.1.0, with changelog and licences; with those of others: 2\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

#[test]
fn each_kind_of_fault_is_told() {
    let table = [
        ("two/Cargo.toml", "0.1.0", "0.2.0", "two has version 0.2.0, one has 0.1.0"),
        ("two/Cargo.toml", "publish = false\n", "", "two would be published"),
        (
            "two/Cargo.toml",
            "rust-version = \"1.88\"\n",
            "",
            "two lacks its licence, its description or its rust-version",
        ),
        ("two/Cargo.toml", "{ path", "{ version = \"0.1\", path", "two names a version of one"),
        ("two/Cargo.toml", "MIT OR Apache-2.0", "MIT", "two is under MIT, and not under MIT OR Apache-2.0"),
        ("CHANGELOG.md", "Unreleased", "0.2.0 (2026-01-31)", "begins with 0.2.0 (2026-01-31)"),
        ("LICENSE-MIT", "Permission", "Remission", "LICENSE-MIT is not that licence"),
    ];
    for (file, old, new, expected) in table {
        let root = workspace();
        let text = fs::read_to_string(root.path().join(file)).unwrap();
        assert!(text.contains(old), "{old}");
        put(root.path(), file, &text.replace(old, new));
        lock(root.path());
        let output = check(root.path());
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{expected}");
        assert!(told.contains(expected) && told.contains("faults: 1\n"), "{expected}: {told}");
    }
}

#[test]
fn a_licence_that_is_not_there_is_told() {
    let root = workspace();
    fs::remove_file(root.path().join("LICENSE-APACHE")).unwrap();
    let output = check(root.path());
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot read LICENSE-APACHE"));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn versions_that_are_not_written_down_are_told_beside_other_faults_and_stay_so() {
    let root = workspace();
    let lock = root.path().join("Cargo.lock");
    let before = fs::read_to_string(&lock).unwrap();
    put(root.path(), "two/Cargo.toml", &ONE.replace("one", "two").replace("0.1.0", "0.2.0"));
    let output = check(root.path());
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("Cargo.lock because --locked was passed"), "{told}");
    assert!(told.contains("two has version 0.2.0") && told.contains("faults: 2\n"), "{told}");
    assert_eq!(fs::read_to_string(&lock).unwrap(), before);
}
