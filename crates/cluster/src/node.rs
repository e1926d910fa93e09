//! Who a node is.

use std::fmt;
use std::net::IpAddr;

use proto::Address;

/// The greatest id that a node may have.
pub const MAX_ID: u32 = 99_999_999;

/// A node of a cluster: an id that nobody else has, and where it listens.
///
/// In JSON it is `{"nodeId":82381143,"nodeIpAddr":"127.0.0.1/8","Port":"8001"}`. The prefix length behind the IP address is what
/// some programs know of their network interface; others leave it out. It is kept as it came and means nothing here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    id: u32,
    address: Address,
    prefix: Option<u8>,
}

impl Node {
    /// A node of its parts.
    ///
    /// # Errors
    ///
    /// When the id is above [`MAX_ID`].
    pub fn new(id: u32, address: Address) -> Result<Self, IdError> {
        if id <= MAX_ID { Ok(Self { id, address, prefix: None }) } else { Err(IdError(id)) }
    }

    /// A new node at this address, whose id is drawn at random.
    pub fn draw(address: Address) -> Self {
        Self { id: rand::random_range(0..=MAX_ID), address, prefix: None }
    }

    /// The same with a prefix length; one that does not fit the host is left out.
    pub(crate) fn with_prefix(self, prefix: Option<u8>) -> Self {
        let fits = |prefix: &u8| self.address.ip().is_some_and(|ip| *prefix <= longest_prefix(ip));
        Self { prefix: prefix.filter(fits), ..self }
    }

    /// Where others find it that connected from `peer`. Old programs say of themselves that they are at the loopback address,
    /// wherever they are; that means something on their own machine alone.
    pub(crate) fn seen_from(self, peer: IpAddr) -> Self {
        // A listener for both kinds of IP sees those of the old kind as addresses of the new one.
        let peer = peer.to_canonical();
        let is_own = self.address.ip().is_some_and(|ip| ip.to_canonical().is_loopback());
        let is_misleading = is_own && !peer.is_loopback();
        match Address::new(&peer.to_string(), self.address.port()) {
            Ok(address) if is_misleading => Self { address, prefix: None, ..self },
            _ => self,
        }
    }

    /// Its id, [`MAX_ID`] at most.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The host with the prefix length, if there is one: as it goes over the wire.
    pub(crate) fn ip_addr(&self) -> String {
        let host = self.address.host();
        self.prefix.map_or_else(|| host.to_owned(), |prefix| format!("{host}/{prefix}"))
    }
}

/// The longest prefix length of such an address.
pub(crate) fn longest_prefix(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} at {}", self.id, self.address)
    }
}

/// Why a number is not the id of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not the id of a node; accepted: a whole number from 0 to {MAX_ID}")]
pub struct IdError(u32);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> Address {
        address.parse().unwrap()
    }

    #[test]
    fn an_id_has_eight_digits_at_most() {
        assert_eq!(Node::new(MAX_ID, at("h:1")).unwrap().to_string(), "node 99999999 at h:1");
        assert!(Node::new(MAX_ID + 1, at("h:1")).unwrap_err().to_string().contains("0 to 99999999"));
        assert!((0..1_000).all(|_| Node::draw(at("h:1")).id() <= MAX_ID));
        assert_ne!(Node::draw(at("h:1")).id(), Node::draw(at("h:1")).id(), "once in a hundred million");
    }

    #[test]
    fn a_prefix_length_is_kept_apart_from_the_address() {
        let node = |address| Node::new(1, at(address)).unwrap();
        for (address, prefix, shown) in [
            ("127.0.0.1:1", Some(8), "127.0.0.1/8"),
            ("127.0.0.1:1", Some(33), "127.0.0.1"),
            ("127.0.0.1:1", None, "127.0.0.1"),
            ("[::1]:1", Some(128), "::1/128"),
            ("name:1", Some(8), "name"),
        ] {
            let with = node(address).with_prefix(prefix);
            assert_eq!((with.ip_addr().as_str(), with.address()), (shown, &at(address)));
        }
    }

    #[test]
    fn a_loopback_address_of_somebody_elsewhere_is_where_they_were_seen() {
        for (says, peer, is) in [
            ("127.0.0.1:8001", "127.0.0.1", "127.0.0.1:8001"),
            ("127.0.0.1:8001", "10.0.0.7", "10.0.0.7:8001"),
            ("[::1]:8001", "fe80::7", "[fe80::7]:8001"),
            ("127.0.0.1:8001", "::ffff:127.0.0.1", "127.0.0.1:8001"),
            ("127.0.0.1:8001", "::ffff:10.0.0.7", "10.0.0.7:8001"),
            ("[::ffff:127.0.0.1]:8001", "10.0.0.7", "10.0.0.7:8001"),
            ("10.0.0.9:8001", "10.0.0.7", "10.0.0.9:8001"),
            ("name:8001", "10.0.0.7", "name:8001"),
        ] {
            let node = Node::new(1, at(says)).unwrap().seen_from(peer.parse().unwrap());
            assert_eq!(node.address(), &at(is), "{says} from {peer}");
        }
    }
}
