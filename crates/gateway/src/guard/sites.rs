//! Which sites a request may be for, and may come from: a page that somebody visits is not to use the gateway on their machine.

use std::net::IpAddr;

use axum::http::header::ORIGIN;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::Origin;
use crate::authority::{self, Authority, Unclear};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The sites that the gateway is known as.
#[derive(Clone, Debug, Default)]
pub struct Sites {
    /// Names besides `localhost`.
    hosts: Vec<String>,
    /// Origins whose pages may ask, besides our own.
    pub(super) origins: Vec<Origin>,
}

/// Why a request is not accepted from where it comes, or for where it goes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Foreign {
    /// It cannot be told what it is for.
    #[error("there has to be one host: {0}")]
    Unclear(#[from] Unclear),
    /// It does not say what it is for.
    #[error("there has to be one host: there is none")]
    NoHost,
    /// It is for a site that we are not.
    #[error(
        "this gateway is not known as {0:?}; accepted: an IP address, localhost, and names given by --host"
    )]
    Host(String),
    /// It comes from a page of another site.
    #[error("a page of {0:?} may not ask here; accepted: no Origin, our own, and those given by --origin")]
    Origin(String),
}

impl Sites {
    /// Sites with these names and these origins besides.
    pub fn new(hosts: impl IntoIterator<Item = String>, origins: impl IntoIterator<Item = Origin>) -> Self {
        let lower = |text: String| text.to_ascii_lowercase();
        Self { hosts: hosts.into_iter().map(lower).collect(), origins: origins.into_iter().collect() }
    }

    /// What a request is for, if that is us.
    ///
    /// A name that somebody else lets point here is not: his page could then use the gateway as if it were his. An address is no name.
    pub(super) fn host<'r>(&self, uri: &'r Uri, headers: &'r HeaderMap) -> Result<Authority<'r>, Foreign> {
        let authority = authority::of(uri, headers)?.ok_or(Foreign::NoHost)?;
        let host = authority.host().trim_end_matches('.');
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let known = host.eq_ignore_ascii_case("localhost")
            || address.parse::<IpAddr>().is_ok()
            || is_below(host, ".localhost")
            || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host));
        if known { Ok(authority) } else { Err(Foreign::Host(shown(&host.to_ascii_lowercase()))) }
    }

    /// Whether what sends this may ask: a page of ours, of a site that was named, or no page at all. What is no browser says nothing of where
    /// it comes from; a browser does, for addresses of its own machine and over TLS, and where somebody typed an address it says `none`.
    ///
    /// Reading is refused as well: what a page of another site may not see it may still ask for, and streams and lists that nobody else
    /// asked for cost us something.
    ///
    /// A page of ours came by HTTP: an application may name its own `capacitor://localhost`.
    /// Over TLS our own page is one that came over TLS: what came without, somebody on the way may have written. Without, it may be that
    /// TLS ends in front of us.
    pub(super) fn origin(
        &self,
        authority: Authority<'_>,
        secure: bool,
        headers: &HeaderMap,
    ) -> Result<(), Foreign> {
        let mut origins = headers.get_all(ORIGIN).iter();
        let Some(origin) = origins.next() else {
            let site = headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes);
            return match site {
                None | Some(b"same-origin" | b"none") => Ok(()),
                Some(_) => Err(Foreign::Origin("another site".to_owned())),
            };
        };
        let text = String::from_utf8_lossy(origin.as_bytes());
        let ours = text.split_once("://").is_some_and(|(scheme, of)| {
            let fits = |known| scheme.eq_ignore_ascii_case(known);
            of.eq_ignore_ascii_case(authority.as_str()) && (fits("https") || (!secure && fits("http")))
        });
        if origins.next().is_none() && (ours || self.is_named(origin)) {
            return Ok(());
        }
        Err(Foreign::Origin(shown(&text.to_ascii_lowercase())))
    }

    /// Whether this is one of the origins that were named, besides our own.
    pub(super) fn is_named(&self, origin: &HeaderValue) -> bool {
        self.origins.iter().any(|named| origin.as_bytes().eq_ignore_ascii_case(named.as_str().as_bytes()))
    }
}

/// Whether a name ends like this, in capitals or not.
fn is_below(host: &str, end: &str) -> bool {
    let begin = host.len().checked_sub(end.len());
    begin.and_then(|begin| host.get(begin..)).is_some_and(|it| it.eq_ignore_ascii_case(end))
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::header::HOST;

    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs =
            all.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        pairs.collect()
    }

    #[test]
    fn a_request_is_for_an_address_or_a_name_that_is_ours() {
        let sites = Sites::new(["Gateway.Example".to_owned()], []);
        let path = Uri::from_static("/v1/services");
        for host in [
            "127.0.0.1:8480",
            "10.0.0.7",
            "[::1]:8480",
            "localhost:1",
            "LOCALHOST",
            "a.localhost",
            "gateway.example:443",
            "gateway.example.",
        ] {
            assert!(sites.host(&path, &headers(&[("host", host)])).is_ok(), "{host}");
        }
        for host in [
            "evil.example",
            "gateway.example.evil",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "x@localhost",
            "a b",
            "",
        ] {
            assert!(sites.host(&path, &headers(&[("host", host)])).is_err(), "{host}");
        }
        assert!(sites.host(&path, &HeaderMap::new()).is_err());
        let mut two = headers(&[("host", "localhost")]);
        two.append(HOST, HeaderValue::from_static("localhost"));
        assert!(sites.host(&path, &two).is_err());
        // As HTTP/2 has it.
        let whole = Uri::from_static("http://localhost:8480/v1/services");
        assert!(sites.host(&whole, &HeaderMap::new()).is_ok());
        assert!(sites.host(&whole, &headers(&[("host", "localhost:8480")])).is_ok());
        assert!(sites.host(&whole, &headers(&[("host", "127.0.0.1")])).is_err());
        assert!(sites.host(&Uri::from_static("http://evil.example/"), &HeaderMap::new()).is_err());
    }

    #[test]
    fn a_page_asks_its_own_site_alone() {
        let sites = Sites::new([], ["https://console.example".parse().unwrap()]);
        let uri = Uri::from_static("http://localhost:8480");
        let none = HeaderMap::new();
        let us = authority::of(&uri, &none).unwrap().unwrap();
        for ours in [
            headers(&[]),
            headers(&[("origin", "http://localhost:8480")]),
            headers(&[("origin", "https://localhost:8480")]),
            headers(&[("origin", "https://console.example")]),
            headers(&[("sec-fetch-site", "same-origin")]),
            headers(&[("sec-fetch-site", "none")]),
        ] {
            assert_eq!(sites.origin(us, false, &ours), Ok(()), "{ours:?}");
        }
        for foreign in [
            headers(&[("origin", "http://evil.example")]),
            headers(&[("origin", "http://localhost:8481")]),
            headers(&[("origin", "http://localhost")]),
            headers(&[("origin", "null")]),
            headers(&[("origin", "")]),
            headers(&[("origin", "http://console.example")]),
            headers(&[("sec-fetch-site", "cross-site")]),
            headers(&[("sec-fetch-site", "same-site")]),
        ] {
            assert!(sites.origin(us, false, &foreign).is_err(), "{foreign:?}");
        }
        // What is no site has no page, though it may be named as one.
        let on_80 = Uri::from_static("http://localhost");
        let us_on_80 = authority::of(&on_80, &none).unwrap().unwrap();
        assert_eq!(sites.origin(us_on_80, false, &headers(&[("origin", "HTTP://localhost")])), Ok(()));
        for odd in ["capacitor://localhost", "ionic://localhost", "file://localhost", "://localhost"] {
            assert!(sites.origin(us_on_80, false, &headers(&[("origin", odd)])).is_err(), "{odd}");
        }
        // Over TLS a page that came without it is none of ours.
        let [plain, safe] = ["http", "https"].map(|scheme| format!("{scheme}://localhost:8480"));
        let from = |origin: &str| HeaderMap::from_iter([(ORIGIN, HeaderValue::from_str(origin).unwrap())]);
        assert!(sites.origin(us, true, &from(&plain)).is_err());
        assert_eq!(sites.origin(us, true, &from(&safe)), Ok(()));
    }
}
