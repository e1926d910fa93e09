//! Any line as a command for an agent, and as an act for a ledger. Both are parts of a program, and compiled in.
#![no_main]
#![allow(dead_code)]

#[path = "../../crates/demo/src/ledger/book.rs"]
mod book;
#[path = "../../crates/demo/src/agent/commands.rs"]
mod commands;
#[path = "../../crates/demo/src/output.rs"]
mod output;

use book::Book;
use output::one_line;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut book = Book::default();
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Err(why) = commands::parse(line) {
            assert_brief(&why);
        }
        let (answer, ok) = match book::parse(line) {
            Ok(act) => (book.judge(&act).0, act.token >= 0),
            Err(why) => {
                assert_brief(&why);
                (book.not_understood(why), false)
            }
        };
        assert!(!answer.ok || ok, "a token below the first one counts");
        assert!(answer.max >= 0, "the greatest token became smaller");
        let said = one_line(serde_json::to_string(&answer).unwrap());
        assert!(said.len() < 4_096 && !said.contains('\n'), "{said}");
    }
});

fn assert_brief(why: &str) {
    assert!((5..3_000).contains(&why.len()) && !why.contains(char::is_control), "{why}");
}
