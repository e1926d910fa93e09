//! The algorithms by name.

use std::fmt;
use std::str::FromStr;

use crate::{
    Algorithm, Hash, KeyKind, LeastConnections, Random, RoundRobin, WeightedRandom, WeightedRoundRobin,
};

/// An algorithm by its name, as it stands in flags and files.
///
/// # Examples
///
/// ```
/// use loadbalance::Name;
///
/// let name: Name = "weight-round-robin".parse()?;
/// assert_eq!(name.algorithm().name(), "weight-round-robin");
/// assert_eq!("weightroundrobin".parse(), Ok(name));
/// assert!("fastest".parse::<Name>().unwrap_err().to_string().contains("accepted: round-robin, "));
/// # Ok::<(), loadbalance::UnknownName>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    /// [`RoundRobin`].
    RoundRobin,
    /// [`WeightedRoundRobin`].
    WeightRoundRobin,
    /// [`Random`].
    Random,
    /// [`WeightedRandom`].
    WeightRandom,
    /// [`Hash`](struct@Hash) by the client's address.
    IpHash,
    /// [`Hash`](struct@Hash) by a path with its query.
    UrlHash,
    /// [`LeastConnections`].
    LeastConnect,
}

impl Name {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::RoundRobin,
        Self::WeightRoundRobin,
        Self::Random,
        Self::WeightRandom,
        Self::IpHash,
        Self::UrlHash,
        Self::LeastConnect,
    ];

    /// How it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::WeightRoundRobin => "weight-round-robin",
            Self::Random => "random",
            Self::WeightRandom => "weight-random",
            Self::IpHash => "ip-hash",
            Self::UrlHash => "url-hash",
            Self::LeastConnect => "least-connect",
        }
    }

    /// A new algorithm of this name. One that goes by turns begins with anybody.
    pub fn algorithm(self) -> Box<dyn Algorithm> {
        match self {
            Self::RoundRobin => Box::new(RoundRobin::from_anywhere()),
            Self::WeightRoundRobin => Box::new(WeightedRoundRobin::from_anywhere()),
            Self::Random => Box::new(Random),
            Self::WeightRandom => Box::new(WeightedRandom),
            Self::IpHash => Box::new(Hash::by_client()),
            Self::UrlHash => Box::new(Hash::by_url()),
            Self::LeastConnect => Box::new(LeastConnections),
        }
    }

    /// What a request has to carry for it.
    pub fn key(self) -> Option<KeyKind> {
        match self {
            Self::IpHash => Some(KeyKind::Client),
            Self::UrlHash => Some(KeyKind::Url),
            Self::RoundRobin
            | Self::WeightRoundRobin
            | Self::Random
            | Self::WeightRandom
            | Self::LeastConnect => None,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Name {
    type Err = UnknownName;

    /// With or without the hyphens, or with underscores instead; in capitals or not.
    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let is = |name: &Self| {
            let name = name.as_str();
            ["-", "_", ""].iter().any(|between| text.eq_ignore_ascii_case(&name.replace('-', between)))
        };
        let all = Self::ALL.into_iter();
        // As most write it, before it is compared with every way to write one.
        let found = all.clone().find(|name| name.as_str() == text).or_else(|| all.clone().find(is));
        found.ok_or_else(|| UnknownName { shown: text.chars().take(80).collect() })
    }
}

/// A name that no algorithm has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{shown:?} is no algorithm; accepted: {}", Name::ALL.map(Name::as_str).join(", "))]
pub struct UnknownName {
    shown: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_as_it_is_written_and_as_it_used_to_be() {
        for name in Name::ALL {
            assert_eq!(name.to_string().parse(), Ok(name));
            assert_eq!(name.as_str().replace('-', "").parse(), Ok(name));
            assert_eq!(name.as_str().to_uppercase().parse(), Ok(name));
            assert_eq!(name.as_str().replace('-', "_").parse(), Ok(name));
            assert_eq!(name.algorithm().name(), name.as_str());
            assert_eq!(name.algorithm().key(), name.key());
        }
        assert_eq!(Name::IpHash.key(), Some(KeyKind::Client));
        assert_eq!(Name::UrlHash.key(), Some(KeyKind::Url));
        assert_eq!(Name::LeastConnect.key(), None);
    }

    #[test]
    fn an_unknown_name_is_told_the_known_ones() {
        for text in ["", "weight", "round robin", "round-robin ", "-", &"x".repeat(10_000)] {
            let error = text.parse::<Name>().unwrap_err().to_string();
            assert!(
                error.ends_with(
                    " is no algorithm; accepted: round-robin, weight-round-robin, random, weight-random, ip-hash, \
                     url-hash, least-connect"
                ),
                "{error}"
            );
            assert!(error.len() < 300);
        }
    }
}
