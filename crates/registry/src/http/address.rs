//! Where one gateway is, by its address.

use std::ops::Range;
use std::sync::Arc;

use hyper::Uri;
use hyper::header::HeaderValue;

use crate::Error;

/// Where one gateway is.
#[derive(Clone, Debug)]
pub(super) struct Gateway {
    /// As people read it.
    pub(super) name: Arc<str>,
    pub(super) secure: bool,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) authority: HeaderValue,
    /// What stands before the paths of the interface.
    pub(super) prefix: String,
}

impl Gateway {
    /// Reads several, with commas between them.
    pub(super) fn parse_all(addresses: &str) -> Result<Vec<Self>, Error> {
        let mut from = 0;
        let parse = |address: &str| {
            let part = from..from + address.len();
            from = part.end + 1;
            Self::parse(address, || shown(addresses, part.clone()))
        };
        addresses.split(',').map(parse).collect()
    }

    /// Reads one, which is told as `shown` where it is refused.
    fn parse(address: &str, shown: impl Fn() -> String) -> Result<Self, Error> {
        let address = address.trim();
        let refuse = |why: &str| {
            Error::invalid(format_args!(
                "{:?} cannot be the address of a gateway: {why}; accepted: http://HOST:PORT, https://HOST:PORT, either with a path",
                shown()
            ))
        };
        let uri: Uri = address.parse().map_err(|error| refuse(&format!("{error}")))?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(refuse("it begins with neither http:// nor https://")),
        };
        let authority = uri.authority().ok_or_else(|| refuse("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(refuse("a user does not belong there"));
        }
        if uri.query().is_some() || address.contains('#') {
            return Err(refuse("nothing may follow its path"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(refuse("it names no host"));
        }
        let has_odd_port = authority.port_u16().is_none() && authority.as_str() != authority.host();
        if has_odd_port || authority.port_u16() == Some(0) {
            return Err(refuse("a port is 1 to 65535"));
        }
        let prefix = uri.path().trim_end_matches('/').to_owned();
        Ok(Self {
            name: format!("{}://{authority}{prefix}", if secure { "https" } else { "http" }).into(),
            secure,
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            authority: HeaderValue::from_str(authority.as_str())
                .map_err(|_| refuse("its host is unusable"))?,
            prefix,
        })
    }
}

/// A part of some addresses as it may be told: what stands before the last `@` may be a password, and a comma is no end of that.
fn shown(addresses: &str, part: Range<usize>) -> String {
    match addresses.rfind('@') {
        Some(at) if at >= part.end => "…".to_owned(),
        Some(at) if at >= part.start => format!("…{}", &addresses[at..part.end]),
        _ => addresses[part].trim().to_owned(),
    }
}

pub(super) fn without_users(addresses: &str) -> String {
    shown(addresses, 0..addresses.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_what_is_left_out() {
        for (address, name, host, port, prefix) in [
            ("http://localhost:8480", "http://localhost:8480", "localhost", 8480, ""),
            (" http://10.0.0.5/ ", "http://10.0.0.5", "10.0.0.5", 80, ""),
            ("https://[::1]:8480/registry/", "https://[::1]:8480/registry", "::1", 8480, "/registry"),
            ("HTTPS://h", "https://h", "h", 443, ""),
        ] {
            let gateway = Gateway::parse(address, || address.to_owned()).unwrap();
            let got = (&*gateway.name, gateway.host.as_str(), gateway.port, gateway.prefix.as_str());
            assert_eq!(got, (name, host, port, prefix), "{address}");
        }
    }
}
