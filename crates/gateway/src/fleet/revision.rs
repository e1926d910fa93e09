//! Which of the many states of a service somebody has seen.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::HeaderValue;

/// Numbers what one process publishes. A number is never used twice, for any service.
#[derive(Debug)]
pub(crate) struct Revisions {
    gateway: Arc<str>,
    last: AtomicU64,
}

impl Default for Revisions {
    /// Drawn, so that what another process numbered is never taken for ours.
    fn default() -> Self {
        Self { gateway: format!("{:016x}", rand::random::<u64>()).into(), last: AtomicU64::new(0) }
    }
}

impl Revisions {
    pub(crate) fn next(&self) -> Revision {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        Revision { gateway: self.gateway.clone(), number }
    }
}

/// One state of one service, as this process published it. Written as `gateway-number`, with 16 hexadecimal digits that tell
/// processes apart. The number alone is never shown: after a restart it would name another state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    gateway: Arc<str>,
    number: u64,
}

impl Revision {
    /// The same as an entity tag.
    pub(crate) fn etag(&self) -> HeaderValue {
        HeaderValue::from_str(&format!("\"{self}\"")).expect("digits and a hyphen may stand in a header")
    }

    /// One that somebody has seen, here or at another gateway: as it is written, or the entity tag with its quotes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let tag = text.strip_prefix("W/").unwrap_or(text);
        let bare = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(text);
        let (gateway, number) = bare.split_once('-')?;
        let is_gateway = gateway.len() == 16 && gateway.bytes().all(|it| it.is_ascii_hexdigit());
        let is_number = number.bytes().all(|it| it.is_ascii_digit());
        let number = number.parse().ok().filter(|_| is_gateway && is_number)?;
        Some(Self { gateway: gateway.into(), number })
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.gateway, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_grow_and_are_told_apart_from_those_of_others() {
        let (ours, others) = (Revisions::default(), Revisions::default());
        let (first, second, foreign) = (ours.next(), ours.next(), others.next());
        assert!(first != second && first != foreign && first.to_string() != foreign.to_string());
        for one in [&first, &second, &foreign] {
            for written in [format!("{one}"), format!("\"{one}\""), format!("W/\"{one}\"")] {
                assert_eq!(Revision::parse(&written).as_ref(), Some(one), "{written}");
            }
        }
    }

    #[test]
    fn what_is_no_revision_is_none() {
        let long = "0123456789abcdef-18446744073709551616";
        let near =
            ["0123456789abcdeg-1", "0123456789abcde-1", "0123456789abcdef-", "0123456789abcdef-+1", long];
        let quoted = ["\"0123456789abcdef-1", "0123456789abcdef-1\"", "W/0123456789abcdef-1"];
        for none in ["", "1", "-1", "1-", "x", "é"].iter().chain(&near).chain(&quoted) {
            assert_eq!(Revision::parse(none), None, "{none}");
        }
    }
}
