//! Whom a message behind a broker is for.

/// Whether the instance with `own_code` answers a message for `addressed_to`; it drops every other one.
///
/// Instances behind a broker all receive what is sent to their service, so each of them decides by this alone. A code is
/// compared whole and byte for byte: no case, no spaces and no forms of Unicode are made alike, for a message that two instances
/// take for theirs would be answered twice. An empty code is nobody's, whoever has it.
///
/// # Examples
///
/// ```
/// assert!(proto::accepts("cacd3aa4", "cacd3aa4"));
/// assert!(!proto::accepts("cacd3aa4", "cacd3aa4-2"));
/// assert!(!proto::accepts("cacd3aa4", "CACD3AA4"));
/// assert!(!proto::accepts("", ""));
/// ```
pub fn accepts(own_code: &str, addressed_to: &str) -> bool {
    !own_code.is_empty() && own_code == addressed_to
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_for_the_one_whose_whole_code_it_carries() {
        let long = "c".repeat(crate::MAX_CODE);
        for (own, addressed_to, accepted) in [
            ("a", "a", true),
            ("grün", "grün", true),
            (&*long, &*long, true),
            ("a", "b", false),
            ("a", "A", false),
            ("a", "aa", false),
            ("aa", "a", false),
            ("a", "a ", false),
            ("a", " a", false),
            ("a", "a\0", false),
            ("a", "a-1", false),
            ("a", "*", false),
            ("a", "#", false),
            ("a", "", false),
            ("", "a", false),
            ("", "", false),
            // One letter in two forms.
            ("gr\u{fc}n", "gru\u{308}n", false),
        ] {
            assert_eq!(accepts(own, addressed_to), accepted, "{own:?} {addressed_to:?}");
        }
    }
}
