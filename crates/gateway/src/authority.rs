//! Which host a request is for: in HTTP/2 that stands in its URI, in HTTP/1.1 in a header, and where both are there they agree.

use std::net::Ipv6Addr;

use hyper::header::{HOST, HeaderMap};
use hyper::http::Uri;

/// A host, perhaps with a port, and nobody's name before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Authority<'r>(&'r str);

/// Why it cannot be told which host a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unclear {
    /// There are several headers.
    #[error("there are several hosts")]
    Several,
    /// What stands there is no host.
    #[error("the host is none")]
    NoHost,
    /// The header and the URI have different ones.
    #[error("the host and the target's are not the same")]
    Different,
}

/// The host that a request is for; `None` when it names none.
///
/// # Errors
///
/// When there are several, it is none, or the header says another one than the URI.
pub(crate) fn of<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> Result<Option<Authority<'r>>, Unclear> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Unclear::Several);
    }
    let parsed = |text: &'r str| Authority::parse(text).ok_or(Unclear::NoHost);
    let host = host.map(|host| parsed(host.to_str().map_err(|_| Unclear::NoHost)?)).transpose()?;
    let target = uri.authority().map(|authority| parsed(authority.as_str())).transpose()?;
    match (target, host) {
        (Some(target), Some(host)) if !target.0.eq_ignore_ascii_case(host.0) => Err(Unclear::Different),
        (target, host) => Ok(target.or(host)),
    }
}

impl<'r> Authority<'r> {
    /// Nothing when it is no host.
    fn parse(text: &'r str) -> Option<Self> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let (host, port) = split(text);
        let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(is_name),
        };
        let is_port = |port: &str| port.len() <= 5 && port.bytes().all(|it| it.is_ascii_digit());
        let is_rest = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        (is_host && is_rest).then_some(Self(text))
    }

    /// As it was asked for, with the port if there is one.
    pub(crate) fn as_str(self) -> &'r str {
        self.0
    }

    /// Without the port. An IPv6 address has its brackets.
    pub(crate) fn host(self) -> &'r str {
        split(self.0).0
    }
}

/// The host, and what is behind it.
fn split(text: &str) -> (&str, &str) {
    let end = match text.starts_with('[') {
        true => text.find(']').map(|end| end + 1),
        false => text.find(':'),
    };
    text.split_at(end.unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_perhaps_with_a_port() {
        for (text, host) in [
            ("a", "a"),
            ("shop.example", "shop.example"),
            ("a:80", "a"),
            ("192.0.2.7:8080", "192.0.2.7"),
            ("[::1]", "[::1]"),
            ("[2001:db8::1]:443", "[2001:db8::1]"),
            ("a_b.c-d~", "a_b.c-d~"),
            ("a:", "a"),
        ] {
            assert_eq!(Authority::parse(text).map(Authority::host), Some(host), "{text}");
        }
        for text in [
            "", ":80", "a b", "a/b", "me@a", "a:x", "a:123456", "[::1", "[x]", "[]", "[::1]80", "::1", "a\"",
            "a,b", "a;b", "[::1]:x", "a[::1]", "a%2e",
        ] {
            assert_eq!(Authority::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_header_and_the_target_agree() {
        let (path, whole) = (Uri::from_static("/x"), Uri::from_static("http://Shop.example:80/x"));
        for (uri, hosts, told) in [
            (&path, &["shop.example"][..], Ok(Some("shop.example"))),
            (&path, &[], Ok(None)),
            (&path, &["a", "a"], Err(Unclear::Several)),
            (&path, &["me@a"], Err(Unclear::NoHost)),
            (&path, &["\u{fc}"], Err(Unclear::NoHost)),
            (&whole, &[], Ok(Some("Shop.example:80"))),
            (&whole, &["shop.EXAMPLE:80"], Ok(Some("Shop.example:80"))),
            (&whole, &["shop.example"], Err(Unclear::Different)),
            (&Uri::from_static("http://me@shop.example/"), &[], Err(Unclear::NoHost)),
        ] {
            let headers: HeaderMap =
                hosts.iter().map(|host| (HOST, HeaderValue::from_str(host).unwrap())).collect();
            assert_eq!(of(uri, &headers).map(|it| it.map(Authority::as_str)), told, "{uri} {hosts:?}");
        }
    }
}
