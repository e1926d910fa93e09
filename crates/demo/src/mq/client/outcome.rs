//! What became of one request, and of all of them.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::ServiceName;
use serde_json::{Value, json};

use super::answers::Ignored;
use crate::many::many;
use crate::output::shown;
use crate::table::table;

/// What became of one request.
pub(super) struct Outcome {
    pub(super) number: u64,
    /// The codes of those who did not answer, and why, in the order of the tries.
    pub(super) refused: Vec<(String, String)>,
    /// Whose code answered what, or why nobody did.
    pub(super) answered: Result<(String, String), String>,
    pub(super) took: Duration,
}

impl Outcome {
    pub(super) fn text(&self) -> String {
        let told = match &self.answered {
            Ok((_, body)) => body.clone(),
            Err(why) => format!("FAILED: {why}"),
        };
        let refused = self.refused.iter().map(|(code, why)| format!("  [{code}: {why}]"));
        shown(&format!("{:>4}  {told}{}", self.number, refused.collect::<String>()))
    }

    /// `source`: whether the list is what ZooKeeper says now, if there is a list.
    pub(super) fn json(&self, source: Option<&str>) -> Value {
        let refused: Vec<_> =
            self.refused.iter().map(|(code, why)| json!({ "instance": code, "why": why })).collect();
        let answered = self.answered.as_ref().ok();
        json!({
            "kind": "request",
            "request": self.number,
            "answered": answered.map(|(code, _)| code),
            "body": answered.map(|(_, body)| body),
            "refused": refused,
            "error": self.answered.as_ref().err(),
            "took_ms": self.took.as_micros() as f64 / 1000.0,
            "source": source,
        })
    }
}

/// What became of all requests up to now.
#[derive(Default)]
pub(super) struct Summary {
    requests: u64,
    failed: u64,
    retries: u64,
    answered: BTreeMap<String, u64>,
}

impl Summary {
    pub(super) fn count(&mut self, outcome: &Outcome) {
        self.requests += 1;
        match &outcome.answered {
            Ok((code, _)) => {
                *self.answered.entry(code.clone()).or_default() += 1;
                self.retries += outcome.refused.len() as u64;
            }
            Err(_) => {
                self.failed += 1;
                self.retries += outcome.refused.len().saturating_sub(1) as u64;
            }
        }
    }

    pub(super) fn all_answered(&self) -> bool {
        self.failed == 0
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests
    }

    /// `by`: what found the instances.
    pub(super) fn text(&self, service: &ServiceName, by: &str, ignored: Ignored) -> String {
        let Self { requests, failed, retries, answered } = self;
        let nobody = if answered.is_empty() { "; answered by nobody" } else { "" };
        let (sent, again) = (many(*requests, "request", "requests"), many(*retries, "retry", "retries"));
        let mut told = format!("{sent} to {service}, {failed} failed, {again}; by {by}{nobody}");
        if ignored != Ignored::default() {
            let Ignored { late, doubled, foreign } = ignored;
            told.push_str(&format!("\nanswers ignored: {late} late, {doubled} doubled, {foreign} foreign"));
        }
        let all: u64 = answered.values().sum();
        let row = |(code, answers): (&String, &u64)| {
            [code.clone(), answers.to_string(), format!("{:.1} %", *answers as f64 / all as f64 * 100.0)]
        };
        let rows: Vec<_> = answered.iter().map(row).collect();
        if rows.is_empty() {
            told
        } else {
            format!("{told}\n{}", table(["CODE", "ANSWERED", "SHARE"], &rows))
        }
    }

    pub(super) fn json(&self, by: &str, ignored: Ignored) -> Value {
        let Self { requests, failed, retries, answered } = self;
        json!({ "kind": "summary", "summary": {
            "by": by,
            "requests": requests,
            "failed": failed,
            "retries": retries,
            "answered": answered,
            "ignored": ignored,
        } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(refused: &[&str], answered: Result<&str, &str>) -> Outcome {
        Outcome {
            number: 7,
            refused: refused.iter().map(|&code| (code.to_owned(), "no answer".to_owned())).collect(),
            answered: answered
                .map(|code| (code.to_owned(), format!("{code} did it\x1b")))
                .map_err(str::to_owned),
            took: Duration::from_micros(1500),
        }
    }

    #[test]
    fn a_request_is_a_line_that_tells_of_those_who_did_not_answer() {
        assert_eq!(outcome(&["b"], Ok("a")).text(), "   7  a did it\\u{1b}  [b: no answer]");
        assert_eq!(outcome(&[], Err("nobody")).text(), "   7  FAILED: nobody");
        assert_eq!(
            outcome(&["b"], Ok("a")).json(Some("live")),
            json!({"kind": "request", "request": 7, "answered": "a", "body": "a did it\x1b", "refused": [{"instance": "b", "why": "no answer"}],
                "error": null, "took_ms": 1.5, "source": "live"})
        );
    }

    #[test]
    fn the_summary_tells_who_answered_how_many_and_what_was_ignored() {
        let mut summary = Summary::default();
        for outcome in
            [outcome(&[], Ok("a")), outcome(&["a", "c"], Ok("b")), outcome(&["a", "b"], Err("nobody"))]
        {
            summary.count(&outcome);
        }
        let (service, ignored) =
            (ServiceName::parse("jobs").unwrap(), Ignored { late: 1, doubled: 2, foreign: 3 });
        assert!(!summary.all_answered());
        assert_eq!(
            summary.text(&service, "random", ignored),
            "3 requests to jobs, 1 failed, 3 retries; by random\n\
             answers ignored: 1 late, 2 doubled, 3 foreign\n\
             CODE  ANSWERED  SHARE\n\
             a     1         50.0 %\n\
             b     1         50.0 %"
        );
        assert_eq!(
            summary.json("random", ignored),
            json!({"kind": "summary", "summary": {"by": "random", "requests": 3, "failed": 1, "retries": 3, "answered": {"a": 1, "b": 1},
                "ignored": {"late": 1, "doubled": 2, "foreign": 3}}})
        );
        let mut one = Summary::default();
        one.count(&outcome(&["b"], Ok("a")));
        let told = one.text(&service, "hello", Ignored::default());
        assert!(told.starts_with("1 request to jobs, 0 failed, 1 retry; by hello\n"), "{told}");
        let told = Summary::default().text(&service, "hello", Ignored::default());
        assert_eq!(told, "0 requests to jobs, 0 failed, 0 retries; by hello; answered by nobody");
    }
}
