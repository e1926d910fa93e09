//! A request as instances get it, as often as it is sent.

use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, EXPECT, HOST, HeaderMap, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE};
use hyper::http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, StatusCode, Uri};

use super::admission::asks_for_websocket;
use super::forwarded::add_forwarded;
use super::headers::{add_via, join_cookies, remove_hop_by_hop, takes_trailers};
use super::peer::Peer;
use super::rules::Trusted;
use super::sending::{Bounds, Received, Sending};

/// How many headers are added at most: who asked, in four ways, the way here, and what is for the next hop.
const MOST_ADDED: usize = 9;

/// A request with what is needed to send it, as often as that takes.
pub(super) struct Outgoing {
    method: Method,
    target: Uri,
    /// `None` while they are on their way and no other try would be allowed.
    headers: Option<HeaderMap>,
    pub(super) upload: Option<Received>,
    expects: bool,
    /// It has a body, and a method of which some instances read none.
    may_be_ignored: bool,
    /// The client did not say for whom it is; the header is that of the instance of the last try.
    is_named_by_us: bool,
    /// The client's side of a WebSocket.
    pub(super) upgrade: Option<OnUpgrade>,
}

impl Outgoing {
    /// Makes of a request what an instance gets.
    pub(super) fn new(
        mut parts: Parts,
        (body, bounds): (Incoming, Bounds),
        peer: &Peer,
        trusted: &Trusted,
        target: Uri,
    ) -> Self {
        let upgrade =
            if asks_for_websocket(&parts, &body) { parts.extensions.remove::<OnUpgrade>() } else { None };
        let is_idempotent = parts.method.is_idempotent();
        let mut headers = parts.headers;
        // At once for all that is added below: a map that grows one by one is hashed anew each time.
        headers.reserve(MOST_ADDED);
        let expects =
            headers.remove(EXPECT).is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        let takes_trailers = takes_trailers(&headers);
        remove_hop_by_hop(&mut headers);
        join_cookies(&mut headers);
        if takes_trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
            headers.append(CONNECTION, HeaderValue::from_static("te"));
        }
        if upgrade.is_some() {
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.append(CONNECTION, HeaderValue::from_static("upgrade"));
        }
        let has_body = !body.is_end_stream();
        let expects = expects && has_body;
        if expects {
            headers.insert(EXPECT, HeaderValue::from_static("100-continue"));
        }
        if has_body && body.size_hint().exact().is_none() {
            // Of GET and HEAD, the client would leave out a body without it.
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let may_be_ignored = has_body && is_often_ignored(&parts.method);
        if may_be_ignored {
            // Or it would read the body as the next request, and do what that says.
            headers.append(CONNECTION, HeaderValue::from_static("close"));
        }
        add_forwarded(&mut headers, peer, trusted);
        add_via(&mut headers, parts.version);
        Self {
            method: parts.method,
            target,
            headers: Some(headers),
            upload: has_body.then(|| Received::new(body, bounds, is_idempotent, expects)),
            expects,
            may_be_ignored,
            upgrade,
            is_named_by_us: false,
        }
    }

    /// Whether an instance may take the body for the next request: then its connection carries no other one.
    pub(super) fn may_be_ignored(&self) -> bool {
        self.may_be_ignored
    }

    /// Whether it may be done twice (RFC 9110, 9.2.2).
    pub(super) fn is_idempotent(&self) -> bool {
        self.method.is_idempotent()
    }

    /// Whether its whole body can be sent once more.
    pub(super) fn is_whole(&self) -> bool {
        self.upload.as_ref().is_none_or(|upload| upload.progress().is_whole)
    }

    /// The request for one try.
    pub(super) fn request(&mut self, address: &proto::Address) -> Request<Sending> {
        let headers = if self.is_idempotent() { self.headers.clone() } else { self.headers.take() };
        let body = self.upload.as_ref().map_or(Sending::Nothing, |upload| Sending::Upload(upload.send()));
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.target.clone();
        // There are headers as long as another try is allowed.
        *request.headers_mut() = headers.unwrap_or_default();
        if !request.headers().contains_key(HOST)
            && let Ok(host) = HeaderValue::try_from(address.to_string())
        {
            // Clients of HTTP/1.0 need not say for whom it is.
            request.headers_mut().insert(HOST, host);
            self.is_named_by_us = true;
        }
        if self.expects
            && let Some(upload) = self.upload.clone()
        {
            hyper::ext::on_informational(&mut request, move |informed| {
                if informed.status() == StatusCode::CONTINUE {
                    upload.is_wanted();
                }
            });
        }
        request
    }

    /// A request that was not sent comes back.
    pub(super) fn returned(&mut self, request: Request<Sending>) {
        let headers = self.headers.get_or_insert(request.into_parts().0.headers);
        if self.is_named_by_us {
            // That was the name of the instance that did not get it.
            headers.remove(HOST);
        }
    }
}

/// Whether a body means nothing for this method (RFC 9110, 9.3), so that who serves it may not look for one.
fn is_often_ignored(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS | Method::TRACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(method: Method, host: Option<&'static str>) -> Outgoing {
        let headers = host.into_iter().map(|host| (HOST, HeaderValue::from_static(host))).collect();
        Outgoing {
            method,
            target: Uri::from_static("/"),
            headers: Some(headers),
            upload: None,
            expects: false,
            may_be_ignored: false,
            is_named_by_us: false,
            upgrade: None,
        }
    }

    #[test]
    fn each_try_of_a_request_for_no_host_is_for_that_of_its_instance() {
        let instances: [proto::Address; 2] = ["a:1", "b:2"].map(|address| address.parse().unwrap());
        for method in [Method::GET, Method::POST] {
            let mut outgoing = outgoing(method.clone(), None);
            for address in &instances {
                let request = outgoing.request(address);
                assert_eq!(request.headers()[HOST], address.to_string(), "{method}");
                assert_eq!(request.headers().len(), 1);
                // It comes back, since it was not sent.
                outgoing.returned(request);
            }
        }
    }

    #[test]
    fn what_a_client_says_for_whom_it_is_stays_in_each_try() {
        for method in [Method::GET, Method::POST] {
            let mut outgoing = outgoing(method.clone(), Some("shop.example"));
            for address in ["a:1", "b:2"] {
                let request = outgoing.request(&address.parse().unwrap());
                assert_eq!(request.headers()[HOST], "shop.example", "{method}");
                outgoing.returned(request);
            }
        }
    }
}
