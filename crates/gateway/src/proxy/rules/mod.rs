//! Which request goes to which service.

mod fields;
mod file;

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderName;
use ipnet::IpNet;
use loadbalance::Name;
use proto::ServiceName;
use regex::bytes::Regex;

pub use self::fields::Fault;
use super::path::Path;

/// Rules, in order: the first that matches a path says where the request goes.
///
/// ```
/// use gateway::proxy::Rules;
/// use gateway::proxy::path::Path;
///
/// let rules = Rules::read(
///     r#"
///     [[rule]]
///     path = "/data"
///     service = "video"
///     algorithm = "url-hash"
///     strip_prefix = true
///
///     [[rule]]
///     regex = "/v[12]/(users|groups)"
///     service = "directory"
///     to = "master"
///     "#,
/// )?;
/// let service = |path| Some(rules.matching(&Path::read(path).ok()?)?.service().as_str());
/// assert_eq!(service("/data/7"), Some("video"));
/// assert_eq!(service("/database"), None);
/// assert_eq!(service("/v%31/users/7"), Some("directory"));
///
/// let error = Rules::read("[[rule]]\npath = \"data\"\nservice = \"video\"").unwrap_err();
/// assert!(error.to_string().starts_with("line 2, path: \"data\" does not begin with '/'"));
/// # Ok::<(), gateway::proxy::RulesError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Rules {
    pub(super) rules: Vec<Arc<Rule>>,
    pub(super) trusted: Trusted,
    pub(super) ejection: Settings,
    pub(super) retries: Retries,
}

/// Where the requests go whose path matches.
#[derive(Debug)]
pub struct Rule {
    pub(super) matches: Matches,
    pub(super) service: ServiceName,
    pub(super) to: To,
    pub(super) strips_prefix: bool,
    pub(super) limits: Limits,
}

/// Which paths a rule is for.
#[derive(Debug)]
pub(super) enum Matches {
    /// Those that begin with these segments.
    Prefix { prefix: Box<str>, segments: usize },
    /// Those that match from their beginning on.
    Regex(Regex),
}

/// Which instance of the service a request goes to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum To {
    Master,
    Balanced(Choice),
}

/// How one of many is chosen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Choice {
    /// By an algorithm that has a name, which also says what is hashed, if anything.
    Named(Name),
    /// By a hash of something.
    Hash(Hashed),
}

/// What is hashed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Hashed {
    /// The path with its query, as it came but for its escapes.
    Path,
    /// The client's address.
    Client,
    /// A header; the client's address where it is missing.
    Header(HeaderName),
    /// A cookie; the client's address where it is missing.
    Cookie(Box<str>),
}

/// How long a request may take, how large it may be, and how often it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// To reach an instance.
    pub(super) connect: Duration,
    /// Until the head of an answer is there, counted from the last byte of the request's body that was taken.
    pub(super) answer: Duration,
    /// Between two parts of the answer's body.
    pub(super) idle: Duration,
    /// While nothing comes through a tunnel, either way.
    pub(super) tunnel: Duration,
    /// How long the body of a request may be waited for, all together.
    pub(super) request: Duration,
    /// How many bytes the body of a request may have.
    pub(super) body: Option<u64>,
    /// With how many instances.
    pub(super) tries: u32,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connect: seconds(2),
            answer: seconds(30),
            idle: seconds(60),
            tunnel: seconds(3600),
            // Long enough for a large file over a slow line; without it a client that sends a byte now and then would stay for ever.
            request: seconds(3600),
            body: None,
            tries: 3,
        }
    }
}

/// When an instance is put out, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    /// After how many failures in a row.
    pub(super) failures: u32,
    /// For how long the first time.
    pub(super) first: Duration,
    /// For how long at most.
    pub(super) longest: Duration,
    /// Which answers are failures.
    pub(super) statuses: Vec<u16>,
}

impl Default for Settings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { failures: 5, first: seconds(1), longest: seconds(60), statuses: vec![502, 503, 504] }
    }
}

/// How many requests of a service may be sent once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retries {
    /// For each hundred requests of the last ten seconds.
    pub(super) percent: u32,
    /// For each of those seconds besides.
    pub(super) least: u32,
}

impl Default for Retries {
    fn default() -> Self {
        Self { percent: 20, least: 10 }
    }
}

/// Who is believed what they say about the clients that they forward for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trusted {
    pub(super) networks: Vec<IpNet>,
    pub(super) believed: Believed,
}

/// How a proxy that is trusted says who asked it. It may pass on the other way as its client sent it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Believed {
    /// By `X-Forwarded-For` and others that begin so.
    #[default]
    XForwarded,
    /// By `Forwarded`.
    Forwarded,
}

impl Trusted {
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address.to_canonical()))
    }
}

impl Rules {
    /// Reads rules from the text of a TOML file.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, each with its line, its field and what is accepted.
    pub fn read(text: &str) -> Result<Self, RulesError> {
        file::read(text).map_err(|faults| RulesError { faults })
    }

    /// The first rule that matches a path, as it is or without the parameters of its segments: `/a;x/b` is `/a/b` to some services.
    pub fn matching(&self, path: &Path<'_>) -> Option<&Rule> {
        self.place(path).map(|place| &*self.rules[place])
    }

    /// Which one that is.
    pub(super) fn place(&self, path: &Path<'_>) -> Option<usize> {
        // A regex sees a character where there is none in UTF-8: no byte leads around it.
        let whole = String::from_utf8_lossy(path.decoded());
        let plain = without_parameters(&whole);
        self.rules.iter().position(|rule| {
            let matches = |path| rule.matches.are(path);
            matches(&whole) || (plain != whole && matches(&plain))
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The services that they name, each once, in the order of the rules.
    pub fn services(&self) -> Vec<&ServiceName> {
        let mut services = Vec::new();
        for rule in &self.rules {
            if !services.contains(&&rule.service) {
                services.push(&rule.service);
            }
        }
        services
    }

    /// The first service whose master they send requests to.
    pub fn master_of(&self) -> Option<&ServiceName> {
        self.rules.iter().find(|rule| rule.to == To::Master).map(|rule| &rule.service)
    }
}

impl Rule {
    /// Where the requests go.
    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    /// The path that the service is asked for.
    pub(super) fn path<'p>(&self, path: &'p Path<'_>) -> &'p str {
        match &self.matches {
            Matches::Prefix { segments, .. } if self.strips_prefix => path.without(*segments),
            _ => path.encoded(),
        }
    }
}

impl Matches {
    fn are(&self, path: &str) -> bool {
        match self {
            Self::Prefix { prefix, .. } => {
                let rest = path.strip_prefix(&**prefix);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'))
            }
            Self::Regex(regex) => regex.is_match(path.as_bytes()),
        }
    }
}

/// A path without what stands behind a `;` in its segments, which is no part of their names to some services.
fn without_parameters(path: &str) -> Cow<'_, str> {
    if !path.contains(';') {
        return path.into();
    }
    let name = |segment: &str| segment.split(';').next().unwrap_or_default().to_owned();
    path.split('/').map(name).collect::<Vec<_>>().join("/").into()
}

/// Why a text has no rules. Printed it has a line for each fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct RulesError {
    faults: Vec<Fault>,
}

impl RulesError {
    /// All that is wrong, in the order of the file.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.faults.iter().enumerate() {
            write!(f, "{}{fault}", if at == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}
