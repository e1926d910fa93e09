//! Names that are longer than there is room, in lines.

/// How wide a letter of sentences is on the average at the most, in the fonts and at the size of plots.
pub(super) const LETTER: f64 = 6.7;

/// How many letters have room between two places.
pub(super) fn letters(from: f64, to: f64) -> usize {
    ((to - from) / LETTER) as usize
}

/// A text in lines of so many letters at most, between words, without backticks, which are for Markdown. A word that is longer has a
/// line of its own.
pub(super) fn wrapped(text: &str, most: usize) -> Vec<String> {
    let text = text.replace('`', "");
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    if lines.is_empty() { vec![String::new()] } else { lines }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_before_the_word_that_has_no_room_and_nothing_is_lost() {
        for (text, most, lines) in [
            ("one two three", 7, &["one two", "three"][..]),
            ("one two three", 6, &["one", "two", "three"]),
            ("one two three", 13, &["one two three"]),
            ("`a` bcdefgh i", 4, &["a", "bcdefgh", "i"]),
            ("µµ µµ", 5, &["µµ µµ"]),
            ("", 4, &[""]),
        ] {
            assert_eq!(wrapped(text, most), lines, "{text:?} in {most}");
        }
        assert_eq!(letters(0.0, 67.0), 10);
    }
}
