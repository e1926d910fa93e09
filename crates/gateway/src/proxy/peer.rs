//! Who is at the other end of a client's connection.

use std::any::Any;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hyper::header::HeaderValue;

/// Who sends requests over a connection, and how. Made once for each connection, for what is said about it is written down once.
#[derive(Clone)]
pub struct Peer {
    address: IpAddr,
    is_tls: bool,
    /// The address alone.
    named: HeaderValue,
    /// `for=` and the address, as `Forwarded` wants it.
    forwarded: Box<str>,
    held: Option<Arc<dyn Any + Send + Sync>>,
}

impl Peer {
    /// The other end of a connection, and whether that is encrypted.
    pub fn new(address: SocketAddr, is_tls: bool) -> Self {
        let address = address.ip().to_canonical();
        let named = address.to_string();
        let forwarded = match address {
            IpAddr::V4(_) => format!("for={named}"),
            IpAddr::V6(_) => format!("for=\"[{named}]\""),
        };
        let named = HeaderValue::try_from(named).expect("an address is fit for a header");
        Self { address, is_tls, named, forwarded: forwarded.into(), held: None }
    }

    /// Holds this for as long as the connection lasts: the place that it takes among so many, say.
    ///
    /// For a server, a connection is over once it became a tunnel, and so is what the server holds for it. What is held here
    /// is dropped when this peer and its clones are and the tunnel has ended. Who waits until all of it was dropped waits for
    /// tunnels, too; [`Proxy::end_tunnels`](super::Proxy::end_tunnels) ends them.
    #[must_use]
    pub fn holding(self, held: Arc<dyn Any + Send + Sync>) -> Self {
        Self { held: Some(held), ..self }
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

    /// What is to be held as long as its connection lasts.
    pub(super) fn held(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.held.clone()
    }
}

impl From<SocketAddr> for Peer {
    /// A peer on a plain connection.
    fn from(address: SocketAddr) -> Self {
        Self::new(address, false)
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, is_tls, .. } = self;
        f.debug_struct("Peer").field("address", address).field("is_tls", is_tls).finish_non_exhaustive()
    }
}
