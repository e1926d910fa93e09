//! Where a page comes from, as browsers write it.

use std::fmt;
use std::str::FromStr;

use axum::http::uri::Authority;

/// Where a page comes from: a scheme, a host, and a port unless it is the scheme's own. It is written as browsers write it, for what is
/// compared with it is what they send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(Box<str>);

/// What is no origin would never be sent by a browser, and so would be accepted from nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{shown:?} is no origin: {why}; accepted: a scheme, a host and perhaps a port, with nothing behind them, as in https://console.example \
     or http://10.0.0.7:8080"
)]
pub struct OriginError {
    shown: String,
    why: &'static str,
}

impl Origin {
    /// As it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    /// Reads an origin, in capitals or not, and with the port that its scheme has anyway or not.
    fn from_str(text: &str) -> Result<Self, OriginError> {
        let refuse = |why| OriginError { shown: text.chars().take(80).collect(), why };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| refuse("it names no scheme"))?;
        let is_of_scheme = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        if !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) || !scheme.bytes().all(is_of_scheme)
        {
            return Err(refuse("its scheme is none"));
        }
        if rest.contains(['/', '?', '#']) {
            return Err(refuse("a browser sends nothing behind host and port, not even a slash"));
        }
        if rest.contains('@') {
            return Err(refuse("a user does not belong there"));
        }
        if !rest.is_ascii() {
            return Err(refuse("a browser sends such a host in its other form, which begins with xn--"));
        }
        let authority: Authority = rest.parse().map_err(|_| refuse("its host is unusable"))?;
        let host = authority.host();
        let port = authority.port_u16();
        if host.is_empty() || (port.is_none() && authority.as_str() != host) {
            return Err(refuse("it needs a host, and a port is 0 to 65535"));
        }
        let (scheme, host) = (scheme.to_ascii_lowercase(), host.to_ascii_lowercase());
        // Browsers leave it out.
        let usual = match &*scheme {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        let port = port.filter(|port| Some(*port) != usual);
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        Ok(Self(format!("{scheme}://{host}{port}").into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_kept_as_browsers_send_it() {
        for (text, sent) in [
            ("https://console.example", "https://console.example"),
            ("HTTPS://Console.Example:443", "https://console.example"),
            ("http://console.example:80", "http://console.example"),
            ("http://console.example:443", "http://console.example:443"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("http://10.0.0.7:8080", "http://10.0.0.7:8080"),
            ("moz-extension://0a1b", "moz-extension://0a1b"),
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().as_str(), sent, "{text}");
        }
    }

    #[test]
    fn what_no_browser_sends_is_refused_with_what_is_accepted() {
        for (text, why) in [
            ("https://console.example/", "not even a slash"),
            ("https://console.example/app", "not even a slash"),
            ("https://console.example?x", "not even a slash"),
            ("https://console.example#x", "not even a slash"),
            ("https://console.example:8443/", "not even a slash"),
            ("console.example", "no scheme"),
            // So says every page that a browser has shut in, whoever wrote it.
            ("null", "no scheme"),
            ("*", "no scheme"),
            ("://console.example", "its scheme is none"),
            ("1s://console.example", "its scheme is none"),
            ("ht tp://console.example", "its scheme is none"),
            ("https://", "host"),
            ("https://:443", "host"),
            ("https://me@console.example", "a user"),
            ("https://console.example:", "port"),
            ("https://console.example:70000", "port"),
            ("https://console.example:x", "host"),
            ("https://a b", "host"),
            ("https://bücher.example", "xn--"),
        ] {
            let told = text.parse::<Origin>().unwrap_err().to_string();
            assert!(told.contains(why) && told.contains("accepted: a scheme"), "{text}: {told}");
        }
    }
}
