//! How errors quote what they were given.

use std::fmt::Write;

/// The most characters of a foreign text that an error repeats.
const SHOWN: usize = 40;

/// `text` in quotes, escaped, and cut short: it may come from anybody, and ends in a log.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    quoted.extend(text.chars().take(SHOWN).flat_map(char::escape_debug));
    quoted.push('"');
    if text.chars().nth(SHOWN).is_some() {
        let _ = write!(quoted, "… ({} bytes)", text.len());
    }
    quoted
}

/// The first `limit` characters of a message that may repeat foreign text.
pub(crate) fn shortened(message: &str, limit: usize) -> String {
    match message.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_escaped_and_cut() {
        assert_eq!(quoted("a\"\n\u{202e}ä"), r#""a\"\n\u{202e}ä""#);
        assert_eq!(quoted(&"x".repeat(5_000)), format!("\"{}\"… (5000 bytes)", "x".repeat(40)));
        assert_eq!(quoted(&"x".repeat(40)), format!("\"{}\"", "x".repeat(40)));
        assert_eq!(shortened("äöü", 2), "äö…");
        assert_eq!(shortened("äöü", 3), "äöü");
    }
}
