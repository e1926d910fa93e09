//! What stands in the path and in the query of a request.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use form_urlencoded::parse;
use jiff::SignedDuration;
use proto::{InstanceId, ServiceName};
use utoipa::openapi::RefOr;
use utoipa::openapi::path::ParameterIn;

use crate::Problem;

/// The service that a path names, checked.
pub(crate) struct Service(pub(crate) ServiceName);

impl<S: Send + Sync> FromRequestParts<S> for Service {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self(named(&in_path(parts, state).await?, "service")?))
    }
}

/// The instance that a path names, and its service, checked.
pub(crate) struct InstanceOf(pub(crate) ServiceName, pub(crate) InstanceId);

impl<S: Send + Sync> FromRequestParts<S> for InstanceOf {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = in_path(parts, state).await?;
        Ok(Self(named(&path, "service")?, named(&path, "id")?))
    }
}

async fn in_path<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<RawPathParams, Problem> {
    let path = RawPathParams::from_request_parts(parts, state).await;
    path.map_err(|refusal| Problem::bad_request(format_args!("the path is not UTF-8: {refusal}")))
}

/// A name, after it was decoded: what it then contains is refused as it would be anywhere else.
fn named<T: FromStr<Err: fmt::Display>>(path: &RawPathParams, part: &str) -> Result<T, Problem> {
    let text = path.iter().find_map(|(name, text)| (name == part).then_some(text)).unwrap_or_default();
    text.parse().map_err(|refusal| Problem::bad_request(format_args!("{part}: {refusal}")))
}

/// The parameters of a query, each of which is taken once.
pub(crate) struct Parameters {
    left: Vec<(String, String)>,
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self { left: pairs(parts.uri.query().unwrap_or_default()) })
    }
}

/// The names and values of a query, decoded. Whatever stands there can be read in some way.
fn pairs(query: &str) -> Vec<(String, String)> {
    if query.contains(['%', '+']) {
        return parse(query.as_bytes()).into_owned().collect();
    }
    // Nothing is to be decoded, as in most, and that is done for every pick.
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let named = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    named.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

impl Parameters {
    /// All values of a parameter that may come several times.
    pub(crate) fn all(&mut self, name: &str) -> Vec<String> {
        self.left.extract_if(.., |(key, _)| key == name).map(|(_, value)| value).collect()
    }

    /// The value of a parameter that may come once.
    pub(crate) fn one(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let is_it = |(key, _): &(String, String)| key == name;
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
        let parse = |text: String| {
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
            prop_assert_eq!(pairs(&query), parse(query.as_bytes()).into_owned().collect::<Vec<_>>());
        }
    }
}
