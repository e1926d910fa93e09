//! The first program of the guide does what the guide says.

use std::process::Command;

#[test]
fn the_first_program_prints_what_the_guide_says() {
    let output = Command::new(env!("CARGO_BIN_EXE_first")).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let guide = include_str!("../../../docs/getting-started.md");
    assert!(output.status.success() && printed.lines().count() > 5, "{printed}");
    assert!(guide.contains(&format!("```text\n{printed}```\n")), "{printed}");
}
