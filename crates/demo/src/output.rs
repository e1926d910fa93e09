//! How what comes from elsewhere is shown.

use std::fmt::Display;

use jiff::Timestamp;
use zk_session::Source;

/// The most characters of a parser's message that are passed on.
const BRIEF: usize = 200;

/// What was read, in a word: what ZooKeeper says, or the last that was known.
pub(crate) fn trust(source: Source) -> &'static str {
    match source {
        Source::Live => "live",
        Source::Stale { .. } => "stale",
    }
}

/// When that was, if it is known and a time at all.
pub(crate) fn point_in_time(unix_millis: u64) -> Option<String> {
    let millis = i64::try_from(unix_millis).ok().filter(|millis| *millis > 0)?;
    Timestamp::from_millisecond(millis).ok().map(|at| format!("{at:.0}"))
}

/// Text from anybody as it may go to a terminal: what would be a command there is escaped.
pub(crate) fn shown(text: &str) -> String {
    let escape = |c: char| if is_command(c) { c.escape_debug().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

/// The beginning of what a parser says, for it may repeat a line of any length.
pub(crate) fn brief(message: &str) -> String {
    let mut brief = shown(&message.chars().take(BRIEF).collect::<String>());
    if message.chars().nth(BRIEF).is_some() {
        brief.push('…');
    }
    brief
}

/// Whether a terminal would do something instead of showing it. Names may have the later ones, which turn around what
/// follows or break the line: one line could look like others.
fn is_command(c: char) -> bool {
    let turns =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

/// JSON without anything that a terminal acts on, or that some programs take for the end of a line. Outside of its
/// strings JSON has no such characters.
pub(crate) fn one_line(json: impl Display) -> String {
    let escape = |c: char| if is_command(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    let json = json.to_string();
    // Nearly always, and lines can be long.
    if json.contains(is_command) { json.chars().map(escape).collect() } else { json }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_on_one_line_for_everybody_and_means_the_same() {
        let text = "a\x1b[2J\n\u{9b}\u{85}\u{2028}\u{202e}\u{7f} größe \"🦀\"";
        let line = one_line(serde_json::json!({ "key": text }));
        assert_eq!(line, r#"{"key":"a\u001b[2J\n\u009b\u0085\u2028\u202e\u007f größe \"🦀\""}"#);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap()["key"], text);
    }

    #[test]
    fn a_time_that_is_none_is_not_shown() {
        for none in [0, u64::MAX, i64::MAX as u64] {
            assert_eq!(point_in_time(none), None, "{none}");
        }
        assert_eq!(point_in_time(1_700_000_000_123).as_deref(), Some("2023-11-14T22:13:20Z"));
    }

    #[test]
    fn a_message_is_cut_between_characters_and_escaped() {
        assert_eq!(brief("a\x1bä"), "a\\u{1b}ä");
        assert_eq!(brief(&"ä".repeat(BRIEF)), "ä".repeat(BRIEF));
        assert_eq!(brief(&"ä".repeat(BRIEF + 1)), "ä".repeat(BRIEF) + "…");
    }

    #[test]
    fn what_would_clear_turn_around_or_break_a_line_is_escaped() {
        assert_eq!(shown("\x1b[2J\n\u{9b}"), "\\u{1b}[2J\\n\\u{9b}");
        assert_eq!(shown("a\u{202e}b\u{2066}\u{200f}\u{2028}"), "a\\u{202e}b\\u{2066}\\u{200f}\\u{2028}");
        assert_eq!(shown("größe \"é\" it's"), "größe \"é\" it's");
    }
}
