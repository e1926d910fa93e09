//! One request: whom it was sent to, and what became of it.

use std::collections::HashSet;
use std::time::Duration;

use loadbalance::{Balancer, PickError, Picked, Request};
use proto::InstanceId;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::ask::ask;
use crate::output::shown;

/// What became of one request.
pub(super) struct Outcome {
    pub(super) number: u64,
    /// Those who did not answer, and why, in the order of the tries.
    pub(super) refused: Vec<(InstanceId, String)>,
    /// Who answered what, or why there was nobody left to ask.
    pub(super) answered: Result<(InstanceId, String), PickError>,
    pub(super) took: Duration,
}

/// Asks one after the other until one answers or nobody is left, beginning with `next`. Each try after that is a pick of its own:
/// the list may have become better.
pub(super) async fn send(
    number: u64,
    mut next: Result<Picked, PickError>,
    balancer: &Balancer,
    request: Request<'_>,
    patience: Duration,
) -> Outcome {
    let begin = Instant::now();
    let (mut tried, mut refused) = (HashSet::new(), Vec::new());
    let answered = loop {
        let picked = match next {
            Ok(picked) => picked,
            Err(why) => break Err(why),
        };
        let id = picked.id.clone();
        let said = match &picked.data.address {
            Some(address) => ask(address, patience).await,
            // The filter takes these out.
            None => Err("it has no address".to_owned()),
        };
        match said {
            Ok(line) => break Ok((id, line)),
            Err(why) => {
                picked.failed();
                tried.insert(id.clone());
                refused.push((id, why));
            }
        }
        next = balancer.pick(&request.tried(&tried));
    };
    Outcome { number, refused, answered, took: begin.elapsed() }
}

impl Outcome {
    pub(super) fn text(&self) -> String {
        let mut text = format!("{:>4}  ", self.number);
        match &self.answered {
            Ok((_, line)) => text.push_str(line),
            Err(why) if self.refused.is_empty() => {
                text.push_str(&format!("FAILED: {}", shown(&why.to_string())));
            }
            Err(_) => text.push_str("FAILED: nobody answered"),
        }
        for (id, why) in &self.refused {
            text.push_str(&format!("  [{}: {why}]", shown(id.as_str())));
        }
        text
    }

    /// `live`: whether the list is what ZooKeeper says now.
    pub(super) fn json(&self, live: bool) -> Value {
        let refused: Vec<_> =
            self.refused.iter().map(|(id, why)| json!({ "instance": id, "why": why })).collect();
        let answered = self.answered.as_ref().ok();
        json!({
            "kind": "request",
            "request": self.number,
            "answered": answered.map(|(id, _)| id),
            "line": answered.map(|(_, line)| line),
            "refused": refused,
            "error": self.answered.as_ref().err().map(ToString::to_string),
            "took_ms": self.took.as_micros() as f64 / 1000.0,
            "source": if live { "live" } else { "stale" },
        })
    }
}
