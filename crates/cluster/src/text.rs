//! How errors quote what strangers sent.

/// The most characters of a foreign text that an error repeats.
const SHOWN: usize = 40;

/// `text` in quotes, escaped, and cut short: it may come from anybody, and ends in a log.
pub(crate) fn quoted(text: &str) -> String {
    let begin: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    match text.chars().nth(SHOWN) {
        Some(_) => format!("\"{begin}\"… ({} bytes)", text.len()),
        None => format!("\"{begin}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_escaped_and_cut() {
        assert_eq!(quoted("a\"\n\u{202e}ä"), r#""a\"\n\u{202e}ä""#);
        assert_eq!(quoted(&"ä".repeat(40)), format!("\"{}\"", "ä".repeat(40)));
        assert_eq!(quoted(&"x".repeat(5_000)), format!("\"{}\"… (5000 bytes)", "x".repeat(40)));
    }
}
