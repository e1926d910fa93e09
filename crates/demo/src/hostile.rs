//! Lines that anybody might send, for the tests of those who read them.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// What turns a good line into another one.
const PIECES: [&str; 16] = [
    "{",
    "}",
    "[[[[",
    "]",
    "\"",
    "\\",
    "\\ud800",
    ",",
    ":",
    "null",
    "-1",
    "1e999",
    "18446744073709551616",
    "\r",
    "\0",
    "\u{202e}",
];

/// Any bytes, good lines, good lines with some damage, and objects with long keys and values.
pub(crate) fn line(good: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let bytes = vec(any::<u8>().prop_filter("the end of the line", |byte| *byte != b'\n'), 0..100);
    let piece =
        prop_oneof![2 => select(&PIECES[..]).prop_map(|piece| piece.as_bytes().to_vec()), 1 => bytes.clone()];
    let damage = (any::<Index>(), 0..6usize, prop_oneof![1 => Just(Vec::new()), 2 => piece]);
    let damaged = (select(good), vec(damage, 0..4)).prop_map(|(line, damages)| {
        let mut line = line.as_bytes().to_vec();
        for (at, removed, piece) in damages {
            let at = at.index(line.len() + 1);
            let end = (at + removed).min(line.len());
            drop(line.splice(at..end, piece));
        }
        line
    });
    let long = vec(select(vec!["a", "ä", "🦀", "\\n", "\\u001b", "\u{7f}", "\u{202e}"]), 0..1_000)
        .prop_map(|text| text.concat());
    let key = prop_oneof![2 => select(vec!["cmd", "port", "weight", "who", "token", "seq", "ok", "max", "error"]).prop_map(str::to_owned), 1 => long.clone()];
    let value = prop_oneof![
        long.prop_map(|text| format!("\"{text}\"")),
        select(vec!["0", "-0", "1.5", "true", "null", "{}", "[]", "9223372036854775808"])
            .prop_map(str::to_owned),
        (1..300usize).prop_map(|depth| "[".repeat(depth)),
    ];
    let object = vec((key, value), 0..4).prop_map(|fields| {
        let fields: Vec<_> = fields.into_iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        format!("{{{}}}", fields.join(",")).into_bytes()
    });
    prop_oneof![1 => bytes, 4 => damaged, 2 => object]
}

/// Whether a refusal says something, on one line that is not as long as what was refused may be.
pub(crate) fn is_brief(why: &str) -> bool {
    (5..3_000).contains(&why.len()) && !why.contains(char::is_control)
}
