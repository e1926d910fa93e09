//! Commands, as a shell takes a line apart.

/// What ends a command.
const ENDS: [&str; 5] = ["|", "||", "&", "&&", ";"];
/// What a file follows, and nothing that the command gets.
const TO_FILES: [&str; 5] = [">", ">>", "2>", "<", "<<"];

/// The commands of a line, each of its words, without settings before them; none where the line ends within quotes.
pub(crate) fn commands(line: &str) -> Vec<Vec<String>> {
    let words = shlex::split(line).unwrap_or_default();
    words
        .split(|word| ENDS.contains(&word.as_str()))
        .map(|command| {
            let words = command.iter().skip_while(|word| is_setting(word));
            words.take_while(|word| !TO_FILES.contains(&word.as_str())).cloned().collect::<Vec<_>>()
        })
        .filter(|command| !command.is_empty())
        .collect()
}

/// `NAME=value`, which stands before a command, and for `make` also after a target.
pub(crate) fn is_setting(word: &str) -> bool {
    word.split_once('=')
        .is_some_and(|(name, _)| name.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_'))
}

/// What follows a flag, before `--`.
pub(crate) fn after<'a>(words: &'a [String], flag: &str) -> Option<&'a str> {
    let at = words.iter().take_while(|word| *word != "--").position(|word| word == flag)?;
    words.get(at + 1).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart_as_a_shell_does() {
        let table: [(&str, &[&[&str]]); 6] = [
            ("demo client --key '/a b?c' # one", &[&["demo", "client", "--key", "/a b?c"]]),
            (
                "ZK_CONNECT=a:1 cargo run -p demo -- nodes &",
                &[&["cargo", "run", "-p", "demo", "--", "nodes"]],
            ),
            ("demo man | man -l -", &[&["demo", "man"], &["man", "-l", "-"]]),
            ("a && b > demo", &[&["a"], &["b"]]),
            ("it's", &[]),
            ("", &[]),
        ];
        for (line, expected) in table {
            assert_eq!(commands(line), expected, "{line}");
        }
    }
}
