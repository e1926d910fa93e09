//! The name by which a heading is linked to.

use std::collections::HashMap;

/// Gives the headings of a page their names, as GitHub and mdBook do: in lower case, blanks as `-`, without punctuation, and with a
/// number where one is taken.
#[derive(Debug, Default)]
pub(crate) struct Anchors {
    taken: HashMap<String, usize>,
}

impl Anchors {
    pub(crate) fn name(&mut self, heading: &str) -> String {
        let name: String = heading.trim().chars().filter_map(letter).collect();
        let before = self.taken.entry(name.clone()).or_insert(0);
        *before += 1;
        match *before {
            1 => name,
            nth => format!("{name}-{}", nth - 1),
        }
    }
}

fn letter(letter: char) -> Option<char> {
    match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        _ if letter.is_alphanumeric() => Some(letter.to_ascii_lowercase()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_have_the_names_that_github_and_mdbook_give_them() {
        let mut anchors = Anchors::default();
        let table = [
            ("What is promised", "what-is-promised"),
            ("A server of 3.6.2, and `fake`!", "a-server-of-362-and-fake"),
            ("one_two - three", "one_two---three"),
            ("What is promised", "what-is-promised-1"),
            ("What is promised", "what-is-promised-2"),
        ];
        for (heading, expected) in table {
            assert_eq!(anchors.name(heading), expected);
        }
    }
}
