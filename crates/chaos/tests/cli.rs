//! What the program says to people and scripts, where nothing has to be run for it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn chaos(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chaos")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

const SETTING: &str =
    r#"{"at":1,"what":"setting","seed":7,"session_ms":2000,"tick_ms":200,"service":"chaos","broken":null}"#;

/// Two processes act as the leader by turns.
const TWO_LEADERS: &str = r#"{"at":1000000000,"what":"acted","who":"c01","token":5,"ok":true}
{"at":1010000000,"what":"acted","who":"c02","token":6,"ok":true}
{"at":1020000000,"what":"acted","who":"c01","token":5,"ok":false}"#;

const DONE: &str = r#"{"at":2000000000,"what":"done"}"#;

/// Judges a history of these lines.
fn judge(folder: &Path, lines: &[&str], more: &[&str]) -> Output {
    let history = folder.join("7.jsonl");
    fs::write(&history, lines.join("\n")).unwrap();
    chaos(&[&["judge", history.to_str().unwrap()], more].concat())
}

#[test]
fn a_history_in_which_all_is_well_is_exit_code_0() {
    let folder = tempfile::tempdir().unwrap();
    let output = judge(folder.path(), &[SETTING, DONE], &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stdout).contains("no promise was broken"), "{output:?}");
}

#[test]
fn a_violation_is_exit_code_1_and_in_the_text_the_json_and_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let lines = [SETTING, TWO_LEADERS, DONE];
    let output = judge(folder.path(), &lines, &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let what = "c01 acted with token 5, when 6 had acted";
    assert!(text(&output.stdout).contains(what), "{output:?}");
    assert!(fs::read_to_string(folder.path().join("7.html")).unwrap().contains(what));

    let output = judge(folder.path(), &lines, &["--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["violations"][0]["promise"], "P1");
    assert_eq!(report["violations"][0]["what"], what);
}

#[test]
fn what_is_no_history_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    for (lines, why) in [
        (&[][..], "does not begin with the setting"),
        (&[DONE], "does not begin with the setting"),
        (&[SETTING], "not whole"),
        (&[SETTING, "{}", DONE], "line 2 of"),
        (&[SETTING, r#"{"at":5,"what":"acted","who":"x99","token":1,"ok":true}"#, DONE], "line 2 of"),
    ] {
        let output = judge(folder.path(), lines, &[]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(text(&output.stderr).contains(why), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
}

#[test]
fn flags_that_make_no_sense_are_refused_with_what_is_accepted() {
    for (arguments, why) in [
        (&["run", "--duration", "0"][..], "accepted: a whole number from 1 to 1000000"),
        (&["run", "--slack", "0.5"], "accepted: a number from 1 to 100"),
        (&["run", "--break", "everything"], "possible values: lease"),
        (&["run", "--seed", "x"], "accepted: a whole number from 0 to"),
    ] {
        let output = chaos(arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(text(&output.stderr).contains(why), "{output:?}");
    }
}

#[test]
fn a_program_that_is_not_there_is_told_before_anything_starts() {
    let output = chaos(&["run", "--demo", "/nonexistent/demo"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(text(&output.stderr).contains("--demo: there is no /nonexistent/demo; build it"), "{output:?}");
    let output = chaos(&["judge", "/nonexistent/7.jsonl"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = "there is no history /nonexistent/7.jsonl; chaos run writes them, into target/chaos";
    assert!(text(&output.stderr).contains(told), "{output:?}");
}
