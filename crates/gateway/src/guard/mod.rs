//! Who may ask for what.

mod origin;
mod shared;
mod sites;
mod tokens;

use std::net::SocketAddr;

use axum::extract::Request;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method};

pub use self::origin::{Origin, OriginError};
pub(crate) use self::shared::Sharing;
use self::sites::Foreign;
pub use self::sites::Sites;
pub use self::tokens::{Right, Tokens, TokensError};
use crate::Problem;
use crate::serve::Peer;

/// Who may ask for what: without tokens everybody whom the listening address lets in, else those who show one. What comes from a page of
/// another site, or by a name that is not ours, is refused in any case.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// The tokens that are accepted; `None`: nobody needs one.
    pub tokens: Option<Tokens>,
    /// The sites that the gateway is known as.
    pub sites: Sites,
}

/// What may be told to whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Whatever there is.
    All,
    /// How this gateway is, and nothing of what is registered: it is a probe, which need not say who it is.
    StatusAlone,
}

/// Everybody who reaches the address could register and withdraw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "on {address} everybody who reaches it could register and withdraw; accepted: an address of this machine alone, as 127.0.0.1, or tokens \
     (--tokens FILE), or certificates of clients (--tls-client-ca FILE)"
)]
pub struct Exposed {
    address: SocketAddr,
}

/// Refuses to listen for everybody without knowing who they are.
///
/// # Errors
///
/// When the address is not a loopback one, and nothing tells who somebody is.
pub fn check_exposure(address: SocketAddr, are_known: bool) -> Result<(), Exposed> {
    match are_known || address.ip().to_canonical().is_loopback() {
        true => Ok(()),
        false => Err(Exposed { address }),
    }
}

impl Guard {
    /// Refuses what may not be asked, and says what may be told.
    pub(crate) fn check(&self, request: &Request) -> Result<Told, Problem> {
        match self.admit(request) {
            Ok(()) => Ok(Told::All),
            // Those who probe know neither our name nor a token. So may be a page that somebody let point here.
            Err(_) if matches!(request.uri().path(), "/healthz" | "/readyz") => Ok(Told::StatusAlone),
            Err(problem) => Err(problem),
        }
    }

    fn admit(&self, request: &Request) -> Result<(), Problem> {
        let (uri, headers) = (request.uri(), request.headers());
        let authority = self.sites.host(uri, headers).map_err(|foreign| refusal(&foreign))?;
        let secure = request.extensions().get::<Peer>().is_some_and(|peer| peer.secure);
        self.sites.origin(authority, secure, headers).map_err(|foreign| refusal(&foreign))?;
        let Some(tokens) = &self.tokens else { return Ok(()) };
        let needed = match *request.method() {
            Method::GET | Method::HEAD | Method::OPTIONS => Right::Read,
            _ => Right::Write,
        };
        let shown = bearer(headers).ok_or_else(Problem::no_token)?;
        match tokens.right_of(shown) {
            None => Err(Problem::wrong_token()),
            Some(right) if right < needed => Err(Problem::read_only()),
            Some(_) => Ok(()),
        }
    }
}

fn refusal(foreign: &Foreign) -> Problem {
    match foreign {
        Foreign::Unclear(_) | Foreign::NoHost => Problem::bad_request(foreign),
        Foreign::Host(_) => Problem::foreign("foreign-host", foreign),
        Foreign::Origin(_) => Problem::foreign("foreign-origin", foreign),
    }
}

/// What stands behind `Bearer`, if that is all there is.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (kind, token) = all.next()?.as_bytes().split_at_checked("Bearer ".len())?;
    (kind.eq_ignore_ascii_case(b"Bearer ") && all.next().is_none()).then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_listens_for_everybody_without_knowing_them() {
        for (address, are_known, accepted) in [
            ("127.0.0.1:8480", false, true),
            ("127.8.8.8:8480", false, true),
            ("[::1]:8480", false, true),
            ("[::ffff:127.0.0.1]:8480", false, true),
            ("0.0.0.0:8480", false, false),
            ("[::]:8480", false, false),
            ("10.0.0.7:8480", false, false),
            ("0.0.0.0:8480", true, true),
        ] {
            assert_eq!(check_exposure(address.parse().unwrap(), are_known).is_ok(), accepted, "{address}");
        }
    }
}
