//! Which headers go on, and what is said about who sent them.

use std::net::{IpAddr, SocketAddr};

use bytes::BytesMut;
use hyper::Version;
use hyper::header::{CONNECTION, Entry, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, TE, VIA};

use super::rules::Trusted;

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
        let forwarded = match address {
            IpAddr::V4(_) => format!("for={named}"),
            IpAddr::V6(_) => format!("for=\"[{named}]\""),
        };
        let named = HeaderValue::try_from(named).expect("an address is fit for a header");
        Self { address, is_tls, named, forwarded: forwarded.into() }
    }

    /// Its address; one of IPv4 within IPv6 is one of IPv4.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    fn proto(&self) -> &'static str {
        if self.is_tls { "https" } else { "http" }
    }
}

impl From<SocketAddr> for Peer {
    /// A peer on a plain connection.
    fn from(address: SocketAddr) -> Self {
        Self::new(address, false)
    }
}

/// What the gateway is called where proxies name themselves.
const PSEUDONYM: &str = "headkeeper";

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Whether it is meant for the next one alone, be it named by `Connection` or not.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Removes what is meant for us alone, also what `Connection` names.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if !headers.keys().any(is_hop_by_hop) {
        return;
    }
    let mut names: Vec<HeaderName> = headers.keys().filter(|name| is_hop_by_hop(name)).cloned().collect();
    names.extend(tokens(headers, &CONNECTION).filter_map(|name| name.parse().ok()));
    for name in names {
        headers.remove(name);
    }
}

/// The parts of a header that is a list, over all of its lines.
pub(super) fn tokens<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let lines = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

/// Whether such a list has this, in capitals or not.
pub(super) fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers.contains_key(name) && tokens(headers, name).any(|it| it.eq_ignore_ascii_case(token))
}

/// Whether whoever asks takes trailers.
pub(super) fn takes_trailers(headers: &HeaderMap) -> bool {
    headers.contains_key(TE)
        && tokens(headers, &TE)
            .any(|it| it.split(';').next().is_some_and(|it| it.trim().eq_ignore_ascii_case("trailers")))
}

/// Whether this passed here so often that it goes in a circle.
pub(super) fn is_circling(headers: &HeaderMap) -> bool {
    headers.contains_key(VIA) && tokens(headers, &VIA).filter(|it| it.ends_with(PSEUDONYM)).count() >= 8
}

/// Whose request it is: the peer's, or whoever a trusted peer says. Of several proxies each believes the one before it.
pub(super) fn client(headers: &HeaderMap, peer: IpAddr, trusted: &Trusted) -> IpAddr {
    let peer = peer.to_canonical();
    if !trusted.contains(peer) {
        return peer;
    }
    let named: Vec<_> = tokens(headers, &X_FORWARDED_FOR).map(str::parse::<IpAddr>).collect();
    let mut client = peer;
    for named in named.into_iter().rev() {
        let Ok(named) = named else { break };
        client = named.to_canonical();
        if !trusted.contains(client) {
            break;
        }
    }
    client
}

/// Says who asked, for what host and how. What an untrusted peer says about that is removed.
pub(super) fn add_forwarded(headers: &mut HeaderMap, peer: &Peer, trusted: &Trusted) {
    if !trusted.contains(peer.address) {
        remove_claims(headers);
    }
    append(headers, X_FORWARDED_FOR, peer.named.clone());
    let host = headers.get(HOST).cloned();
    let mut forwarded = BytesMut::with_capacity(128);
    forwarded.extend_from_slice(peer.forwarded.as_bytes());
    if let Some(host) = &host {
        for part in [b";host=\"", host.as_bytes(), b"\""] {
            forwarded.extend_from_slice(part);
        }
    }
    forwarded.extend_from_slice(b";proto=");
    forwarded.extend_from_slice(peer.proto().as_bytes());
    // An address and a host that was let in are fit for it.
    if let Ok(forwarded) = HeaderValue::from_maybe_shared(forwarded.freeze()) {
        append(headers, FORWARDED, forwarded);
    }
    if let Some(host) = host {
        headers.entry(X_FORWARDED_HOST).or_insert(host);
    }
    headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static(peer.proto()));
}

/// Says that this passed here, over a message of this version.
pub(super) fn add_via(headers: &mut HeaderMap, version: Version) {
    let via = match version {
        Version::HTTP_2 => "2 headkeeper",
        Version::HTTP_10 => "1.0 headkeeper",
        _ => "1.1 headkeeper",
    };
    append(headers, VIA, HeaderValue::from_static(via));
}

/// Puts something behind what a list has, in one line.
fn append(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    match headers.entry(name) {
        Entry::Vacant(entry) => _ = entry.insert(value),
        Entry::Occupied(mut entry) => {
            let lines = entry.iter().chain([&value]).map(|line| line.as_bytes().trim_ascii());
            let all: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
            // Values that were there are fit for a header.
            if let Ok(value) = HeaderValue::from_bytes(&all.join(&b", "[..])) {
                entry.insert(value);
            }
        }
    }
}

/// Removes what only proxies may say, also by the names that some servers take for the same: with `_` for `-`.
fn remove_claims(headers: &mut HeaderMap) {
    let claims = |name: &&HeaderName| {
        let first = name.as_str().as_bytes()[0];
        matches!(first, b'x' | b'f') && is_claim(name.as_str().as_bytes())
    };
    if headers.keys().any(|name| claims(&name)) {
        let names: Vec<_> = headers.keys().filter(claims).cloned().collect();
        for name in names {
            headers.remove(name);
        }
    }
}

fn is_claim(name: &[u8]) -> bool {
    let is = |name: &[u8], other: &[u8]| {
        let same = |(a, b): (&u8, &u8)| a == b || (*a == b'_' && *b == b'-');
        name.len() == other.len() && name.iter().zip(other).all(same)
    };
    let prefix = b"x-forwarded-";
    is(name, b"forwarded")
        || is(name, b"x-real-ip")
        || name.get(..prefix.len()).is_some_and(|it| is(it, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let line =
            |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), value.parse().unwrap());
        let mut headers = HeaderMap::new();
        for (name, value) in lines.iter().map(line) {
            headers.append(name, value);
        }
        headers
    }

    fn trusted() -> Trusted {
        Trusted(vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()])
    }

    #[test]
    fn what_is_for_one_hop_goes_no_farther() {
        let mut map = headers(&[
            ("connection", "keep-alive, X-Secret"),
            ("connection", "close,x-other , ,in valid"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic x"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("x-secret", "1"),
            ("x-other", "1"),
            ("x-kept", "1"),
            ("content-length", "5"),
            ("trailer", "x-sum"),
        ]);
        remove_hop_by_hop(&mut map);
        let mut left: Vec<_> = map.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "trailer", "x-kept"]);
    }

    fn forwarded(lines: &[(&'static str, &str)], address: &str) -> HeaderMap {
        let mut map = headers(lines);
        let address = SocketAddr::new(address.parse().unwrap(), 5000);
        add_forwarded(&mut map, &address.into(), &trusted());
        map
    }

    #[test]
    fn who_asked_is_said_and_what_a_stranger_claims_is_not() {
        let claims = [
            ("host", "shop.example"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-for", "5.6.7.8"),
            ("x_forwarded_for", "1.2.3.4"),
            ("x-forwarded-host", "other"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-port", "1"),
            ("x-real-ip", "1.2.3.4"),
            ("forwarded", "for=1.2.3.4"),
            ("x-forward", "kept"),
        ];
        let map = forwarded(&claims, "192.0.2.7");
        assert_eq!(map["x-forwarded-for"], "192.0.2.7");
        assert_eq!(map["x-forwarded-host"], "shop.example");
        assert_eq!(map["x-forwarded-proto"], "http");
        assert_eq!(map["forwarded"], "for=192.0.2.7;host=\"shop.example\";proto=http");
        assert!(!map.contains_key("x-forwarded-port") && !map.contains_key("x-real-ip"));
        assert!(!map.contains_key("x_forwarded_for") && map.contains_key("x-forward"));
    }

    #[test]
    fn a_trusted_peer_is_believed_and_named_behind_what_it_says() {
        let said = [
            ("host", "inner"),
            ("x-forwarded-for", "1.2.3.4, 10.9.9.9"),
            ("x-forwarded-host", "shop.example"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "for=1.2.3.4"),
        ];
        let map = forwarded(&said, "::ffff:10.0.0.1");
        assert_eq!(map["x-forwarded-for"], "1.2.3.4, 10.9.9.9, 10.0.0.1");
        assert_eq!(map["x-forwarded-host"], "shop.example");
        assert_eq!(map["x-forwarded-proto"], "https");
        assert_eq!(map["forwarded"], "for=1.2.3.4, for=10.0.0.1;host=\"inner\";proto=http");
        let map = forwarded(&[], "2001:db8::1");
        assert_eq!(map["forwarded"], "for=\"[2001:db8::1]\";proto=http");
        assert_eq!(map["x-forwarded-for"], "2001:db8::1");
    }

    #[test]
    fn the_client_is_the_last_one_that_nobody_trusts() {
        for (named, peer, whose) in [
            ("1.2.3.4", "192.0.2.7", "192.0.2.7"),
            ("1.2.3.4", "10.0.0.1", "1.2.3.4"),
            ("6.6.6.6, 1.2.3.4, 10.2.2.2", "10.0.0.1", "1.2.3.4"),
            ("10.3.3.3, 10.2.2.2", "10.0.0.1", "10.3.3.3"),
            ("1.2.3.4, unknown", "10.0.0.1", "10.0.0.1"),
            ("1.2.3.4, unknown, 10.2.2.2", "10.0.0.1", "10.2.2.2"),
            ("", "10.0.0.1", "10.0.0.1"),
        ] {
            let map = headers(&[("x-forwarded-for", named)]);
            let client = client(&map, peer.parse().unwrap(), &trusted());
            assert_eq!(client.to_string(), whose, "{named} by {peer}");
        }
    }

    #[test]
    fn every_proxy_on_the_way_is_named() {
        let mut map = headers(&[("via", "1.0 fred"), ("via", "1.1 p.example")]);
        add_via(&mut map, Version::HTTP_2);
        assert_eq!(map["via"], "1.0 fred, 1.1 p.example, 2 headkeeper");
        for _ in 0..6 {
            add_via(&mut map, Version::HTTP_11);
        }
        assert!(!is_circling(&map));
        add_via(&mut map, Version::HTTP_11);
        assert!(is_circling(&map));
    }

    #[test]
    fn trailers_are_taken_by_who_says_so() {
        for (te, takes) in [
            ("trailers", true),
            ("gzip;q=1, Trailers", true),
            ("trailers;q=1", true),
            ("gzip", false),
            ("", false),
        ] {
            assert_eq!(takes_trailers(&headers(&[("te", te)])), takes, "{te}");
        }
    }
}
