//! Which sites a request may be for, and may come from: a page that somebody visits is not to use the gateway on their machine.

use std::net::IpAddr;

use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The sites that the gateway is known as.
#[derive(Clone, Debug, Default)]
pub struct Sites {
    /// Names besides `localhost`.
    hosts: Vec<String>,
    /// Origins whose pages may write, besides our own.
    origins: Vec<String>,
}

/// Why a request is not accepted from where it comes, or for where it goes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Foreign {
    /// It cannot be told what it is for.
    #[error("there has to be one host: {0}")]
    NoHost(&'static str),
    /// It is for a site that we are not.
    #[error(
        "this gateway is not known as {0:?}; accepted: an IP address, localhost, and names given by --host"
    )]
    Host(String),
    /// It comes from a page of another site.
    #[error("a page of {0:?} may not write here; accepted: no Origin, our own, and those given by --origin")]
    Origin(String),
}

impl Sites {
    /// Sites with these names and these origins besides.
    pub fn new(hosts: impl IntoIterator<Item = String>, origins: impl IntoIterator<Item = String>) -> Self {
        let lower = |text: String| text.to_ascii_lowercase();
        Self {
            hosts: hosts.into_iter().map(lower).collect(),
            origins: origins.into_iter().map(lower).collect(),
        }
    }

    /// What a request is for, if that is us.
    ///
    /// A name that somebody else lets point here is not: his page could then use the gateway as if it were his. An address is no name.
    pub(super) fn host(&self, uri: &Uri, headers: &HeaderMap) -> Result<Authority, Foreign> {
        let authority = authority(uri, headers)?;
        let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
        let known = address.parse::<IpAddr>().is_ok()
            || host == "localhost"
            || host.ends_with(".localhost")
            || self.hosts.contains(&host);
        if known { Ok(authority) } else { Err(Foreign::Host(shown(&host))) }
    }

    /// Whether a page that sends this may write. What is no browser says nothing of where it comes from.
    pub(super) fn origin(&self, authority: &Authority, headers: &HeaderMap) -> Result<(), Foreign> {
        let mut origins = headers.get_all(ORIGIN).iter();
        let Some(origin) = origins.next() else {
            let site = headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes);
            return match site {
                None | Some(b"same-origin" | b"none") => Ok(()),
                Some(_) => Err(Foreign::Origin("another site".to_owned())),
            };
        };
        let origin = String::from_utf8_lossy(origin.as_bytes()).to_ascii_lowercase();
        let ours =
            origin.split_once("://").is_some_and(|(_, of)| of.eq_ignore_ascii_case(authority.as_str()));
        if origins.next().is_none() && (ours || self.origins.contains(&origin)) {
            return Ok(());
        }
        Err(Foreign::Origin(shown(&origin)))
    }
}

/// What a request is for: in HTTP/2 that stands in its URI, in HTTP/1.1 in a header, and where both are there they agree.
fn authority(uri: &Uri, headers: &HeaderMap) -> Result<Authority, Foreign> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Foreign::NoHost("there are several"));
    }
    let host = match host {
        None => None,
        Some(host) => {
            let authority = Authority::try_from(host.as_bytes()).ok();
            Some(authority.ok_or(Foreign::NoHost("the header cannot be read"))?)
        }
    };
    let authority = match (uri.authority(), host) {
        (Some(target), Some(host)) if *target != host => {
            return Err(Foreign::NoHost("the header says another one than the target"));
        }
        (Some(target), _) => target.clone(),
        (None, Some(host)) => host,
        (None, None) => return Err(Foreign::NoHost("there is none")),
    };
    match authority.as_str().contains('@') {
        true => Err(Foreign::NoHost("a user does not belong there")),
        false => Ok(authority),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
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
    fn a_page_writes_to_its_own_site_alone() {
        let sites = Sites::new([], ["https://console.example".to_owned()]);
        let us = Authority::from_static("localhost:8480");
        for ours in [
            headers(&[]),
            headers(&[("origin", "http://localhost:8480")]),
            headers(&[("origin", "https://localhost:8480")]),
            headers(&[("origin", "https://console.example")]),
            headers(&[("sec-fetch-site", "same-origin")]),
            headers(&[("sec-fetch-site", "none")]),
        ] {
            assert_eq!(sites.origin(&us, &ours), Ok(()), "{ours:?}");
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
            assert!(sites.origin(&us, &foreign).is_err(), "{foreign:?}");
        }
    }
}
