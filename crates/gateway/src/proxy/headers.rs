//! Which headers go on, and which do not.

use std::time::Duration;

use hyper::Version;
use hyper::header::{CONNECTION, COOKIE, Entry, HeaderMap, HeaderName, HeaderValue, TE, VIA};

use super::forwarded::is_claim;

/// What the gateway is called where proxies name themselves.
const PSEUDONYM: &[u8] = b"headkeeper";

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// Whether it is meant for the next one alone, be it named by `Connection` or not.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "http2-settings"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Whether it is meant for everybody on the way, whoever names it in `Connection`: by that, nobody takes away from others the
/// host, the length, or who asked.
fn is_end_to_end(name: &HeaderName) -> bool {
    matches!(name.as_str(), "host" | "content-length" | "via") || is_claim(name)
}

/// Removes what is meant for us alone, also what `Connection` names.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if !headers.keys().any(is_hop_by_hop) {
        return;
    }
    let mut names: Vec<HeaderName> = headers.keys().filter(|name| is_hop_by_hop(name)).cloned().collect();
    let named = tokens(headers, &CONNECTION).filter_map(|name| HeaderName::from_bytes(name).ok());
    names.extend(named.filter(|name| !is_end_to_end(name)));
    for name in names {
        headers.remove(name);
    }
}

/// Leaves of trailers what may come behind a body: nothing that says where the body ends, where the message goes, or who sent it.
pub(super) fn clean_trailers(mut trailers: HeaderMap) -> HeaderMap {
    let is_too_late = |name: &&HeaderName| is_hop_by_hop(name) || is_end_to_end(name);
    let names: Vec<_> = trailers.keys().filter(is_too_late).cloned().collect();
    for name in names {
        trailers.remove(name);
    }
    trailers
}

/// For how long whoever sent this says that it keeps a connection which nobody uses.
pub(super) fn kept_for(headers: &HeaderMap) -> Option<Duration> {
    if !headers.contains_key(KEEP_ALIVE) {
        return None;
    }
    let parts = tokens(headers, &KEEP_ALIVE).filter_map(|part| str::from_utf8(part).ok());
    let mut timeouts = parts.filter_map(|part| part.split_once('=')).filter(|(name, _)| *name == "timeout");
    timeouts.find_map(|(_, seconds)| seconds.parse().ok()).map(Duration::from_secs)
}

/// The parts of a header that is a list, over all of its lines.
pub(super) fn tokens<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'h [u8]> + use<'h> {
    let lines = headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
    let parts = lines.flat_map(|line| line.split(|byte| *byte == b','));
    parts.map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// Whether such a list has this, in capitals or not.
pub(super) fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers.contains_key(name) && tokens(headers, name).any(|it| it.eq_ignore_ascii_case(token.as_bytes()))
}

/// Whether whoever asks takes trailers.
pub(super) fn takes_trailers(headers: &HeaderMap) -> bool {
    let is_trailers = |token: &[u8]| {
        let name = token.split(|byte| *byte == b';').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(b"trailers")
    };
    headers.contains_key(TE) && tokens(headers, &TE).any(is_trailers)
}

/// Whether this passed here so often that it goes in a circle.
pub(super) fn is_circling(headers: &HeaderMap) -> bool {
    headers.contains_key(VIA) && tokens(headers, &VIA).filter(|it| it.ends_with(PSEUDONYM)).count() >= 8
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
pub(super) fn append(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    match headers.entry(name) {
        Entry::Vacant(entry) => _ = entry.insert(value),
        Entry::Occupied(mut entry) => {
            if let Some(value) = joined(entry.iter().chain([&value]), b", ") {
                entry.insert(value);
            }
        }
    }
}

/// Makes one line of several cookies, as HTTP/2 may send them (RFC 9113, 8.2.3): many servers look at the first alone.
pub(super) fn join_cookies(headers: &mut HeaderMap) {
    if let Entry::Occupied(mut entry) = headers.entry(COOKIE)
        && entry.iter().nth(1).is_some()
        && let Some(value) = joined(entry.iter(), b"; ")
    {
        entry.insert(value);
    }
}

/// All lines of a header in one.
fn joined<'h>(lines: impl Iterator<Item = &'h HeaderValue>, between: &[u8]) -> Option<HeaderValue> {
    let lines: Vec<_> =
        lines.map(|line| line.as_bytes().trim_ascii()).filter(|line| !line.is_empty()).collect();
    // Values that were there are fit for a header.
    HeaderValue::from_bytes(&lines.join(between)).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::proxy) fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let line =
            |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), value.parse().unwrap());
        let mut headers = HeaderMap::new();
        for (name, value) in lines.iter().map(line) {
            headers.append(name, value);
        }
        headers
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
            ("http2-settings", "x"),
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

    #[test]
    fn what_everybody_is_to_see_is_not_removed_by_naming_it() {
        let names = "host, Content-Length, via, X-Forwarded-For, forwarded, x-real-ip, cookie";
        let mut map = headers(&[
            ("connection", names),
            ("host", "a"),
            ("content-length", "5"),
            ("via", "1.1 p"),
            ("x-forwarded-for", "10.0.0.1"),
            ("forwarded", "for=10.0.0.1"),
            ("x-real-ip", "10.0.0.1"),
            ("cookie", "a=b"),
        ]);
        // A line that is not ASCII is one all the same.
        let odd = HeaderValue::from_bytes(b"x-secret, \xff").unwrap();
        map.append(CONNECTION, odd);
        map.insert("x-secret", HeaderValue::from_static("1"));
        remove_hop_by_hop(&mut map);
        let mut left: Vec<_> = map.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "forwarded", "host", "via", "x-forwarded-for", "x-real-ip"]);
    }

    #[test]
    fn trailers_say_nothing_that_had_to_be_said_before() {
        let trailers = clean_trailers(headers(&[
            ("x-sum", "1"),
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
            ("host", "a"),
            ("connection", "x-sum"),
            ("x-forwarded-for", "1.2.3.4"),
        ]));
        assert_eq!(trailers.keys().collect::<Vec<_>>(), ["x-sum"]);
    }

    #[test]
    fn it_is_heard_for_how_long_connections_are_kept() {
        for (said, seconds) in [
            ("timeout=5", Some(5)),
            ("max=7, timeout=15", Some(15)),
            ("timeout=", None),
            ("timeout=-1", None),
            ("max=7", None),
            ("", None),
        ] {
            let kept = kept_for(&headers(&[("keep-alive", said)]));
            assert_eq!(kept, seconds.map(Duration::from_secs), "{said}");
        }
        assert_eq!(kept_for(&headers(&[])), None);
    }

    #[test]
    fn cookies_in_several_lines_become_one() {
        let mut map = headers(&[("cookie", "a=1"), ("cookie", "b=2; c=3"), ("cookie", "")]);
        join_cookies(&mut map);
        assert_eq!(map.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2; c=3"]);
        let mut none = headers(&[]);
        join_cookies(&mut none);
        assert!(none.is_empty());
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
