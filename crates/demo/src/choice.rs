//! How servers are chosen, as the flags say.

use std::ffi::OsStr;
use std::str::FromStr;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Arg, Args, Command};
use cli::ending::Usage;
use loadbalance::{Key, Name, Request};

/// How servers are chosen.
#[derive(Args, Debug)]
pub(crate) struct Choice {
    /// How the server for a request is chosen
    #[arg(long, value_name = "NAME", default_value_t = Name::RoundRobin, value_parser = Names)]
    pub(crate) algorithm: Name,

    /// What a hash chooses by: for ip-hash the address of a client, with or without a port, for url-hash a path with its query
    #[arg(long, value_name = "K", allow_hyphen_values = true)]
    key: Option<String>,

    /// Say on stderr, before the first request, how a choice comes about: of a pick of its own, which takes a turn
    #[arg(long)]
    pub(crate) explain: bool,
}

impl Choice {
    /// What every request is chosen by.
    ///
    /// # Errors
    ///
    /// When the algorithm has no use for the key, or cannot do without one: a hash of nothing would be a random choice.
    pub(crate) fn request(&self) -> Result<Request<'_>, Usage> {
        let algorithm = self.algorithm;
        match (algorithm.key(), &self.key) {
            (None, None) => Ok(Request::default()),
            (Some(kind), Some(text)) => {
                let key: Result<Key<'_>, _> = kind.parse(text);
                key.map(Request::with_key).map_err(|error| Usage(format!("{algorithm}: {error}")))
            }
            (Some(kind), None) => {
                Err(Usage(format!("{algorithm} chooses by {kind}, and there is none: add --key")))
            }
            (None, Some(_)) => Err(Usage(format!(
                "{algorithm} does not choose by a key: --key is for {}",
                Name::ALL
                    .into_iter()
                    .filter(|name| name.key().is_some())
                    .map(Name::as_str)
                    .collect::<Vec<_>>()
                    .join(" and ")
            ))),
        }
    }
}

/// Reads the name of an algorithm, and tells what each of them does.
#[derive(Clone, Copy, Debug)]
struct Names;

impl TypedValueParser for Names {
    type Value = Name;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Name, clap::Error> {
        // Says itself which there are.
        TypedValueParser::parse_ref(&Name::from_str, command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(Name::ALL.into_iter().map(|name| PossibleValue::new(name.as_str()).help(about(name)))))
    }
}

fn about(name: Name) -> &'static str {
    match name {
        Name::RoundRobin => "one after the other, whatever their weights",
        Name::WeightRoundRobin => "one after the other, each as often as its weight says",
        Name::Random => "anybody, whatever their weights",
        Name::WeightRandom => "anybody, the heavier the likelier",
        Name::IpHash => "the same server for the same client, whose address is the --key",
        Name::UrlHash => "the same server for the same path with its query, which is the --key",
        Name::LeastConnect => {
            "who has the least in flight; this client has one request at a time, and then the heavier are the likelier"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(algorithm: Name, key: Option<&str>) -> Choice {
        Choice { algorithm, key: key.map(str::to_owned), explain: false }
    }

    #[test]
    fn a_key_is_there_when_the_algorithm_chooses_by_one_and_only_then() {
        for name in Name::ALL {
            let key = name.key().map(|_| if name == Name::IpHash { "[2001:db8::1]:443" } else { "/a?b" });
            assert_eq!(choice(name, key).request().unwrap().key().is_some(), name.key().is_some());
            let other = if key.is_some() { None } else { Some("/a?b") };
            assert!(choice(name, other).request().unwrap_err().to_string().contains("--key"), "{name}");
        }
        for (name, key) in
            [(Name::IpHash, "/a"), (Name::IpHash, ""), (Name::UrlHash, "a"), (Name::UrlHash, "")]
        {
            let refused = choice(name, Some(key)).request().unwrap_err().to_string();
            assert!(refused.contains("accepted"), "{refused}");
        }
    }
}
