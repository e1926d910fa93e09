//! The way in: which gateways there are, and how they are spoken to.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderValue;
use proto::{InstanceId, NodeData, ServiceName};

use super::address::{Gateway, without_users};
#[cfg(feature = "http-tls")]
use super::tls::Tls;
use super::{Discovery, Registration, exchange, registration};
use crate::Error;
use crate::wall::unix_millis;

/// How long a gateway may say nothing on a stream: it says every 15 s that it is still there.
const SILENCE: Duration = Duration::from_secs(35);

/// How long the answer to a request may take.
const ANSWER: Duration = Duration::from_secs(10);

/// How many bytes an event may have: 200,000 instances with some metadata have less.
const EVENT_BYTES: usize = 64 * 1024 * 1024;

/// How long an instance stays registered without a renewal.
const TTL: Duration = Duration::from_secs(30);

/// The longest time that may be set.
const LONGEST: Duration = Duration::from_secs(600);

/// Gateways that serve the same registry over HTTP; whichever can be reached is asked. A clone is cheap and is the same.
///
/// # Examples
///
/// ```
/// use registry::ServiceName;
/// use registry::http::Gateways;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let gateways = Gateways::builder("http://10.0.0.5:8480,http://10.0.0.6:8480").token("5f3a").build()?;
/// let discovery = gateways.follow(&ServiceName::parse("time")?); // returns at once, whether a gateway is there or not
/// assert!(discovery.instances().borrow().is_none()); // until the first list: what a balancer follows
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Gateways {
    pub(super) shared: Arc<Shared>,
}

/// What all who ask have in common.
pub(super) struct Shared {
    pub(super) gateways: Vec<Gateway>,
    pub(super) authorization: Option<HeaderValue>,
    pub(super) silence: Duration,
    pub(super) answer: Duration,
    pub(super) event_bytes: usize,
    pub(super) ttl: Duration,
    #[cfg(feature = "http-tls")]
    pub(super) tls: Option<tokio_rustls::TlsConnector>,
}

impl Gateways {
    /// Gateways by their addresses, several with commas between them: `http://10.0.0.5:8480,http://10.0.0.6:8480`.
    ///
    /// Name each gateway by its own address. One address that spreads requests over several gateways makes a registration replace itself, and
    /// [`Replaced`](super::Status::Replaced) is for good.
    pub fn builder(addresses: &str) -> Builder {
        Builder {
            addresses: addresses.to_owned(),
            token: None,
            silence: SILENCE,
            answer: ANSWER,
            event_bytes: EVENT_BYTES,
            ttl: TTL,
            #[cfg(feature = "http-tls")]
            tls: None,
        }
    }

    /// Follows the instances of a service from now on. Returns at once; neither a gateway nor the service need be there.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn follow(&self, service: &ServiceName) -> Discovery {
        Discovery::follow(self.shared.clone(), service)
    }

    /// Announces an instance under its [default id](NodeData::default_id): its address, else its unique code.
    ///
    /// Returns at once, and registers as soon as a gateway is there. To wait, see [`Registration::registered`].
    ///
    /// # Errors
    ///
    /// As [`announce_as`](Self::announce_as), and when there is no default id.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn announce(&self, service: &ServiceName, data: NodeData) -> Result<Registration, Error> {
        let id = data.default_id().map_err(Error::invalid)?;
        self.announce_as(service, id, data)
    }

    /// Announces an instance under an id of your own. An instance that is there under it is replaced: the newest wins.
    /// Once a gateway has registered it, it takes the id back from nobody who was first registered later, as their `registered_at` says.
    ///
    /// `registered_at` is set to the time of this call unless it is set already.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`], before anything is sent, when the data is not valid or takes more than 64 KiB.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn announce_as(
        &self,
        service: &ServiceName,
        id: InstanceId,
        mut data: NodeData,
    ) -> Result<Registration, Error> {
        if data.registered_at == 0 {
            data.registered_at = unix_millis();
        }
        registration::check(&data)?;
        Ok(Registration::start(self.shared.clone(), service, id, data))
    }
}

/// Where gateways are, and how they are spoken to; see [`Gateways::builder`].
///
/// Nothing is checked before [`build`](Self::build). Debug output shows no token and no key.
#[derive(Clone)]
pub struct Builder {
    addresses: String,
    token: Option<String>,
    silence: Duration,
    answer: Duration,
    event_bytes: usize,
    ttl: Duration,
    #[cfg(feature = "http-tls")]
    tls: Option<Tls>,
}

impl Builder {
    /// Shows this bearer token. To a gateway without TLS it is sent as it is, for everybody on the way to read.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// How long a gateway may say nothing on a stream before another connection is made; 35 s unless set, up to 10 min. It says every 15 s
    /// that it is still there, so less than that opens streams again and again.
    #[must_use]
    pub fn silence(mut self, most: Duration) -> Self {
        self.silence = most;
        self
    }

    /// How long an answer to a request may take; 10 s unless set, up to 10 min.
    #[must_use]
    pub fn answer_within(mut self, most: Duration) -> Self {
        self.answer = most;
        self
    }

    /// How many bytes one event may have, which is a whole list; 64 MiB unless set. A larger one is not taken, and the last list stays.
    #[must_use]
    pub fn max_event_bytes(mut self, most: usize) -> Self {
        self.event_bytes = most;
        self
    }

    /// How long an instance that is announced stays registered when it is not renewed, which it is thrice in that time; 30 s unless set, whole
    /// seconds up to 10 min.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Whom to trust where an address begins with `https`, and who we are.
    #[cfg(feature = "http-tls")]
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Checks all of it. Nothing is sent, and nobody is asked for a name.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] says which value is unusable and what is accepted.
    pub fn build(self) -> Result<Gateways, Error> {
        let gateways = Gateway::parse_all(&self.addresses)?;
        for (what, time) in [("silence", self.silence), ("time for an answer", self.answer)] {
            if time.is_zero() || time > LONGEST {
                return Err(Error::invalid(format_args!(
                    "a {what} of {time:?} is unusable: up to {LONGEST:?} are accepted"
                )));
            }
        }
        if self.ttl.is_zero() || self.ttl > LONGEST || self.ttl.subsec_nanos() != 0 {
            let ttl = self.ttl;
            return Err(Error::invalid(format_args!(
                "a time to live of {ttl:?} is unusable: whole seconds, 1 to 600, are accepted"
            )));
        }
        if self.event_bytes == 0 {
            return Err(Error::invalid("events of no bytes are unusable: at least 1 is accepted"));
        }
        let authorization = self.token.as_deref().map(bearer).transpose()?;
        #[cfg(feature = "http-tls")]
        let tls = self.tls.as_ref().map(Tls::connector).transpose()?;
        #[cfg(feature = "http-tls")]
        let speaks_tls = tls.is_some();
        #[cfg(not(feature = "http-tls"))]
        let speaks_tls = false;
        if let Some(gateway) = gateways.iter().find(|gateway| gateway.secure && !speaks_tls) {
            return Err(Error::invalid(format_args!(
                "{} needs TLS: say by `Builder::tls` (feature `http-tls`) which authorities are trusted",
                gateway.name
            )));
        }
        Ok(Gateways {
            shared: Arc::new(Shared {
                gateways,
                authorization,
                silence: self.silence,
                answer: self.answer,
                event_bytes: self.event_bytes,
                ttl: self.ttl,
                #[cfg(feature = "http-tls")]
                tls,
            }),
        })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Builder");
        shown.field("addresses", &without_users(&self.addresses)).field("token", &self.token.is_some());
        shown
            .field("silence", &self.silence)
            .field("answer", &self.answer)
            .field("event_bytes", &self.event_bytes)
            .field("ttl", &self.ttl);
        #[cfg(feature = "http-tls")]
        shown.field("tls", &self.tls);
        shown.finish()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("gateways", &self.gateways).finish_non_exhaustive()
    }
}

impl Shared {
    /// A request to one of the gateways; the path is one of the interface.
    pub(super) fn request(&self, which: usize, method: hyper::Method, path: &str) -> exchange::Request<'_> {
        exchange::Request::new(self, &self.gateways[which], method, path)
    }
}

fn bearer(token: &str) -> Result<HeaderValue, Error> {
    let refuse =
        || Error::invalid("the token is unusable: visible ASCII characters without spaces are accepted");
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refuse());
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| refuse())?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(builder: Builder) -> String {
        match builder.build() {
            Err(Error::Invalid(text)) => text.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn several_have_commas_between_them() {
        let gateways = Gateways::builder("http://a:1, http://b:2").build().unwrap();
        assert_eq!(gateways.shared.gateways.len(), 2);
    }

    #[test]
    fn what_is_unusable_is_refused_with_what_is_accepted() {
        let builder = || Gateways::builder("http://h:1");
        for (builder, expected) in [
            (Gateways::builder(""), "cannot be the address"),
            (Gateways::builder("h:1"), "neither http:// nor https://"),
            (Gateways::builder("http://h:1,"), "cannot be the address"),
            (Gateways::builder("ftp://h:1"), "neither http:// nor https://"),
            (Gateways::builder("http://u:p@h:1"), "a user does not belong there"),
            (Gateways::builder("http://h:1/?a=b"), "nothing may follow its path"),
            (Gateways::builder("http://h:0"), "1 to 65535"),
            (Gateways::builder("http://h:99999"), "cannot be the address"),
            (Gateways::builder("http://h:"), "1 to 65535"),
            (Gateways::builder("https://h:1"), "needs TLS"),
            (builder().token(""), "the token is unusable"),
            (builder().token("a b"), "the token is unusable"),
            (builder().token("a\r\nx: y"), "the token is unusable"),
            (builder().silence(Duration::ZERO), "a silence of 0ns"),
            (builder().answer_within(Duration::MAX), "up to 600s"),
            (builder().max_event_bytes(0), "at least 1"),
            (builder().ttl(Duration::ZERO), "1 to 600"),
            (builder().ttl(Duration::from_millis(1_500)), "1 to 600"),
            (builder().ttl(Duration::from_secs(601)), "1 to 600"),
        ] {
            let shown = format!("{builder:?}");
            let text = refusal(builder);
            assert!(text.contains(expected), "{shown}: {text}");
        }
    }

    #[test]
    fn whoever_is_told_that_an_address_is_unusable_is_told_no_password() {
        for (addresses, told) in [
            ("http://u:hunter2@h:1", "\"…@h:1\" cannot be the address"),
            ("http://a:1,http://u:hunter2@h:1,http://b:1", "\"…@h:1\" cannot be the address"),
            ("http://u:hunter2@a:1,http://u:hunter2@h:1", "\"…\" cannot be the address"),
            // Wherever it ends by the rules of addresses.
            ("http://u:hun,hunter2@h:1", "\"…\" cannot be the address"),
            ("http://u:hun@hunter2@h:1", "\"…@h:1\" cannot be the address"),
            ("http://u:/hunter2@h:1", "\"…@h:1\" cannot be the address"),
            ("http://u:?hunter2@h:1", "\"…@h:1\" cannot be the address"),
            ("u:hunter2@h:1", "\"…@h:1\" cannot be the address"),
            // What comes behind it is told.
            ("http://h:1/@me,ftp://b:1", "\"ftp://b:1\" cannot be the address"),
        ] {
            let builder = Gateways::builder(addresses);
            let shown = format!("{builder:?}");
            let text = refusal(builder);
            assert!(text.starts_with(told), "{text}");
            assert!(!format!("{text} {shown}").contains("hun"), "{text} {shown}");
        }
    }

    #[test]
    fn no_debug_output_shows_a_token() {
        let builder = Gateways::builder("http://h:1").token("hunter2");
        assert!(!format!("{builder:?}").contains("hunter2"));
        let gateways = builder.build().unwrap();
        assert!(!format!("{gateways:?} {:?}", gateways.shared.authorization).contains("hunter2"));
    }
}
