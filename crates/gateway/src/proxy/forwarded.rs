//! Who a request is from, and what is said about that to whoever gets it.

use std::net::{IpAddr, SocketAddr};

use bytes::BytesMut;
use hyper::header::{FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue};

use super::elements::{Element, elements};
use super::headers::{append, tokens};
use super::peer::{Peer, as_forwarded};
use super::rules::{Believed, Trusted};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Whose request it is: the peer's, or whoever a trusted peer says. Of several proxies each believes the one before it.
pub(super) fn client(headers: &HeaderMap, peer: IpAddr, trusted: &Trusted) -> IpAddr {
    let peer = peer.to_canonical();
    if !trusted.contains(peer) {
        return peer;
    }
    let named = match trusted.believed {
        Believed::XForwarded => named(headers),
        Believed::Forwarded => whose(&elements(headers).unwrap_or_default()),
    };
    client_of(&named, trusted).and_then(|at| named[at]).unwrap_or(peer)
}

/// Where among those who asked one another the client is: the last one that nobody trusts, or behind whom it cannot be told.
fn client_of(named: &[Option<IpAddr>], trusted: &Trusted) -> Option<usize> {
    let mut client = None;
    for (at, named) in named.iter().enumerate().rev() {
        let Some(named) = named else { break };
        client = Some(at);
        if !trusted.contains(*named) {
            break;
        }
    }
    client
}

/// Who asked whom by `X-Forwarded-For`, the last one last; `None` for one of whom that cannot be told.
fn named(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    tokens(headers, &X_FORWARDED_FOR).map(node).collect()
}

/// The same by `Forwarded`.
fn whose(elements: &[Element<'_>]) -> Vec<Option<IpAddr>> {
    elements.iter().map(|element| element.whose.as_deref().and_then(node)).collect()
}

/// An address, perhaps with a port, in brackets and quotes as RFC 7239 (section 6) wants them of some.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?;
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    bare.parse().ok().or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

/// Says who asked, for what host and how, in both ways: whoever reads only one of them is to read the same.
///
/// What an untrusted peer says about that is removed, and of a trusted one what it does not write itself: that may be its client's own.
pub(super) fn add_forwarded(headers: &mut HeaderMap, peer: &Peer, trusted: &Trusted) {
    let believed = trusted.contains(peer.address()).then_some(trusted.believed);
    remove_claims(headers, believed);
    let mut forwarded = BytesMut::with_capacity(128);
    match believed {
        None => {}
        Some(Believed::XForwarded) => {
            for before in named(headers) {
                forwarded.extend_from_slice(before.map_or("for=unknown".to_owned(), as_forwarded).as_bytes());
                forwarded.extend_from_slice(b", ");
            }
        }
        Some(Believed::Forwarded) => say_as_x_forwarded(headers, trusted),
    }
    append(headers, X_FORWARDED_FOR, peer.named().clone());
    let host = headers.get(HOST).cloned();
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

/// Says in the other way what a trusted peer says by `Forwarded`. What of that cannot be understood is removed: what we put behind it,
/// others would not find either.
fn say_as_x_forwarded(headers: &mut HeaderMap, trusted: &Trusted) {
    let Some(elements) = elements(headers) else {
        headers.remove(FORWARDED);
        return;
    };
    let named = whose(&elements);
    // Said by the proxy that the client asked, as far as that is known; else by the last one.
    let first = client_of(&named, trusted).map_or(elements.last(), |at| elements.get(at));
    let value = |said: Option<&[u8]>| said.and_then(|said| HeaderValue::from_bytes(said).ok());
    let host = value(first.and_then(|element| element.host.as_deref()));
    let proto = value(first.and_then(|element| element.proto.as_deref()));
    let all = named.into_iter().collect::<Option<Vec<_>>>().filter(|all| !all.is_empty());
    let list = all.map(|all| all.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", "));
    let list = list.and_then(|list| HeaderValue::try_from(list).ok());
    let said = [(X_FORWARDED_FOR, list), (X_FORWARDED_HOST, host), (X_FORWARDED_PROTO, proto)];
    headers.extend(said.into_iter().filter_map(|(name, value)| Some((name, value?))));
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

/// Whether some servers take it for something else that was looked at here: for a claim or a length, written with `_` or `.` or the like for `-`, or,
/// as `Proxy` is by programs that see headers as variables of their environment, for the proxy that they are to use.
fn is_disguised(name: &HeaderName) -> bool {
    let is_odd = |it: char| !it.is_ascii_alphanumeric() && it != '-';
    if !name.as_str().contains(is_odd) {
        return name == "proxy";
    }
    let plain = name.as_str().replace(is_odd, "-");
    matches!(plain.as_str(), "content-length" | "transfer-encoding")
        || HeaderName::from_bytes(plain.as_bytes()).is_ok_and(|plain| is_claim(&plain))
}

/// Removes what is disguised, and all claims but those that are believed.
fn remove_claims(headers: &mut HeaderMap, believed: Option<Believed>) {
    let is_removed = |name: &&HeaderName| {
        is_disguised(name)
            || match believed {
                None => is_claim(name),
                Some(Believed::XForwarded) => is_claim(name) && !name.as_str().starts_with("x-forwarded-"),
                Some(Believed::Forwarded) => *name != FORWARDED && is_claim(name),
            }
    };
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

    fn trusted(believed: Believed) -> Trusted {
        Trusted { networks: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()], believed }
    }

    fn said(lines: &[(&'static str, &str)], address: &str, believed: Believed) -> HeaderMap {
        let mut map = headers(lines);
        let address = SocketAddr::new(address.parse().unwrap(), 5000);
        add_forwarded(&mut map, &address.into(), &trusted(believed));
        map
    }

    fn forwarded(lines: &[(&'static str, &str)], address: &str) -> HeaderMap {
        said(lines, address, Believed::XForwarded)
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
            "x.forwarded.for",
            "x~forwarded-for",
            "x-forwarded|for",
            "x_real_ip",
            "content_length",
            "content.length",
            "transfer_encoding",
            "proxy",
        ];
        for address in ["192.0.2.7", "10.0.0.1"] {
            let map = forwarded(&disguised.map(|name| (name, "1")), address);
            assert!(disguised.iter().all(|name| !map.contains_key(*name)), "{map:?}");
        }
        let map = forwarded(&[("my_own", "1"), ("my.own", "1"), ("proxying", "1")], "192.0.2.7");
        assert!(map.contains_key("my_own") && map.contains_key("my.own") && map.contains_key("proxying"));
    }

    #[test]
    fn a_trusted_peer_is_believed_and_named_behind_what_it_says() {
        let said = [
            ("host", "inner"),
            ("x-forwarded-for", "1.2.3.4, 10.9.9.9"),
            ("x-forwarded-host", "shop.example"),
            ("x-forwarded-proto", "https"),
            // Its client's own, as far as anybody knows.
            ("forwarded", "for=6.6.6.6;host=evil"),
        ];
        let map = forwarded(&said, "::ffff:10.0.0.1");
        assert_eq!(map["x-forwarded-for"], "1.2.3.4, 10.9.9.9, 10.0.0.1");
        assert_eq!(map["x-forwarded-host"], "shop.example");
        assert_eq!(map["x-forwarded-proto"], "https");
        let both = "for=1.2.3.4, for=10.9.9.9, for=10.0.0.1;host=\"inner\";proto=http";
        assert_eq!(map["forwarded"], both);
        let map = forwarded(&[("x-forwarded-for", "unknown, 2001:db9::7")], "10.0.0.1");
        assert_eq!(map["forwarded"], "for=unknown, for=\"[2001:db9::7]\", for=10.0.0.1;proto=http");
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
            let client = client(&map, peer.parse().unwrap(), &trusted(Believed::XForwarded));
            assert_eq!(client.to_string(), whose, "{named} by {peer}");
        }
    }

    #[test]
    fn of_a_proxy_that_writes_one_of_both_the_other_may_be_its_clients_own() {
        let own = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-host", "evil"), ("x-real-ip", "6.6.6.6")];
        let both =
            [&own[..], &[("host", "inner"), ("forwarded", "for=1.2.3.4;host=shop.example;proto=https")]];
        let both = both.concat();
        let peer = "10.0.0.1".parse().unwrap();
        let whose = |believed| client(&headers(&both), peer, &trusted(believed)).to_string();
        assert_eq!(
            (whose(Believed::Forwarded), whose(Believed::XForwarded)),
            ("1.2.3.4".into(), "6.6.6.6".into())
        );
        let map = said(&both, "10.0.0.1", Believed::Forwarded);
        assert_eq!(map["x-forwarded-for"], "1.2.3.4, 10.0.0.1");
        assert_eq!([&map["x-forwarded-host"], &map["x-forwarded-proto"]], ["shop.example", "https"]);
        assert!(!map.contains_key("x-real-ip"), "{map:?}");
        assert_eq!(
            map["forwarded"],
            "for=1.2.3.4;host=shop.example;proto=https, for=10.0.0.1;host=\"inner\";proto=http"
        );
        // Unless it is said that it is what proxies write, it says nothing.
        let alone = headers(&[("forwarded", "for=6.6.6.6")]);
        assert_eq!(client(&alone, peer, &trusted(Believed::XForwarded)), peer);
        assert_eq!(
            forwarded(&[("forwarded", "for=6.6.6.6")], "10.0.0.1")["forwarded"],
            "for=10.0.0.1;proto=http"
        );
        // Of a stranger neither counts.
        let map = said(&both, "192.0.2.7", Believed::Forwarded);
        assert_eq!([&map["x-forwarded-for"], &map["x-forwarded-host"]], ["192.0.2.7", "inner"]);
        assert_eq!(map["forwarded"], "for=192.0.2.7;host=\"inner\";proto=http");
    }

    #[test]
    fn whatever_is_believed_of_a_proxy_other_claims_may_be_its_clients_own() {
        let others = ["x-real-ip", "x-original-url", "x-rewrite-url"];
        for believed in [Believed::XForwarded, Believed::Forwarded] {
            let map = said(&others.map(|name| (name, "/admin")), "10.0.0.1", believed);
            assert!(others.iter().all(|name| !map.contains_key(*name)), "{map:?} by {believed:?}");
        }
        let map = forwarded(&[("x-forwarded-prefix", "/shop")], "10.0.0.1");
        assert_eq!(map["x-forwarded-prefix"], "/shop");
    }

    #[test]
    fn a_proxy_that_writes_the_standard_is_believed_by_it() {
        for (said_by_it, whose, list) in [
            ("for=1.2.3.4", "1.2.3.4", "1.2.3.4, 10.0.0.1"),
            ("proto=https; For=\"1.2.3.4:80\" ;by=10.9.9.9", "1.2.3.4", "1.2.3.4, 10.0.0.1"),
            (
                "for=6.6.6.6, for=\"[2001:DB9::1]:80\", for=10.2.2.2",
                "2001:db9::1",
                "6.6.6.6, 2001:db9::1, 10.2.2.2, 10.0.0.1",
            ),
            // A list in quotes is one name, and none of a proxy.
            ("for=\"6.6.6.6, for=1.2.3.4\"", "10.0.0.1", "10.0.0.1"),
            ("by=\"x, for=6.6.6.6\";for=1.2.3.4", "1.2.3.4", "1.2.3.4, 10.0.0.1"),
            (r#"for="\[2001:db9::1\]:80""#, "2001:db9::1", "2001:db9::1, 10.0.0.1"),
            ("for=6.6.6.6;for=1.2.3.4", "10.0.0.1", "10.0.0.1"),
            ("for=unknown", "10.0.0.1", "10.0.0.1"),
            ("for=_hidden, for=10.2.2.2", "10.2.2.2", "10.0.0.1"),
            ("by=1.2.3.4", "10.0.0.1", "10.0.0.1"),
        ] {
            let map = headers(&[("forwarded", said_by_it)]);
            let client = client(&map, "10.0.0.1".parse().unwrap(), &trusted(Believed::Forwarded));
            assert_eq!(client.to_string(), whose, "{said_by_it}");
            let map = said(&[("forwarded", said_by_it)], "10.0.0.1", Believed::Forwarded);
            assert_eq!(map["x-forwarded-for"], list, "{said_by_it}");
            assert_eq!(map["forwarded"], format!("{said_by_it}, for=10.0.0.1;proto=http"));
        }
    }

    #[test]
    fn behind_a_quote_that_a_client_left_open_it_is_the_proxy_that_asks() {
        // The proxy has put its part behind what its client sent.
        let cut = [("host", "inner"), ("forwarded", "for=\"6.6.6.6, for=1.2.3.4;proto=https")];
        let client = client(&headers(&cut), "10.0.0.1".parse().unwrap(), &trusted(Believed::Forwarded));
        assert_eq!(client.to_string(), "10.0.0.1");
        let map = said(&cut, "10.0.0.1", Believed::Forwarded);
        assert_eq!(map["forwarded"], "for=10.0.0.1;host=\"inner\";proto=http");
        assert_eq!([&map["x-forwarded-for"], &map["x-forwarded-proto"]], ["10.0.0.1", "http"]);
    }

    #[test]
    fn a_proxy_that_hides_its_client_tells_how_it_was_asked_all_the_same() {
        let hides = [
            ("host", "inner"),
            ("forwarded", "for=1.2.3.4;proto=http, for=_hidden;proto=https;host=\"a b\""),
        ];
        let map = said(&hides, "10.0.0.1", Believed::Forwarded);
        assert_eq!([&map["x-forwarded-for"], &map["x-forwarded-proto"]], ["10.0.0.1", "https"]);
    }
}
