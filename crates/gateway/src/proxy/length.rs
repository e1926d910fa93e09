//! Where the answer of an instance ends, said in one way to whoever gets it. Pure.

use hyper::StatusCode;
use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, TRANSFER_ENCODING};

use super::headers::tokens;

/// Nobody can tell where an answer ends: it has several lengths, or an encoding that we do not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unclear;

/// Leaves at most one length in the head of an answer, and none where its encoding says where it ends (RFC 9112, 6.3). Says
/// whether whoever sent it may be sent another request on the same connection: with both, nobody knows what it took for the end.
///
/// # Errors
///
/// Where it is unclear. What is wrong with a body that comes, the client of HTTP has refused before; not of answers to `HEAD`
/// and with 304, which have a length and no body.
pub(super) fn clarify(status: StatusCode, headers: &mut HeaderMap) -> Result<bool, Unclear> {
    if headers.contains_key(TRANSFER_ENCODING) {
        // Any other encoding is for one hop, and the body would go on without being decoded.
        let encodings: Vec<_> = tokens(headers, &TRANSFER_ENCODING).collect();
        if !matches!(encodings[..], [one] if one.eq_ignore_ascii_case(b"chunked")) {
            return Err(Unclear);
        }
        return Ok(headers.remove(CONTENT_LENGTH).is_none());
    }
    if status == StatusCode::NO_CONTENT {
        headers.remove(CONTENT_LENGTH);
        return Ok(true);
    }
    let mut lines = headers.get_all(CONTENT_LENGTH).into_iter();
    let Some(first) = lines.next() else { return Ok(true) };
    if lines.next().is_none() && is_length(first.as_bytes()) {
        return Ok(true);
    }
    let lengths: Vec<_> = tokens(headers, &CONTENT_LENGTH).collect();
    let length = lengths.first().copied().filter(|length| is_length(length)).ok_or(Unclear)?;
    if lengths.iter().any(|other| *other != length) {
        return Err(Unclear);
    }
    let length = HeaderValue::from_bytes(length).map_err(|_| Unclear)?;
    headers.insert(CONTENT_LENGTH, length);
    Ok(true)
}

/// Nothing but digits, and no more than a number has.
fn is_length(text: &[u8]) -> bool {
    str::from_utf8(text).is_ok_and(|text| !text.starts_with('+') && text.parse::<u64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::super::headers::tests::headers;
    use super::*;

    #[test]
    fn an_answer_ends_in_one_place_or_is_refused() {
        let (length, encoding) = ("content-length", "transfer-encoding");
        // What was said, what goes on, and whether the connection does.
        type Case<'c> = (&'c [(&'static str, &'c str)], Result<(Option<&'c str>, bool), Unclear>);
        let cases: [Case<'_>; 16] = [
            (&[], Ok((None, true))),
            (&[(length, "5")], Ok((Some("5"), true))),
            (&[(length, "0")], Ok((Some("0"), true))),
            (&[(length, "5"), (length, "5")], Ok((Some("5"), true))),
            (&[(length, "5, 5"), (length, "5")], Ok((Some("5"), true))),
            (&[(length, "5"), (length, "6")], Err(Unclear)),
            (&[(length, "5, 6")], Err(Unclear)),
            (&[(length, "5 6")], Err(Unclear)),
            (&[(length, "+5")], Err(Unclear)),
            (&[(length, "-5")], Err(Unclear)),
            (&[(length, "")], Err(Unclear)),
            (&[(length, "99999999999999999999")], Err(Unclear)),
            (&[(encoding, "Chunked")], Ok((None, true))),
            (&[(encoding, "chunked"), (length, "5")], Ok((None, false))),
            (&[(encoding, "gzip, chunked")], Err(Unclear)),
            (&[(encoding, "chunked"), (encoding, "chunked")], Err(Unclear)),
        ];
        for (said, expected) in cases {
            let mut map = headers(said);
            let clear = clarify(StatusCode::OK, &mut map);
            let lengths: Vec<_> = map.get_all(length).iter().map(|it| it.to_str().unwrap()).collect();
            assert!(clear.is_err() || lengths.len() < 2, "{said:?}");
            assert_eq!(clear.map(|keeps| (lengths.first().copied(), keeps)), expected, "{said:?}");
        }
    }

    #[test]
    fn what_has_no_content_has_no_length() {
        let mut map = headers(&[("content-length", "5")]);
        assert_eq!(clarify(StatusCode::NO_CONTENT, &mut map), Ok(true));
        assert!(map.is_empty());
    }
}
