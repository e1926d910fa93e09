//! What is refused before anything is looked for.

use hyper::body::{Body, Incoming};
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, MAX_FORWARDS, TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode, Version};

use super::headers::{has_token, is_circling, tokens};
use super::problem::Problem;
use crate::authority;

/// Refuses what others could understand in another way than we do, and what is not done here; puts the host, as it was asked
/// for, in its header.
///
/// The server refuses by itself what has two lengths, an encoding that does not end in `chunked`, white space before a colon and
/// headers over several lines.
pub(super) fn check(parts: &mut Parts, body: &Incoming) -> Result<(), Problem> {
    if parts.method == Method::CONNECT || parts.method == Method::TRACE {
        return Err(Problem::not_done(&parts.method));
    }
    count_down(parts)?;
    check_length(parts, body)?;
    check_host(parts)?;
    if is_circling(&parts.headers) {
        let detail = "the request goes in a circle: it passed here too often";
        return Err(Problem::refused_with(StatusCode::LOOP_DETECTED, detail));
    }
    Ok(())
}

/// One proxy less may pass on what asks what can be done (RFC 9110, 7.6.2). When none may, it is asked of us, and we do nothing by ourselves.
fn count_down(parts: &mut Parts) -> Result<(), Problem> {
    if parts.method != Method::OPTIONS {
        return Ok(());
    }
    let Some(most) = parts.headers.get_mut(MAX_FORWARDS) else { return Ok(()) };
    let left = most.to_str().ok().and_then(|most| most.parse::<u64>().ok());
    match left {
        Some(0) => return Err(Problem::not_done(&parts.method)),
        Some(left) => *most = HeaderValue::from(left - 1),
        // That is no number, and nothing is said by it.
        None => {}
    }
    Ok(())
}

fn check_length(parts: &Parts, body: &Incoming) -> Result<(), Problem> {
    let headers = &parts.headers;
    if headers.contains_key(TRANSFER_ENCODING) {
        // Other encodings would be lost, for they are for one hop.
        let mut encodings = tokens(headers, &TRANSFER_ENCODING);
        let is_chunked = encodings.next().is_some_and(|it| it.eq_ignore_ascii_case(b"chunked"));
        if !is_chunked || encodings.next().is_some() {
            let detail = "a transfer encoding other than chunked is not known here";
            return Err(Problem::refused_with(StatusCode::NOT_IMPLEMENTED, detail));
        }
        if headers.contains_key(CONTENT_LENGTH) {
            return Err(Problem::refused("the request has both a length and an encoding"));
        }
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).into_iter();
    let Some(length) = lengths.next() else { return Ok(()) };
    let said = length.to_str().ok().and_then(|length| length.parse::<u64>().ok());
    let is = if body.is_end_stream() { Some(0) } else { body.size_hint().exact() };
    if lengths.next().is_some() || said.is_none() || said != is {
        return Err(Problem::refused("the length of the request is not that of its body"));
    }
    Ok(())
}

/// Refuses a body that says that it has more bytes than it may.
pub(super) fn check_size(body: &Incoming, most: Option<u64>) -> Result<(), Problem> {
    match most {
        Some(most) if body.size_hint().lower() > most => Err(Problem::too_large()),
        _ => Ok(()),
    }
}

fn check_host(parts: &mut Parts) -> Result<(), Problem> {
    let host = match authority::of(&parts.uri, &parts.headers) {
        Ok(Some(_)) if parts.headers.contains_key(HOST) => return Ok(()),
        Ok(Some(host)) => {
            HeaderValue::from_str(host.as_str()).map_err(|_| Problem::refused("the host is none"))?
        }
        Ok(None) if parts.version < Version::HTTP_11 => return Ok(()),
        Ok(None) => return Err(Problem::refused("there is no host")),
        Err(unclear) => return Err(Problem::refused(unclear.to_string())),
    };
    parts.headers.insert(HOST, host);
    Ok(())
}

/// Whether the request asks to go on as a WebSocket. Other protocols are not passed on: what `h2c` would carry, no rule sees.
pub(super) fn asks_for_websocket(parts: &Parts, body: &Incoming) -> bool {
    parts.headers.contains_key(UPGRADE)
        && parts.version == Version::HTTP_11
        && parts.method == Method::GET
        && body.is_end_stream()
        && has_token(&parts.headers, &CONNECTION, "upgrade")
        && has_token(&parts.headers, &UPGRADE, "websocket")
}
