//! What a pick is for.

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use proto::InstanceId;
use twox_hash::XxHash3_64;

/// What a pick is for: a key, for algorithms that choose by one, and the instances that were tried already.
///
/// # Examples
///
/// ```
/// use std::collections::HashSet;
///
/// use loadbalance::{Key, Request};
///
/// // The port does not count, and an IPv4 address is one also inside IPv6.
/// let client: std::net::SocketAddr = "[::ffff:192.0.2.7]:51234".parse()?;
/// assert_eq!(Request::client(client).key(), Some(Key::Client("192.0.2.7".parse()?)));
///
/// let tried = HashSet::from([proto::InstanceId::parse("10.0.0.1:80")?]);
/// let again = Request::url("/data/video?id=7").tried(&tried);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    key: Option<Key<'a>>,
    tried: Option<&'a HashSet<InstanceId>>,
    attempt: u32,
}

impl<'a> Request<'a> {
    /// A request of the client at this address, for ip-hash: of an `IpAddr` or a `SocketAddr`, such as that of the connection.
    pub fn client(address: impl Into<Client>) -> Self {
        Self::with_key(Key::Client(address.into().0))
    }

    /// A request for this path with its query, for url-hash. Taken as it is: `/a` and `/a/` are two keys.
    pub fn url(path: &'a str) -> Self {
        Self::with_key(Key::Url(path))
    }

    /// A request with any key (all with an empty one go to the same instance), for
    /// [`Hash::by_key`](crate::Hash::by_key) and algorithms of one's own.
    pub fn keyed(key: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self::with_key(Key::Bytes(key.as_ref()))
    }

    /// A request with this key. An IPv4 address inside IPv6 is made IPv4.
    pub fn with_key(key: Key<'a>) -> Self {
        let key = match key {
            Key::Client(address) => Key::Client(address.to_canonical()),
            other => other,
        };
        Self { key: Some(key), ..Self::default() }
    }

    /// The same request, once these were tried: they are not picked again for it.
    #[must_use]
    pub fn tried(self, tried: &'a HashSet<InstanceId>) -> Self {
        // Those that were never given any take the shorter way.
        Self { tried: Some(tried).filter(|tried| !tried.is_empty()), ..self }
    }

    /// What it is hashed by, or otherwise chosen by.
    pub fn key(&self) -> Option<Key<'a>> {
        self.key
    }

    /// How often the algorithm picked one for this request that was tried already, in this one pick. An algorithm need not mind:
    /// the balancer asks it again a few times, and then takes another one itself.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether this instance was tried for the request.
    pub fn was_tried(&self, id: &InstanceId) -> bool {
        self.tried.is_some_and(|tried| tried.contains(id))
    }

    /// The hash of the key, if it is of this kind.
    #[inline]
    pub(crate) fn hash_of(&self, kind: KeyKind) -> Option<u64> {
        // By reference: a copy of the key would wait for itself to be written.
        self.key.as_ref().filter(|key| key.kind() == kind).map(Key::hash)
    }

    /// How many were tried.
    pub(crate) fn tries(&self) -> usize {
        self.tried.map_or(0, HashSet::len)
    }

    /// Whether there is anybody who was tried.
    #[inline]
    pub(crate) fn is_retry(&self) -> bool {
        self.tried.is_some()
    }

    pub(crate) fn at_attempt(&self, attempt: u32) -> Self {
        Self { attempt, ..*self }
    }
}

/// What a request is chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// The client's address.
    Client(IpAddr),
    /// A path with its query.
    Url(&'a str),
    /// Anything.
    Bytes(&'a [u8]),
}

impl Key<'_> {
    /// Of which kind it is.
    pub fn kind(&self) -> KeyKind {
        match self {
            Self::Client(_) => KeyKind::Client,
            Self::Url(_) => KeyKind::Url,
            Self::Bytes(_) => KeyKind::Bytes,
        }
    }

    /// XXH3-64 of what it is made of: of an address its 4 or 16 bytes, of a path its UTF-8.
    #[inline]
    pub(crate) fn hash(&self) -> u64 {
        match self {
            Self::Client(IpAddr::V4(address)) => XxHash3_64::oneshot(&address.octets()),
            Self::Client(IpAddr::V6(address)) => XxHash3_64::oneshot(&address.octets()),
            Self::Url(path) => XxHash3_64::oneshot(path.as_bytes()),
            Self::Bytes(key) => XxHash3_64::oneshot(key),
        }
    }
}

/// The kinds of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// The address of a client.
    Client,
    /// A path with its query.
    Url,
    /// Any bytes.
    Bytes,
}

impl KeyKind {
    /// Reads a key of this kind: an address with or without a port, a path that begins with `/`, or any text but an empty one.
    ///
    /// # Errors
    ///
    /// When the text is none, with what is accepted.
    pub fn parse(self, text: &str) -> Result<Key<'_>, KeyError> {
        let refused = || KeyError { shown: text.chars().take(80).collect(), accepted: self.accepted() };
        match self {
            Self::Client => {
                let address =
                    text.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|it| it.ip()));
                let client = address.map(|address| Key::Client(address.to_canonical()));
                client.map_err(|_| refused())
            }
            Self::Url if text.starts_with('/') => Ok(Key::Url(text)),
            Self::Url => Err(refused()),
            Self::Bytes if !text.is_empty() => Ok(Key::Bytes(text.as_bytes())),
            Self::Bytes => Err(refused()),
        }
    }

    /// What [`parse`](Self::parse) accepts, with an example.
    pub fn accepted(self) -> &'static str {
        match self {
            Self::Client => "an IP address, with or without a port: 192.0.2.7, [2001:db8::1]:443",
            Self::Url => "a path with its query: /data/video?id=7",
            Self::Bytes => "any text but an empty one",
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "the address of a client",
            Self::Url => "a path with its query",
            Self::Bytes => "a key",
        })
    }
}

/// A text that is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{shown:?} is no key; accepted: {accepted}")]
pub struct KeyError {
    shown: String,
    accepted: &'static str,
}

/// The address of a client, whatever it is known as. Its port does not count, and IPv4 inside IPv6 is IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client(IpAddr);

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        Self(address.to_canonical())
    }
}

impl From<SocketAddr> for Client {
    fn from(address: SocketAddr) -> Self {
        address.ip().into()
    }
}

impl From<Ipv4Addr> for Client {
    fn from(address: Ipv4Addr) -> Self {
        Self(address.into())
    }
}

impl From<Ipv6Addr> for Client {
    fn from(address: Ipv6Addr) -> Self {
        IpAddr::from(address).into()
    }
}
