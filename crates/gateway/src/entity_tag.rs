//! What a client knows already, by entity tags.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use twox_hash::XxHash3_64;

/// The tag of this content: the same for the same bytes, in whichever gateway.
pub(crate) fn of(content: &[u8]) -> HeaderValue {
    let tag = format!("\"{:016x}\"", XxHash3_64::oneshot(content));
    HeaderValue::from_str(&tag).expect("digits in quotes may stand in a header")
}

/// The content of this type and with this tag, or that it is known already. It may be kept, and is asked for each time.
pub(crate) fn answer(
    asked: &HeaderMap,
    tag: HeaderValue,
    kind: HeaderValue,
    content: impl FnOnce() -> Bytes,
) -> Response {
    let known = is_known(asked, &tag);
    let mut response = match known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => Body::from(content()).into_response(),
    };
    let headers = response.headers_mut();
    if !known {
        headers.insert(CONTENT_TYPE, kind);
    }
    headers.insert(ETAG, tag);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

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
