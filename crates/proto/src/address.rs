//! Where an instance listens.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;
use std::str::FromStr;
use std::sync::Arc;

use crate::text::quoted;

/// The longest host: with brackets, a colon and five digits an address still fits the name of a node.
const MAX_HOST: usize = crate::name::MAX_NAME - ":65535".len();

/// A host name or an IP address, with a port. Its text is `127.0.0.1:8897`, `[::1]:80` or `host.name:80`.
///
/// Kept as it was given, for in the flat layout it is the name of a node: `[::1]:80` and `[0::1]:80` are two addresses.
///
/// # Examples
///
/// ```
/// let address: proto::Address = "[::1]:80".parse()?;
/// assert_eq!((address.host(), address.port()), ("::1", 80));
/// assert_eq!(address, proto::Address::new("::1", 80)?);
/// # Ok::<(), proto::AddressError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
        let refuse = |problem| AddressError { shown: quoted(host), problem };
        check_host(host).map_err(refuse)?;
        let port = NonZeroU16::new(port).ok_or_else(|| refuse(Problem::Port))?;
        Ok(Self { host: host.into(), port })
    }

    /// The host name or IP address, an IPv6 one without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, never 0.
    pub fn port(&self) -> u16 {
        self.port.get()
    }

    /// The host as an IP address, `None` for a host name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let refuse = |problem| AddressError { shown: quoted(text), problem };
        let (host, port) = split(text).map_err(refuse)?;
        let port = parse_port(port).ok_or_else(|| refuse(Problem::Port))?;
        Ok(Self { host: host.into(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { f.pad(&format!("[{host}]:{port}")) } else { f.pad(&format!("{host}:{port}")) }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not an address. Says what was wrong and what is accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{shown} is not an address: {problem}; accepted: an IPv4 address, an IPv6 address (in brackets before a port) or a host name, with a port of \
     1-65535, as in 127.0.0.1:8897, [::1]:80, host.name:80"
)]
pub struct AddressError {
    shown: String,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("there is no port")]
    NoPort,
    #[error("the port is not a number of 1-65535 without leading zeros")]
    Port,
    #[error("there is no host")]
    NoHost,
    #[error("the host has {0} bytes, more than {MAX_HOST}")]
    LongHost(usize),
    #[error("an IPv6 address with a port needs brackets")]
    NoBrackets,
    #[error("what is in the brackets is not an IPv6 address")]
    Brackets,
    #[error("the host is neither an IPv6 address nor a host name")]
    Colon,
    #[error("the host looks like an IPv4 address and is none")]
    Ipv4,
    #[error("the host contains U+{:04X}", u32::from(*.0))]
    Character(char),
    #[error("a part of the host name is not 1-63 bytes, or begins or ends with '-'")]
    Label,
}

/// Host and port of a text, the host checked.
fn split(text: &str) -> Result<(&str, &str), Problem> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or(Problem::Brackets)?;
        host.parse::<Ipv6Addr>().map_err(|_| Problem::Brackets)?;
        return Ok((host, after.strip_prefix(':').ok_or(Problem::NoPort)?));
    }
    let (host, port) = text.rsplit_once(':').ok_or(Problem::NoPort)?;
    if host.contains(':') {
        return Err(Problem::NoBrackets);
    }
    check_host(host)?;
    Ok((host, port))
}

/// Stricter than a number's own parser, so that no two texts name one address by their port.
fn parse_port(port: &str) -> Option<NonZeroU16> {
    let plain = port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
    plain.then(|| port.parse().ok()).flatten()
}

fn check_host(host: &str) -> Result<(), Problem> {
    if host.is_empty() {
        return Err(Problem::NoHost);
    }
    if host.len() > MAX_HOST {
        return Err(Problem::LongHost(host.len()));
    }
    if host.contains(':') {
        return host.parse::<Ipv6Addr>().map(drop).map_err(|_| Problem::Colon);
    }
    let allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
    if let Some(character) = host.chars().find(|character| !allowed(*character)) {
        return Err(Problem::Character(character));
    }
    // One dot at the end makes a host name absolute.
    let labels = || host.strip_suffix('.').unwrap_or(host).split('.');
    // Resolvers read 127.1 or 010.0.0.1 each in their own way: only the plain form of four numbers means one host.
    if labels()
        .next_back()
        .is_some_and(|last| !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return host.parse::<Ipv4Addr>().map(drop).map_err(|_| Problem::Ipv4);
    }
    let good =
        |label: &str| (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-');
    if labels().all(good) { Ok(()) } else { Err(Problem::Label) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_an_address_is_shown_as_it_was_given() {
        let long = format!("{0}.{0}.{0}.{1}:65535", "x".repeat(63), "y".repeat(57));
        for text in [
            "127.0.0.1:8897",
            "[::1]:80",
            "[::ffff:1.2.3.4]:1",
            "[0:0::1]:80",
            "host.name:80",
            "HOST:1",
            "a_b-c.svc.:65535",
            "3com.example:80",
            &long,
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(Address::new(address.host(), address.port()).unwrap(), address);
        }
    }

    #[test]
    fn an_address_always_fits_the_name_of_a_node() {
        let longest = format!("{0}.{0}.{0}.{1}", "x".repeat(63), "y".repeat(57));
        let address = Address::new(&longest, 65_535).unwrap();
        assert_eq!(address.to_string().len(), crate::name::MAX_NAME);
        assert!(Address::new(&format!("{longest}z"), 1).is_err());
    }

    #[test]
    fn an_ip_is_told_from_a_host_name() {
        assert_eq!(Address::new("::1", 1).unwrap().ip(), Some(IpAddr::V6(Ipv6Addr::LOCALHOST)));
        assert_eq!(Address::new("127.0.0.1", 1).unwrap().ip(), Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        assert_eq!(Address::new("localhost", 1).unwrap().ip(), None);
    }

    #[test]
    fn each_refusal_says_what_is_wrong() {
        let long = format!("{}:80", "x".repeat(5_000));
        for (text, problem) in [
            ("", Problem::NoPort),
            ("host", Problem::NoPort),
            ("[::1]", Problem::NoPort),
            ("[::1]80", Problem::NoPort),
            ("host:", Problem::Port),
            ("host:0", Problem::Port),
            ("host:65536", Problem::Port),
            ("host:080", Problem::Port),
            ("host:+80", Problem::Port),
            ("host: 80", Problem::Port),
            ("host:-1", Problem::Port),
            ("host:٣", Problem::Port),
            (":80", Problem::NoHost),
            (&long, Problem::LongHost(5_000)),
            ("::1:80", Problem::NoBrackets),
            ("[::1:80", Problem::Brackets),
            ("[]:80", Problem::Brackets),
            ("[127.0.0.1]:80", Problem::Brackets),
            ("[fe80::1%eth0]:80", Problem::Brackets),
            ("256.0.0.1:80", Problem::Ipv4),
            ("127.1:80", Problem::Ipv4),
            ("010.0.0.1:80", Problem::Ipv4),
            ("127.0.0.1.:80", Problem::Ipv4),
            ("a b:80", Problem::Character(' ')),
            ("a/b:80", Problem::Character('/')),
            ("bücher:80", Problem::Character('ü')),
            ("user@host:80", Problem::Character('@')),
            ("a..b:80", Problem::Label),
            (".:80", Problem::Label),
            ("..:80", Problem::Label),
            ("-a:80", Problem::Label),
            ("a-.b:80", Problem::Label),
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert_eq!(error, AddressError { shown: quoted(text), problem }, "{text:?}");
        }
        assert_eq!(Address::new("a::b::c", 1).unwrap_err().problem, Problem::Colon);
        assert_eq!(Address::new("[::1]", 1).unwrap_err().problem, Problem::Colon);
        assert_eq!(Address::new("host", 0).unwrap_err().problem, Problem::Port);
    }

    #[test]
    fn the_message_is_whole_and_short() {
        assert_eq!(
            "a b:80".parse::<Address>().unwrap_err().to_string(),
            "\"a b:80\" is not an address: the host contains U+0020; accepted: an IPv4 address, an IPv6 address (in \
             brackets before a port) or a host name, with a port of 1-65535, as in 127.0.0.1:8897, [::1]:80, host.name:80"
        );
        assert!("x".repeat(5_000).parse::<Address>().unwrap_err().to_string().len() < 400);
    }
}
