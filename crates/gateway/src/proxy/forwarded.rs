//! Who a request is from, and what is said about that to whoever gets it.

use std::net::{IpAddr, SocketAddr};

use bytes::BytesMut;
use hyper::header::{FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue};

use super::headers::{append, tokens};
use super::peer::Peer;
use super::rules::Trusted;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Whose request it is: the peer's, or whoever a trusted peer says. Of several proxies each believes the one before it.
pub(super) fn client(headers: &HeaderMap, peer: IpAddr, trusted: &Trusted) -> IpAddr {
    let peer = peer.to_canonical();
    if !trusted.contains(peer) {
        return peer;
    }
    let mut client = peer;
    for named in named(headers).into_iter().rev() {
        let Some(named) = named else { break };
        client = named;
        if !trusted.contains(client) {
            break;
        }
    }
    client
}

/// Who asked whom, as proxies say, the last one last; `None` for one of whom that cannot be told. `Forwarded` counts where there is no
/// `X-Forwarded-For`: of a proxy that writes that one alone, the other may be the client's own.
fn named(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    if headers.contains_key(X_FORWARDED_FOR) {
        return tokens(headers, &X_FORWARDED_FOR).map(node).collect();
    }
    let of = |element: &[u8]| {
        let mut pairs = element.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let named = pairs.find_map(|pair| {
            let (name, value) = pair.split_at_checked("for=".len())?;
            name.eq_ignore_ascii_case(b"for=").then_some(value)
        });
        named.and_then(node)
    };
    tokens(headers, &FORWARDED).map(of).collect()
}

/// An address, perhaps with a port, in brackets and quotes as RFC 7239 (section 6) wants them of some.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?;
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    bare.parse().ok().or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

/// Says who asked, for what host and how. What an untrusted peer says about that is removed.
pub(super) fn add_forwarded(headers: &mut HeaderMap, peer: &Peer, trusted: &Trusted) {
    remove_claims(headers, trusted.contains(peer.address()));
    // Whoever reads only one of both is to read the same.
    if !headers.contains_key(X_FORWARDED_FOR)
        && let Some(before) = named(headers).into_iter().collect::<Option<Vec<_>>>()
        && !before.is_empty()
    {
        let before = before.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
        headers.extend(HeaderValue::try_from(before).ok().map(|before| (X_FORWARDED_FOR, before)));
    }
    append(headers, X_FORWARDED_FOR, peer.named().clone());
    let host = headers.get(HOST).cloned();
    let mut forwarded = BytesMut::with_capacity(128);
    forwarded.extend_from_slice(peer.forwarded().as_bytes());
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

/// Whether only proxies may say it: who asked, for what host, how, and for what path before they changed it.
pub(super) fn is_claim(name: &HeaderName) -> bool {
    let name = name.as_str();
    match name.as_bytes().first() {
        Some(b'f') => name == "forwarded",
        Some(b'x') => {
            name.starts_with("x-forwarded-")
                || matches!(name, "x-real-ip" | "x-original-url" | "x-rewrite-url")
        }
        _ => false,
    }
}

/// Whether some servers take it for something else that was looked at here: for a claim or a length, written with `_` for `-`, or,
/// as `Proxy` is by programs that see headers as variables of their environment, for the proxy that they are to use.
fn is_disguised(name: &HeaderName) -> bool {
    if !name.as_str().contains('_') {
        return name == "proxy";
    }
    let plain = name.as_str().replace('_', "-");
    matches!(plain.as_str(), "content-length" | "transfer-encoding")
        || HeaderName::from_bytes(plain.as_bytes()).is_ok_and(|plain| is_claim(&plain))
}

/// Removes what is disguised, and claims of whoever is not trusted to make them.
fn remove_claims(headers: &mut HeaderMap, is_trusted: bool) {
    let is_removed = |name: &&HeaderName| is_disguised(name) || (!is_trusted && is_claim(name));
    if headers.keys().any(|name| is_removed(&name)) {
        let names: Vec<_> = headers.keys().filter(is_removed).cloned().collect();
        for name in names {
            headers.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::super::headers::tests::headers;
    use super::*;

    fn trusted() -> Trusted {
        Trusted(vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()])
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
            ("x-forwarded_for", "1.2.3.4"),
            ("x-original-url", "/admin"),
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
        let mut left: Vec<_> = map.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        let expected =
            ["forwarded", "host", "x-forward", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];
        assert_eq!(left, expected);
    }

    #[test]
    fn nobody_says_in_disguise_what_is_said_by_us() {
        let disguised = [
            "x_forwarded_for",
            "x-forwarded_for",
            "x_real_ip",
            "content_length",
            "transfer_encoding",
            "proxy",
        ];
        for address in ["192.0.2.7", "10.0.0.1"] {
            let map = forwarded(&disguised.map(|name| (name, "1")), address);
            assert!(disguised.iter().all(|name| !map.contains_key(*name)), "{map:?}");
        }
        let map = forwarded(&[("my_own", "1"), ("proxying", "1")], "192.0.2.7");
        assert!(map.contains_key("my_own") && map.contains_key("proxying"));
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
            ("1.2.3.4:5678", "10.0.0.1", "1.2.3.4"),
            ("2001:db9::1, [2001:db8::2]:80", "10.0.0.1", "2001:db9::1"),
            ("", "10.0.0.1", "10.0.0.1"),
        ] {
            let map = headers(&[("x-forwarded-for", named), ("forwarded", "for=6.6.6.6")]);
            let client = client(&map, peer.parse().unwrap(), &trusted());
            assert_eq!(client.to_string(), whose, "{named} by {peer}");
        }
    }

    #[test]
    fn a_proxy_that_knows_the_standard_alone_is_believed_too() {
        for (said, whose, list) in [
            ("for=1.2.3.4", "1.2.3.4", "1.2.3.4, 10.0.0.1"),
            ("proto=https; For=\"1.2.3.4:80\" ;by=10.9.9.9", "1.2.3.4", "1.2.3.4, 10.0.0.1"),
            (
                "for=6.6.6.6, for=\"[2001:DB9::1]:80\", for=10.2.2.2",
                "2001:db9::1",
                "6.6.6.6, 2001:db9::1, 10.2.2.2, 10.0.0.1",
            ),
            ("for=unknown", "10.0.0.1", "10.0.0.1"),
            ("for=_hidden, for=10.2.2.2", "10.2.2.2", "10.0.0.1"),
            ("by=1.2.3.4", "10.0.0.1", "10.0.0.1"),
        ] {
            let map = headers(&[("forwarded", said)]);
            assert_eq!(client(&map, "10.0.0.1".parse().unwrap(), &trusted()).to_string(), whose, "{said}");
            assert_eq!(forwarded(&[("forwarded", said)], "10.0.0.1")["x-forwarded-for"], list, "{said}");
        }
    }
}
