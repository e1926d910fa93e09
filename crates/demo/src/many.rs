//! How many there are of something, in words.

/// So many, of what one is called that and any other number that.
pub(crate) fn many(count: u64, one: &str, others: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { others })
}
