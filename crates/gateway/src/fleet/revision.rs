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
    pub(crate) fn gateway(&self) -> &Arc<str> {
        &self.gateway
    }

    pub(crate) fn next(&self) -> Revision {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        Revision { gateway: self.gateway.clone(), number }
    }
}

/// One state of one service, as this process published it. Written as `gateway-number`, with 16 hexadecimal digits that tell
/// processes apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    gateway: Arc<str>,
    number: u64,
}

impl Revision {
    /// Which process published it.
    pub fn gateway(&self) -> &str {
        &self.gateway
    }

    /// Which of its states, of all services.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The same as an entity tag.
    pub(crate) fn etag(&self) -> HeaderValue {
        HeaderValue::from_str(&format!("\"{self}\"")).expect("digits and a hyphen may stand in a header")
    }

    /// Whether a text names this one: whole, or by its number alone.
    pub(crate) fn is(&self, text: &str) -> bool {
        match text.rsplit_once('-') {
            Some((gateway, number)) => gateway == &*self.gateway && number.parse() == Ok(self.number),
            None => text.parse() == Ok(self.number),
        }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.gateway, self.number)
    }
}

/// Whether a text can be a revision of some gateway.
pub(crate) fn is_revision(text: &str) -> bool {
    let number =
        |text: &str| !text.is_empty() && text.len() <= 20 && text.bytes().all(|it| it.is_ascii_digit());
    match text.rsplit_once('-') {
        Some((gateway, rest)) => {
            gateway.len() == 16 && gateway.bytes().all(|it| it.is_ascii_hexdigit()) && number(rest)
        }
        None => number(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_grow_and_are_told_apart_from_those_of_others() {
        let (ours, others) = (Revisions::default(), Revisions::default());
        let (first, second, foreign) = (ours.next(), ours.next(), others.next());
        assert!(first.number() < second.number());
        assert_ne!(first.to_string(), foreign.to_string());
        assert!(first.is(&first.to_string()) && first.is("1"));
        assert!(!first.is(&second.to_string()) && !first.is(&foreign.to_string()) && !first.is("2"));
        assert!(is_revision(&first.to_string()) && is_revision("1"));
        for none in ["", "-1", "1-", "x", "1.0", "abc-1", "0123456789abcdeg-1"] {
            assert!(!is_revision(none) && !first.is(none), "{none}");
        }
    }
}
