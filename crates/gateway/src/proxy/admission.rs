//! What is refused before anything is looked for.

use std::net::Ipv6Addr;

use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode, Version};

use super::headers::{has_token, is_circling, tokens};
use super::problem::Problem;

/// Refuses what others could understand in another way than we do, and what is not done here; puts the host, as it was asked
/// for, in its header.
///
/// The server refuses by itself what has two lengths, an encoding that does not end in `chunked`, white space before a colon and
/// headers over several lines.
pub(super) fn check(parts: &mut Parts, body: &Incoming) -> Result<(), Problem> {
    if parts.method == Method::CONNECT || parts.method == Method::TRACE {
        let detail = format!("{} is not done here", parts.method);
        return Err(Problem::refused_with(StatusCode::METHOD_NOT_ALLOWED, detail));
    }
    check_length(parts, body)?;
    check_host(parts)?;
    if is_circling(&parts.headers) {
        let detail = "the request goes in a circle: it passed here too often";
        return Err(Problem::refused_with(StatusCode::LOOP_DETECTED, detail));
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

fn check_host(parts: &mut Parts) -> Result<(), Problem> {
    let mut hosts = parts.headers.get_all(HOST).into_iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Problem::refused("there are several hosts"));
    }
    let text = match host.map(HeaderValue::to_str) {
        Some(Ok(host)) => Some(host),
        Some(Err(_)) => return Err(Problem::refused("the host is none")),
        None => None,
    };
    let Some(authority) = parts.uri.authority() else {
        return match text {
            Some(host) if is_host(host) => Ok(()),
            Some(_) => Err(Problem::refused("the host is none")),
            None if parts.version < Version::HTTP_11 => Ok(()),
            None => Err(Problem::refused("there is no host")),
        };
    };
    let authority = authority.as_str();
    if !is_host(authority) || text.is_some_and(|host| !host.eq_ignore_ascii_case(authority)) {
        return Err(Problem::refused("the host and the target's are not the same"));
    }
    if text.is_none() {
        let host = HeaderValue::from_str(authority).map_err(|_| Problem::refused("the host is none"))?;
        parts.headers.insert(HOST, host);
    }
    Ok(())
}

/// A host, perhaps with a port, and nobody's name before it.
fn is_host(text: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let (is_host, rest) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => (address.parse::<Ipv6Addr>().is_ok(), rest),
        None => {
            let (name, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
            (!name.is_empty() && name.bytes().all(is_name), rest)
        }
    };
    let is_port = |port: &str| port.len() <= 5 && port.bytes().all(|it| it.is_ascii_digit());
    is_host && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
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

#[cfg(test)]
mod tests {
    use super::is_host;

    #[test]
    fn a_host_is_a_name_or_an_address_perhaps_with_a_port() {
        for host in
            ["a", "shop.example", "a:80", "192.0.2.7:8080", "[::1]", "[2001:db8::1]:443", "a_b.c-d~", "a:"]
        {
            assert!(is_host(host), "{host}");
        }
        for text in [
            "", ":80", "a b", "a/b", "me@a", "a:x", "a:123456", "[::1", "[x]", "[]", "[::1]80", "::1", "a\"",
            "a,b", "a;b", "[::1]:x",
        ] {
            assert!(!is_host(text), "{text}");
        }
    }
}
