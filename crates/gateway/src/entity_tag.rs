//! What a client knows already, by entity tags.

use axum::http::header::IF_NONE_MATCH;
use axum::http::{HeaderMap, HeaderValue};

/// Whether `If-None-Match` has this tag. Tags are compared whole, and a weak one is as good: the same tag is always the same bytes here.
pub(crate) fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|tags| tags.to_str().ok())
        .flat_map(|tags| tags.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known).as_bytes() == tag.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_whole() {
        let tag = HeaderValue::from_static("\"0123-7\"");
        for (known, matches) in [
            (&["\"0123-7\""][..], true),
            (&["W/\"0123-7\""], true),
            (&["\"x\", \"0123-8\" , \"0123-7\""], true),
            (&["\"x\"", "\"0123-7\""], true),
            (&["*"], true),
            (&["\"0123-8\""], false),
            (&["\"7\""], false),
            (&["0123-7"], false),
            (&["\"0123-7"], false),
            (&[""], false),
            (&[], false),
        ] {
            let headers: HeaderMap =
                known.iter().map(|tags| (IF_NONE_MATCH, HeaderValue::from_static(tags))).collect();
            assert_eq!(is_known(&headers, &tag), matches, "{known:?}");
        }
    }
}
