//! What became of all requests: who answered how many, beside what the weights say.

use std::collections::BTreeMap;

use loadbalance::{Explained, Explanation, Name, Verdict};
use proto::ServiceName;
use serde::Serialize;
use serde_json::{Value, json};

use super::outcome::Outcome;
use crate::many::many;
use crate::table::table;

/// What became of all requests up to now.
#[derive(Debug, Default)]
pub(super) struct Summary {
    requests: u64,
    retries: u64,
    failed: u64,
    answered: BTreeMap<String, u64>,
}

/// One who is on the last list, or answered.
#[derive(Debug, PartialEq, Serialize)]
struct Row {
    instance: String,
    /// On the last list; `None`: it is not there any more.
    weight: Option<u32>,
    answered: u64,
    /// Its part of all answers, from 0 to 1, if there are any.
    share: Option<f64>,
    /// What that should come to in the long run by the last list, where that is the same for all keys.
    expected: Option<f64>,
}

impl Summary {
    pub(super) fn count(&mut self, outcome: &Outcome) {
        self.requests += 1;
        match &outcome.answered {
            Ok((id, _)) => {
                *self.answered.entry(id.to_string()).or_default() += 1;
                self.retries += outcome.refused.len() as u64;
            }
            Err(_) => {
                self.failed += 1;
                self.retries += outcome.refused.len().saturating_sub(1) as u64;
            }
        }
    }

    /// How many were sent.
    pub(super) fn requests(&self) -> u64 {
        self.requests
    }

    pub(super) fn all_answered(&self) -> bool {
        self.failed == 0
    }

    pub(super) fn text(&self, service: &ServiceName, algorithm: Name, now: &Explanation) -> String {
        let Self { requests, retries, failed, answered } = self;
        let nobody = if answered.is_empty() { "; answered by nobody" } else { "" };
        let (sent, again) = (many(*requests, "request", "requests"), many(*retries, "retry", "retries"));
        let told = format!("{sent} to {service}, {failed} failed, {again}; by {algorithm}{nobody}");
        let percent =
            |part: Option<f64>| part.map_or_else(|| "-".to_owned(), |part| format!("{:.1} %", part * 100.0));
        let row = |Row { instance, weight, answered, share, expected }: Row| {
            let weight = weight.map_or_else(|| "gone".to_owned(), |weight| weight.to_string());
            [instance, weight, answered.to_string(), percent(share), percent(expected)]
        };
        let rows: Vec<_> = self.rows(algorithm, now).into_iter().map(row).collect();
        if rows.is_empty() {
            return told;
        }
        format!("{told}\n{}", table(["INSTANCE", "WEIGHT", "ANSWERED", "SHARE", "EXPECTED"], &rows))
    }

    pub(super) fn json(&self, algorithm: Name, now: &Explanation) -> Value {
        let Self { requests, retries, failed, answered } = self;
        json!({ "kind": "summary", "summary": {
            "algorithm": algorithm.as_str(),
            "requests": requests,
            "failed": failed,
            "retries": retries,
            "answered": answered,
            "instances": self.rows(algorithm, now),
        } })
    }

    /// In the order of the ids.
    fn rows(&self, algorithm: Name, now: &Explanation) -> Vec<Row> {
        let all: u64 = self.answered.values().sum();
        let mut rows: BTreeMap<String, (Option<u32>, Option<f64>)> =
            self.answered.keys().map(|id| (id.clone(), (None, None))).collect();
        let listed = now.instances.iter();
        rows.extend(listed.map(|it| (it.id.to_string(), (Some(it.weight), expected(it, algorithm, now)))));
        let row = |(instance, (weight, expected)): (String, _)| {
            let answered = self.answered.get(&instance).copied().unwrap_or_default();
            let share = (all > 0).then(|| answered as f64 / all as f64);
            Row { instance, weight, answered, share, expected }
        };
        rows.into_iter().map(row).collect()
    }
}

fn is_candidate(it: &Explained) -> bool {
    !matches!(it.verdict, Verdict::Drained | Verdict::Filtered | Verdict::Master)
}

/// The part of the requests that one should have.
fn expected(it: &Explained, algorithm: Name, now: &Explanation) -> Option<f64> {
    if !is_candidate(it) {
        return Some(0.0);
    }
    match (algorithm.key(), it.share) {
        // All requests have the same key, and one has them all; its share is that of all keys.
        (Some(_), _) => None,
        (None, Some(share)) => Some(share),
        // By the load, then. Ours is one request at a time, and of those that are idle the heavier is the likelier.
        (None, None) => {
            let candidates = now.instances.iter().filter(|it| is_candidate(it));
            Some(f64::from(it.weight) / candidates.map(|it| f64::from(it.weight)).sum::<f64>())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use loadbalance::{Balancer, Filter, PickError, Request};
    use proto::{Instance, InstanceId, NodeData};

    use super::*;

    fn id(name: &str) -> InstanceId {
        InstanceId::parse(name).unwrap()
    }

    fn summary(requests: &[(&[&str], Option<&str>)]) -> Summary {
        let mut summary = Summary::default();
        for (refused, answered) in requests {
            let answered = answered.map(|name| (id(name), "line".to_owned()));
            summary.count(&Outcome {
                number: 1,
                refused: refused.iter().map(|name| (id(name), "refused".to_owned())).collect(),
                answered: answered.ok_or(PickError::Empty),
                took: Duration::ZERO,
            });
        }
        summary
    }

    /// What the last list makes of a request.
    fn now(algorithm: Name, weights: &[(&str, u32)]) -> Explanation {
        let instance = |(name, weight): &(&str, u32)| Instance {
            id: id(name),
            data: NodeData::at("127.0.0.1:1".parse().unwrap()).with_weight(*weight),
        };
        let builder = Balancer::builder(algorithm.algorithm());
        let balancer = builder.filter(Filter::new("not x", |it| it.id.as_str() != "x"));
        let request = algorithm.key().map_or_else(Request::default, |_| Request::url("/a"));
        balancer.fixed(weights.iter().map(instance)).explain(&request)
    }

    fn expected(algorithm: Name, weights: &[(&str, u32)]) -> Vec<Option<f64>> {
        let rows = summary(&[]).rows(algorithm, &now(algorithm, weights));
        rows.into_iter().map(|row| row.expected).collect()
    }

    #[test]
    fn one_request_is_no_requests() {
        let told = summary(&[(&["b"], Some("a"))]).text(
            &ServiceName::parse("time").unwrap(),
            Name::Random,
            &now(Name::Random, &[]),
        );
        assert!(told.starts_with("1 request to time, 0 failed, 1 retry; by random\n"), "{told}");
    }

    #[test]
    fn the_summary_counts_answers_retries_and_failures() {
        let summary = summary(&[
            (&[], Some("a")),
            (&["b", "c"], Some("a")),
            (&["a"], Some("b")),
            (&["a", "b"], None),
            (&[], None),
        ]);
        let service = ServiceName::parse("time").unwrap();
        let now = now(Name::WeightRoundRobin, &[("a", 1), ("c", 3), ("d", 0)]);
        assert_eq!(
            summary.text(&service, Name::WeightRoundRobin, &now),
            "5 requests to time, 2 failed, 4 retries; by weight-round-robin\n\
             INSTANCE  WEIGHT  ANSWERED  SHARE   EXPECTED\n\
             a         1       2         66.7 %  25.0 %\n\
             b         gone    1         33.3 %  -\n\
             c         3       0         0.0 %   75.0 %\n\
             d         0       0         0.0 %   0.0 %"
        );
        let told = summary.json(Name::WeightRoundRobin, &now);
        let told = &told["summary"];
        assert_eq!((&told["requests"], &told["failed"], &told["retries"]), (&5.into(), &2.into(), &4.into()));
        assert_eq!(
            (&told["answered"], &told["algorithm"]),
            (&json!({"a": 2, "b": 1}), &"weight-round-robin".into())
        );
        assert_eq!(
            told["instances"][1],
            json!({"instance": "b", "weight": null, "answered": 1, "share": 1.0 / 3.0, "expected": null})
        );
        assert_eq!(
            (&told["instances"][2]["weight"], &told["instances"][2]["expected"]),
            (&3.into(), &0.75.into())
        );
    }

    #[test]
    fn what_the_weights_say_is_for_those_who_may_be_picked_by_an_algorithm_that_minds_them() {
        let weights = [("a", 6), ("b", 1), ("c", 1), ("d", 0), ("x", 9)];
        for name in Name::ALL {
            let shares = match name {
                Name::RoundRobin | Name::Random => [1.0 / 3.0; 3].map(Some),
                Name::IpHash | Name::UrlHash => [None; 3],
                Name::WeightRoundRobin | Name::WeightRandom | Name::LeastConnect => {
                    [0.75, 0.125, 0.125].map(Some)
                }
            };
            let nothing = [Some(0.0); 2];
            assert_eq!(expected(name, &weights), [&shares[..], &nothing].concat(), "{name}");
        }
    }

    #[test]
    fn without_a_list_and_answers_there_is_no_table() {
        let service = ServiceName::parse("time").unwrap();
        assert_eq!(
            summary(&[]).text(&service, Name::Random, &now(Name::Random, &[])),
            "0 requests to time, 0 failed, 0 retries; by random; answered by nobody"
        );
        let told = summary(&[(&["a"], None)]).text(&service, Name::Random, &now(Name::Random, &[("a", 1)]));
        assert!(told.ends_with("\na         1       0         -      100.0 %"), "{told}");
    }
}
