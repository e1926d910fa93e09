//! What the program teaches a shell and a reader of manual pages, as these see it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

use std::fs::read_dir;
use std::process::{Command, Output};

use cli::zookeeper::by_flags_alone;

fn demo(arguments: &[&str]) -> Output {
    by_flags_alone(&mut Command::new(env!("CARGO_BIN_EXE_demo"))).args(arguments).output().unwrap()
}

/// What a bash that has read the completions offers for these words, of which the last one is being written.
fn offered(words: &[&str]) -> Vec<String> {
    let script = r#"
        source <("$0" completions bash)
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _demo "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let mut bash = Command::new("bash");
    let output =
        bash.args(["--norc", "-c", script, env!("CARGO_BIN_EXE_demo")]).args(words).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().split_whitespace().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_flags_and_values() {
    assert_eq!(offered(&["demo", "nod"]), ["nodes", "node"]);
    assert_eq!(offered(&["demo", "nodes", "--wat"]), ["--watch"]);
    assert_eq!(offered(&["demo", "nodes", "--zk-t"]), ["--zk-tls-ca", "--zk-tls-cert", "--zk-tls-key"]);
    assert_eq!(offered(&["demo", "nodes", "--layout", "m"]), ["master-normal"]);
    assert_eq!(offered(&["demo", "agent", "le"]), ["lead"]);
}

#[test]
fn manual_pages_are_as_their_readers_expect_them() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("man1");
    let output = demo(&["man", "--to", to.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let pages: Vec<_> = read_dir(&to).unwrap().map(|it| it.unwrap().path()).collect();
    assert!(pages.len() > 15, "{pages:?}");
    let lint = Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).args(&pages).output();
    let lint = lint.expect("mandoc; scripts/setup.sh mandoc installs it");
    let faults = String::from_utf8(lint.stdout).unwrap();
    // Pages have no date, and the generator spaces out values in its own way.
    let ours =
        |fault: &&str| !fault.contains("missing date") && !fault.contains("skipping paragraph macro: br");
    let faults: Vec<_> = faults.lines().filter(ours).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    for page in &pages {
        let shown =
            Command::new("mandoc").args(["-T", "utf8", "-O", "width=120"]).arg(page).output().unwrap();
        // What is bold is written twice, for terminals.
        let text = String::from_utf8(shown.stdout).unwrap();
        let plain: String = text.split('\u{8}').fold(String::new(), |mut all, part| {
            if !all.is_empty() {
                all.pop();
            }
            all + part
        });
        for section in ["NAME\n", "SYNOPSIS\n", "EXAMPLES\n", "EXIT STATUS\n"] {
            assert!(plain.contains(section), "{}: {section}: {plain}", page.display());
        }
    }
}

#[test]
fn a_page_is_printed_by_the_words_of_its_command() {
    let output = demo(&["man", "agent", "lead"]);
    assert!(String::from_utf8(output.stdout).unwrap().contains(".TH demo-agent-lead 1"));
    let output = demo(&["man", "agent", "leed"]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("there is no command \"agent leed\"; accepted: none, or one of server, client"),
        "{told}"
    );
}
