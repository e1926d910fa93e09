//! Whose the id is with a gateway that gave us none: from whoever came after us it is not taken.

use std::cmp::Ordering;

use hyper::{Method, StatusCode};
use proto::NodeData;
use serde::Deserialize;

use super::super::exchange::Refusal;
use super::super::problem::Problem;
use super::elsewhere::Source;
use super::{Keeping, Trouble};

/// How a gateway says that ZooKeeper has not told it.
const NOT_KNOWN_YET: &str = "urn:headkeeper:problem:not-known-yet";

/// What a gateway tells of an instance.
#[derive(Deserialize)]
struct Told {
    source: Source,
    /// As it is listed.
    instance: Option<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    /// Nothing where nobody knows.
    #[serde(default)]
    registered_at: u64,
}

/// What is to be done about whoever has the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// It is ourselves, or somebody who was there before us.
    Ours,
    /// It is theirs.
    Newer,
    /// Nobody can tell yet.
    Unclear,
}

/// Who is listed is told by when they were first registered, which nobody changes. Somebody older, or who does not say, may be our dead
/// predecessor on an old list, or somebody newer whose clock is behind: where a gateway still has a lease of ours, that one will tell. An old
/// list shows nobody newer for sure, for clocks differ.
fn judge(told: &Told, ours: u64, has_lease: bool) -> Found {
    let since = told.instance.as_ref().map(|listed| listed.registered_at);
    match since.map(|since| since.cmp(&ours)) {
        Some(Ordering::Equal) => Found::Ours,
        Some(Ordering::Greater) if told.source == Source::Live => Found::Newer,
        Some(Ordering::Greater) => Found::Unclear,
        Some(Ordering::Less) | None if has_lease => Found::Unclear,
        Some(Ordering::Less) | None => Found::Ours,
    }
}

impl Keeping<'_> {
    /// Looks whether the id may be registered with a gateway that gave us no lease of it, or knows nothing of that.
    pub(super) async fn look_who_is_there(&self, which: usize, data: &NodeData) -> Result<(), Trouble> {
        let answer = self.ask(which, Method::GET, "", None, None).await?;
        let gateway = answer.gateway.clone();
        match answer.status {
            status if status.is_success() => {}
            status if status.is_server_error() => {
                let Refusal { kind, problem } = answer.refusal().await;
                // One that is full of services may have room for instances.
                let is_unclear =
                    status != StatusCode::SERVICE_UNAVAILABLE || kind.as_deref() == Some(NOT_KNOWN_YET);
                return if is_unclear { Err(problem.into()) } else { Ok(()) };
            }
            // Nobody; and what else it refuses it refuses to register, too, and says why.
            _ => return Ok(()),
        }
        let told: Told = serde_json::from_slice(&answer.bytes().await?)
            .map_err(|error| Problem::unusable(&gateway, &error.to_string()))?;
        // Nothing is left of one that was not renewed in time.
        let has_lease = self.lease.as_ref().is_some_and(|lease| lease.renewed.elapsed() < self.shared.ttl);
        match judge(&told, data.registered_at, has_lease) {
            Found::Ours => Ok(()),
            Found::Newer => Err(Trouble::Newer),
            Found::Unclear => {
                Err(Problem::waiting(&gateway, "somebody has the id, and it cannot tell who").into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_from_nobody_who_may_have_come_after_us() {
        let none = "null".to_owned();
        let since = |since: &str| format!("{{\"id\":\"a\",\"weight\":1{since}}}");
        let (older, same) = (since(",\"registered_at\":9"), since(",\"registered_at\":10"));
        let (newer, unsaid) = (since(",\"registered_at\":11"), since(""));
        for (listed, source, has_lease, expected) in [
            (&same, "live", true, Found::Ours),
            (&same, "stale", false, Found::Ours),
            (&newer, "live", true, Found::Newer),
            (&newer, "live", false, Found::Newer),
            (&newer, "stale", true, Found::Unclear),
            (&newer, "stale", false, Found::Unclear),
            (&older, "live", true, Found::Unclear),
            (&older, "stale", false, Found::Ours),
            (&unsaid, "live", true, Found::Unclear),
            (&unsaid, "live", false, Found::Ours),
            // It is promised to somebody there, and not listed yet.
            (&none, "unknown", true, Found::Unclear),
            (&none, "unknown", false, Found::Ours),
        ] {
            let told = format!("{{\"source\":\"{source}\",\"instance\":{listed},\"ours\":true}}");
            let told: Told = serde_json::from_str(&told).unwrap();
            assert_eq!(judge(&told, 10, has_lease), expected, "{listed} {source} {has_lease}");
        }
    }
}
