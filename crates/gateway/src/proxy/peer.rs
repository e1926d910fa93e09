//! Who is at the other end of a client's connection.

use std::net::{IpAddr, SocketAddr};

use hyper::header::HeaderValue;

/// Who sends requests over a connection, and how. Made once for each connection, for what is said about it is written down once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    address: IpAddr,
    is_tls: bool,
    /// The address alone.
    named: HeaderValue,
    /// `for=` and the address, as `Forwarded` wants it.
    forwarded: Box<str>,
}

impl Peer {
    /// The other end of a connection, and whether that is encrypted.
    pub fn new(address: SocketAddr, is_tls: bool) -> Self {
        let address = address.ip().to_canonical();
        let named = address.to_string();
        let named = HeaderValue::try_from(named).expect("an address is fit for a header");
        Self { address, is_tls, named, forwarded: as_forwarded(address).into() }
    }

    /// Its address; one of IPv4 within IPv6 is one of IPv4.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// How it asks: `https` or `http`.
    pub(super) fn proto(&self) -> &'static str {
        if self.is_tls { "https" } else { "http" }
    }

    /// Its address, as a header has it.
    pub(super) fn named(&self) -> &HeaderValue {
        &self.named
    }

    /// Its address, as `Forwarded` has it.
    pub(super) fn forwarded(&self) -> &str {
        &self.forwarded
    }
}

impl From<SocketAddr> for Peer {
    /// A peer on a plain connection.
    fn from(address: SocketAddr) -> Self {
        Self::new(address, false)
    }
}

/// `for=` and an address, as `Forwarded` wants it.
pub(super) fn as_forwarded(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("for={address}"),
        IpAddr::V6(address) => format!("for=\"[{address}]\""),
    }
}
