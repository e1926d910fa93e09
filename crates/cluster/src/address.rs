//! Where a node listens.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;
use std::str::FromStr;
use std::sync::Arc;

use crate::text::quoted;

/// The most bytes of a host name that a resolver takes.
const MAX_HOST: usize = 253;

/// An IP address or a host name, with a port. Its text is `127.0.0.1:8001`, `[::1]:8001` or `host.name:8001`.
///
/// # Examples
///
/// ```
/// let address: cluster::Address = "[::1]:8001".parse()?;
/// assert_eq!((address.host(), address.port()), ("::1", 8001));
/// # Ok::<(), cluster::AddressError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address {
    host: Arc<str>,
    port: NonZeroU16,
}

impl Address {
    /// An address of its parts; an IPv6 host comes without brackets.
    ///
    /// # Errors
    ///
    /// When `host` is neither an IP address nor a host name, or `port` is 0.
    pub fn new(host: &str, port: u16) -> Result<Self, AddressError> {
        let refused = || AddressError { shown: quoted(host) };
        let port = NonZeroU16::new(port).ok_or_else(refused)?;
        if is_host(host) { Ok(Self { host: host.into(), port }) } else { Err(refused()) }
    }

    /// The IP address or host name, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, never 0.
    pub fn port(&self) -> u16 {
        self.port.get()
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        split(text)
            .and_then(|(host, port)| Self::new(host, port).ok())
            .ok_or_else(|| AddressError { shown: quoted(text) })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{shown} is not an address; accepted: an IPv4 address, an IPv6 address in brackets or a host name, with a port of 1-65535, as in \
     127.0.0.1:8001, [::1]:8001, host.name:8001"
)]
pub struct AddressError {
    shown: String,
}

/// What a host may be, for those who refuse one.
pub(crate) const HOST: &str = "an IP address or a host name";

/// The port that a text is, without signs, leading zeros or spaces.
pub(crate) fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    if plain { text.parse().ok() } else { None }
}

fn split(text: &str) -> Option<(&str, u16)> {
    let (host, after) = text.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').filter(|host| host.contains(':'))?,
        None if host.contains(':') => return None,
        None => host,
    };
    Some((host, port(after)?))
}

/// Whether this may be connected to: nothing in it is for a terminal, a path or another protocol.
pub(crate) fn is_host(host: &str) -> bool {
    if host.contains(':') {
        return host.parse::<Ipv6Addr>().is_ok();
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let labels = || host.strip_suffix('.').unwrap_or(host).split('.');
    // Resolvers read 127.1 or 010.0.0.1 each in their own way: only the plain form of four numbers means one host.
    if labels().next_back().is_some_and(|last| !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit())) {
        return host.parse::<Ipv4Addr>().is_ok();
    }
    host.len() <= MAX_HOST
        && host.bytes().all(allowed)
        && labels().all(|label| (1..=63).contains(&label.len()) && !label.starts_with('-'))
}

/// The longest prefix length that fits this host; a host name has none.
pub(crate) fn longest_prefix(host: &str) -> Option<u8> {
    match host.parse().ok()? {
        IpAddr::V4(_) => Some(32),
        IpAddr::V6(_) => Some(128),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_an_address_is_shown_as_it_was_given() {
        for text in ["127.0.0.1:8001", "[::1]:80", "[0:0::1]:1", "host.name:65535", "a_b-c.svc.:80"] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(Address::new(address.host(), address.port()).unwrap(), address);
        }
    }

    #[test]
    fn what_is_none_is_refused_in_few_words() {
        let long = format!("{}:80", "x.".repeat(5_000));
        for text in [
            "",
            "host",
            "8001",
            ":80",
            "host:",
            "host:0",
            "host:080",
            "host:+80",
            "host:65536",
            "::1:80",
            "[::1]80",
            "[127.0.0.1]:80",
            "[]:80",
            "127.1:80",
            "256.0.0.1:80",
            "127.0.0.1/8:80",
            "a b:80",
            "a..b:80",
            "-a:80",
            "bücher:80",
            "\x1b[2J:80",
            "fe80::1%eth0:80",
            &long,
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains("accepted: ") && error.len() < 400, "{text:?}: {error}");
            assert!(!error.contains(char::is_control), "{error}");
        }
        assert!(Address::new("[::1]", 1).is_err() && Address::new("host", 0).is_err());
    }
}
