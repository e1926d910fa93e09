//! What a user sets about the connection to ZooKeeper.

use std::fmt;
use std::time::Duration;

use crate::servers::Servers;
use crate::{Error, ZooKeeper};

const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(600);

/// What to connect to and how; see [`ZooKeeper::builder`].
///
/// Nothing is checked before [`build`](Self::build). Debug output shows no password and no key.
#[derive(Clone)]
pub struct Builder {
    pub(crate) connect: String,
    pub(crate) session_timeout: Duration,
    pub(crate) digest: Option<Login>,
    pub(crate) acl: Acl,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Tls>,
    #[cfg(feature = "sasl")]
    pub(crate) sasl: Option<Login>,
}

impl Builder {
    pub(crate) fn new(connect: &str) -> Self {
        Self {
            connect: connect.to_owned(),
            session_timeout: Duration::from_secs(10),
            digest: None,
            acl: Acl::Open,
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "sasl")]
            sasl: None,
        }
    }

    /// How long ZooKeeper keeps a session that it does not hear of; 10 s unless set, 100 ms to 10 min.
    ///
    /// A wish: the server has limits of its own (by default 2 to 20 of its ticks), and what it granted is
    /// [`Session::timeout`](crate::Session::timeout).
    #[must_use]
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.session_timeout = timeout;
        self
    }

    /// Shows this identity to the servers, by ZooKeeper's `digest` scheme.
    ///
    /// A wrong password is not an error but another identity, which has other rights.
    #[must_use]
    pub fn digest(mut self, user: &str, password: &str) -> Self {
        self.digest = Some(Login::new(user, password));
        self
    }

    /// Who may do what with the nodes that are created, their parents included; [`Acl::Open`] unless set.
    #[must_use]
    pub fn acl(mut self, acl: Acl) -> Self {
        self.acl = acl;
        self
    }

    /// Speaks TLS with all servers.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Logs in by SASL with DIGEST-MD5.
    #[cfg(feature = "sasl")]
    #[must_use]
    pub fn sasl_digest_md5(mut self, user: &str, password: &str) -> Self {
        self.sasl = Some(Login::new(user, password));
        self
    }

    /// Checks all of it. Nothing is sent, and nobody is asked for a name.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] says which value is unusable and what is accepted.
    pub fn build(self) -> Result<ZooKeeper, Error> {
        let servers = Servers::parse(&self.connect)?;
        if !(SHORTEST..=LONGEST).contains(&self.session_timeout) {
            return Err(Error::Invalid(format!(
                "a session timeout of {:?} is unusable: {SHORTEST:?} to {LONGEST:?} are accepted",
                self.session_timeout
            )));
        }
        if let Some(login) = &self.digest {
            login.check("digest")?;
        }
        #[cfg(feature = "sasl")]
        if let Some(login) = &self.sasl {
            login.check("SASL")?;
        }
        self.acl.check(self.has_identity())?;
        ZooKeeper::new(servers, self)
    }

    /// Whether servers can know who we are, by any scheme.
    fn has_identity(&self) -> bool {
        let known = self.digest.is_some();
        #[cfg(feature = "tls")]
        let known = known || self.tls.as_ref().is_some_and(|tls| tls.identity.is_some());
        #[cfg(feature = "sasl")]
        let known = known || self.sasl.is_some();
        known
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Builder");
        shown
            .field("connect", &self.connect)
            .field("session_timeout", &self.session_timeout)
            .field("digest", &self.digest)
            .field("acl", &self.acl);
        #[cfg(feature = "tls")]
        shown.field("tls", &self.tls);
        #[cfg(feature = "sasl")]
        shown.field("sasl", &self.sasl);
        shown.finish()
    }
}

/// A user and a password, of which only the user is ever shown.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: String,
}

impl Login {
    fn new(user: &str, password: &str) -> Self {
        Self { user: user.to_owned(), password: password.to_owned() }
    }

    fn check(&self, scheme: &str) -> Result<(), Error> {
        if self.user.is_empty() || self.user.contains(':') || self.user.contains(char::is_control) {
            return Err(Error::Invalid(format!(
                "the {scheme} user {:?} is unusable: a name without ':' and control characters is accepted",
                self.user
            )));
        }
        if self.password.is_empty() || self.password.len() > 1024 {
            return Err(Error::Invalid(format!(
                "the {scheme} password of {:?} has {} bytes: 1 to 1024 are accepted",
                self.user,
                self.password.len()
            )));
        }
        Ok(())
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} with a password", self.user)
    }
}

/// Who may do what with the nodes that are created.
///
/// ZooKeeper's rights are those of one node and not of what is below it, and whoever may write to a directory may
/// delete the nodes in it, whatever their own rights say: so the same rights go onto parents too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Acl {
    /// Anybody may do anything.
    #[default]
    Open,
    /// Who has our identity may do anything, `readers` may read, nobody else may do a thing.
    ///
    /// Programs that discover us read our nodes: give them the right to, or they are blind.
    Creator {
        /// Who may read.
        readers: Option<Reader>,
    },
}

impl Acl {
    fn check(&self, has_identity: bool) -> Result<(), Error> {
        let Self::Creator { readers } = self else { return Ok(()) };
        if !has_identity {
            return Err(Error::Invalid(
                "Acl::Creator needs an identity: set a digest user, a SASL user or a client certificate"
                    .to_owned(),
            ));
        }
        match readers {
            Some(Reader::Identity { scheme, id }) if scheme.is_empty() || id.is_empty() => {
                Err(Error::Invalid(format!(
                    "the reader {scheme:?} {id:?} is unusable: a scheme and an id are needed, \"digest\" and \"user:hash\" for example"
                )))
            }
            _ => Ok(()),
        }
    }
}

/// Who may read nodes under [`Acl::Creator`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reader {
    /// Everybody, without an identity too.
    Anyone,
    /// One identity, as servers know it.
    Identity {
        /// `digest`, `sasl`, `x509` or `ip`.
        scheme: String,
        /// The id in this scheme: for `digest` "user:" and the hash that ZooKeeper's tools print.
        id: String,
    },
}

/// How to speak TLS. Certificates and keys are PEM text, not files.
///
/// Servers' certificates must be for the name or the address in the connect string.
#[cfg(feature = "tls")]
#[derive(Clone)]
pub struct Tls {
    /// The authorities that sign servers' certificates, and revocation lists where there are any.
    pub ca_pem: String,
    /// Our own certificate with its chain, and its key, where servers want to know us.
    pub identity: Option<(String, String)>,
}

#[cfg(feature = "tls")]
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("identity", &self.identity.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(builder: Builder) -> String {
        match builder.build() {
            Err(Error::Invalid(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    fn builder() -> Builder {
        ZooKeeper::builder("127.0.0.1:2181")
    }

    #[test]
    fn unusable_options_are_refused_with_what_is_accepted() {
        let creator = Acl::Creator { readers: None };
        let nobody = Acl::Creator {
            readers: Some(Reader::Identity { scheme: "digest".to_owned(), id: String::new() }),
        };
        let table = [
            (ZooKeeper::builder("a:x"), "1 to 65535"),
            (builder().session_timeout(Duration::ZERO), "100ms to 600s"),
            (builder().session_timeout(Duration::from_millis(99)), "100ms to 600s"),
            (builder().session_timeout(Duration::from_secs(601)), "100ms to 600s"),
            (builder().session_timeout(Duration::MAX), "100ms to 600s"),
            (builder().digest("", "x"), "without ':'"),
            (builder().digest("a:b", "x"), "without ':'"),
            (builder().digest("a", ""), "1 to 1024"),
            (builder().acl(creator), "needs an identity"),
            (builder().digest("a", "b").acl(nobody), "a scheme and an id"),
        ];
        for (builder, expected) in table {
            let shown = format!("{builder:?}");
            let text = refusal(builder);
            assert!(text.contains(expected), "{shown}: {text}");
        }
    }

    #[test]
    fn no_debug_output_shows_a_password() {
        let builder = builder().digest("alice", "hunter2");
        #[cfg(feature = "sasl")]
        let builder = builder.sasl_digest_md5("alice", "hunter2");
        let shown = format!("{builder:?}");
        assert!(shown.contains("alice") && !shown.contains("hunter2"), "{shown}");
        let shown = format!("{:?}", builder.build().unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn unusable_certificates_are_refused_and_never_shown() {
        let tls = Tls {
            ca_pem: "nonsense".to_owned(),
            identity: Some(("hunter2".to_owned(), "hunter2".to_owned())),
        };
        let builder = builder().tls(tls);
        assert!(!format!("{builder:?}").contains("hunter2"));
        let text = refusal(builder);
        assert!(text.contains("certificate") && !text.contains("hunter2"), "{text}");
    }
}
