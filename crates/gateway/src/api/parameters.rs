//! What stands in the path and in the query of a request.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use axum::extract::{FromRequestParts, Path};
use axum::http::Uri;
use axum::http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
use axum::http::request::Parts;
use form_urlencoded::parse;
use jiff::SignedDuration;
use proto::{InstanceId, ServiceName};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::path::ParameterIn;

use crate::Problem;

/// The service that a path names, checked.
pub(crate) struct Service(pub(crate) ServiceName);

impl<S: Send + Sync> FromRequestParts<S> for Service {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let service: Part<_> = in_path(parts, state).await?;
        Ok(Self(service.named("service")?))
    }
}

/// The instance that a path names, and its service, checked.
pub(crate) struct InstanceOf(pub(crate) ServiceName, pub(crate) InstanceId);

impl<S: Send + Sync> FromRequestParts<S> for InstanceOf {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let (service, id): (Part<_>, Part<_>) = in_path(parts, state).await?;
        Ok(Self(service.named("service")?, id.named("id")?))
    }
}

/// A request to write something, without conditions: ETags are of what is answered, and no condition of theirs is checked when something is written.
pub(crate) struct Unconditional;

impl<S: Send + Sync> FromRequestParts<S> for Unconditional {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let conditions = [IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, IF_MODIFIED_SINCE];
        match conditions.iter().find(|name| parts.headers.contains_key(*name)) {
            Some(name) => Err(Problem::bad_request(format_args!(
                "{name}: nothing is written under a condition; accepted: none, and ?lease= to write only what is still yours"
            ))),
            None => Ok(Self),
        }
    }
}

async fn in_path<S: Send + Sync, T: DeserializeOwned + Send>(
    parts: &mut Parts,
    state: &S,
) -> Result<T, Problem> {
    let path = Path::from_request_parts(parts, state).await;
    path.map(|Path(path)| path)
        .map_err(|refusal| Problem::bad_request(format_args!("the path is not UTF-8: {refusal}")))
}

/// What a part of a path is read as, after it was decoded: what it then contains is refused as it would be anywhere else.
struct Part<T: FromStr>(Result<T, T::Err>);

impl<'de, T: FromStr> Deserialize<'de> for Part<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // Nothing is copied, for that is done for every pick.
        <&str>::deserialize(from).map(|text| Self(text.parse()))
    }
}

impl<T: FromStr<Err: fmt::Display>> Part<T> {
    fn named(self, part: &str) -> Result<T, Problem> {
        self.0.map_err(|refusal| Problem::bad_request(format_args!("{part}: {refusal}")))
    }
}

/// The parameters of a query, each of which is taken once.
pub(crate) struct Parameters<'q> {
    left: Vec<Pair<'q>>,
}

/// A name, and its value.
type Pair<'q> = (Cow<'q, str>, Cow<'q, str>);

/// The names and values of a query, decoded. Whatever stands there can be read in some way.
fn pairs(query: &str) -> Vec<Pair<'_>> {
    if query.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return parse(query.as_bytes()).collect();
    }
    // Nothing is to be decoded, as in most, and that is done for every pick.
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let named = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    named.map(|(name, value)| (name.into(), value.into())).collect()
}

impl<'q> Parameters<'q> {
    /// Those of a request for this.
    pub(crate) fn of(uri: &'q Uri) -> Self {
        Self { left: uri.query().map(pairs).unwrap_or_default() }
    }

    /// All values of a parameter that may come several times.
    pub(crate) fn all(&mut self, name: &str) -> Vec<Cow<'q, str>> {
        self.left.extract_if(.., |(key, _)| key == name).map(|(_, value)| value).collect()
    }

    /// The value of a parameter that may come once.
    pub(crate) fn one(&mut self, name: &str) -> Result<Option<Cow<'q, str>>, Problem> {
        let is_it = |(key, _): &Pair<'_>| key == name;
        let Some(place) = self.left.iter().position(is_it) else { return Ok(None) };
        let (_, one) = self.left.remove(place);
        match self.left.iter().filter(|pair| is_it(pair)).count() {
            0 => Ok(Some(one)),
            more => {
                Err(Problem::bad_request(format_args!("{name} comes {} times; accepted: once", more + 1)))
            }
        }
    }

    /// The value of a parameter of this type.
    pub(crate) fn parsed<T: FromStr<Err: fmt::Display>>(&mut self, name: &str) -> Result<Option<T>, Problem> {
        let parse = |text: Cow<'_, str>| {
            text.parse().map_err(|refusal| Problem::bad_request(format_args!("{name}: {refusal}")))
        };
        self.one(name)?.map(parse).transpose()
    }

    /// A parameter that is `true` or `false`; false when it is not there.
    pub(crate) fn switch(&mut self, name: &str) -> Result<bool, Problem> {
        match self.one(name)?.as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => {
                let shown: String = other.chars().take(40).collect();
                Err(Problem::bad_request(format_args!("{name} is {shown:?}; accepted: true, false")))
            }
        }
    }

    /// A time with its unit.
    pub(crate) fn duration(&mut self, name: &str, most: Duration) -> Result<Option<Duration>, Problem> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        let time = text.parse::<SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
        match time.filter(|time| *time <= most) {
            Some(time) => Ok(Some(time)),
            None => {
                let shown: String = text.chars().take(40).collect();
                Err(Problem::bad_request(format_args!(
                    "{name} is {shown:?}; accepted: a time from 0s to {}s with its unit, as in 30s",
                    most.as_secs()
                )))
            }
        }
    }

    /// Refuses what is left, and says what the handler `H` accepts: what is documented of it.
    pub(crate) fn done<H: utoipa::Path>(self) -> Result<(), Problem> {
        let Some((name, _)) = self.left.first() else { return Ok(()) };
        let shown: String = name.chars().take(40).collect();
        let documented = H::operation().parameters.unwrap_or_default();
        let in_query = documented.iter().filter_map(|parameter| match parameter {
            RefOr::T(it) if it.parameter_in == ParameterIn::Query => Some(&*it.name),
            RefOr::T(_) | RefOr::Ref(_) => None,
        });
        let accepted: Vec<_> = in_query.collect();
        let accepted = if accepted.is_empty() { "none".to_owned() } else { accepted.join(", ") };
        Err(Problem::bad_request(format_args!("{shown:?} is no parameter here; accepted: {accepted}")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_not_encoded_is_read_as_what_is(query in "[a-c=&%+4é]{0,12}") {
            prop_assert_eq!(pairs(&query), parse(query.as_bytes()).collect::<Vec<_>>());
        }
    }
}
