//! The programs of the guide do what the guide says, where that needs no server.

use std::net::TcpListener;
use std::process::Command;

#[test]
fn the_first_program_prints_what_the_guide_says() {
    let output = Command::new(env!("CARGO_BIN_EXE_first")).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let guide = include_str!("../../../docs/getting-started.md");
    assert!(output.status.success() && printed.lines().count() > 5, "{printed}");
    assert!(guide.contains(&format!("```text\n{printed}```\n")), "{printed}");
}

#[test]
fn a_server_whose_port_is_taken_says_which() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut server = Command::new(env!("CARGO_BIN_EXE_server"));
    let output = server.arg(&address).env("ZK_CONNECT", "127.0.0.1:1").output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && told.contains(&format!("cannot listen on {address}: ")), "{told}");
}
