//! Which acts count: those of the greatest token that was ever seen.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::output::{brief, shown};

/// What somebody wants to do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Act {
    pub(super) who: String,
    pub(super) token: i64,
    /// For whoever reads along.
    #[serde(rename = "seq")]
    _seq: u64,
}

/// What somebody who wants something is told.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Answer {
    pub(super) ok: bool,
    /// What was wrong with the line, if it was not understood.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The greatest token so far; 0 before the first.
    pub(super) max: i64,
}

/// What is kept.
#[derive(Debug, Default)]
pub(super) struct Book {
    max: i64,
    holder: Option<(String, i64)>,
    accepted: u64,
    refused: u64,
}

/// Something that a person would want to know.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    Listening { at: String },
    Holder { who: String, token: i64 },
    Refused { who: String, token: i64, max: i64 },
    End { accepted: u64, refused: u64 },
}

impl Book {
    /// Accepts an act, unless a greater token was seen.
    pub(super) fn judge(&mut self, act: &Act) -> (Answer, Option<News>) {
        let Act { who, token, .. } = act.clone();
        let ok = token >= self.max;
        if !ok {
            self.refused += 1;
            return (self.answer(false, None), Some(News::Refused { who, token, max: self.max }));
        }
        self.accepted += 1;
        self.max = token;
        let same = self.holder.as_ref().is_some_and(|(holder, held)| *holder == who && *held == token);
        if !same {
            self.holder = Some((who.clone(), token));
        }
        (self.answer(true, None), (!same).then_some(News::Holder { who, token }))
    }

    /// Answers a line that is no act.
    pub(super) fn not_understood(&self, why: String) -> Answer {
        self.answer(false, Some(why))
    }

    pub(super) fn end(&self) -> News {
        News::End { accepted: self.accepted, refused: self.refused }
    }

    fn answer(&self, ok: bool, error: Option<String>) -> Answer {
        Answer { ok, error, max: self.max }
    }
}

/// What an act looks like.
const ACCEPTED: &str = r#"one object like {"who":"a","token":7,"seq":1} per line"#;

/// The act that a line is, or what was wrong with it and what is accepted.
pub(super) fn parse(line: &[u8]) -> Result<Act, String> {
    // A list of the values would do for serde.
    if !line.trim_ascii_start().starts_with(b"{") {
        return Err(refusal("it is not a JSON object"));
    }
    serde_json::from_slice(line).map_err(|error| refusal(&brief(&error.to_string())))
}

/// What somebody is told whose line is no act.
pub(super) fn refusal(why: &str) -> String {
    format!("this is no act: {why}; accepted: {ACCEPTED}")
}

impl News {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Listening { at } => format!("listening on {at}"),
            Self::Holder { who, token } => format!("{} acts with token {token}", shown(who)),
            Self::Refused { who, token, max } => {
                format!("refused {}: its token {token} is older than {max}", shown(who))
            }
            Self::End { accepted, refused } => format!("accepted {accepted}, refused {refused}"),
        }
    }

    pub(super) fn json(&self) -> Value {
        match self {
            Self::Listening { at } => json!({ "kind": "listening", "at": at }),
            Self::Holder { who, token } => json!({ "kind": "holder", "who": who, "token": token }),
            Self::Refused { who, token, max } => {
                json!({ "kind": "refused", "who": who, "token": token, "max": max })
            }
            Self::End { accepted, refused } => {
                json!({ "kind": "summary", "accepted": accepted, "refused": refused })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hostile;
    use crate::output::one_line;

    fn act(who: &str, token: i64) -> Act {
        Act { who: who.to_owned(), token, _seq: 1 }
    }

    #[test]
    fn an_older_token_is_refused_and_only_changes_are_news() {
        let mut book = Book::default();
        let holder = |who: &str, token| Some(News::Holder { who: who.to_owned(), token });
        let refused = |who: &str, token, max| Some(News::Refused { who: who.to_owned(), token, max });
        for (who, token, ok, max, news) in [
            ("a", 7, true, 7, holder("a", 7)),
            ("a", 7, true, 7, None),
            ("b", 9, true, 9, holder("b", 9)),
            ("a", 7, false, 9, refused("a", 7, 9)),
            ("a", 8, false, 9, refused("a", 8, 9)),
            ("b", 9, true, 9, None),
            // It must not be, so it is to be seen.
            ("c", 9, true, 9, holder("c", 9)),
            ("a", -1, false, 9, refused("a", -1, 9)),
        ] {
            let (answer, told) = book.judge(&act(who, token));
            assert_eq!(((answer.ok, answer.max), told), ((ok, max), news), "{who} {token}");
        }
        assert_eq!(book.end(), News::End { accepted: 5, refused: 3 });
    }

    #[test]
    fn an_act_is_an_object_with_its_three_fields() {
        assert_eq!(parse(br#"{"who":"a","token":7,"seq":1}"#).unwrap(), act("a", 7));
        assert_eq!(parse(b" {\"seq\":1,\"token\":7,\"who\":\"a\",\"more\":0}\r").unwrap(), act("a", 7));
        for (line, why) in [
            (&b""[..], "not a JSON object"),
            (b"[\"a\",7,1]", "not a JSON object"),
            (b"{}", "missing field `who`"),
            (br#"{"who":"a","token":"7","seq":1}"#, "string"),
            (br#"{"who":"a","token":7.5,"seq":1}"#, "floating"),
            (br#"{"who":"a","token":99999999999999999999,"seq":1}"#, "floating"),
            (br#"{"who":"a","token":7,"seq":-1}"#, "-1"),
            (b"{\"who\":\"\xff\",\"token\":7,\"seq\":1}", "unicode"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(why) && error.contains("accepted: one object like"), "{error}");
        }
    }

    const ACTS: [&str; 3] = [
        r#"{"who":"a","token":7,"seq":1}"#,
        r#"{"seq":18446744073709551615,"token":-9223372036854775808,"who":"größe\\u0000","more":[]}"#,
        r#"{"who":"","token":9223372036854775807,"seq":0}"#,
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn any_line_is_answered_on_one_line_and_no_line_makes_the_greatest_token_smaller(
            lines in proptest::collection::vec(hostile::line(&ACTS), 1..4),
        ) {
            let mut book = Book::default();
            for line in lines {
                let before = book.max;
                let (answer, token) = match parse(&line) {
                    Ok(act) => (book.judge(&act).0, Some(act.token)),
                    Err(why) => {
                        prop_assert!(hostile::is_brief(&why) && why.contains("accepted: one object like"), "{}", why);
                        (book.not_understood(why), None)
                    }
                };
                prop_assert_eq!(answer.ok, token.is_some_and(|token| token >= before));
                prop_assert_eq!(answer.max, before.max(token.unwrap_or(before)));
                let said = one_line(serde_json::to_string(&answer).unwrap());
                // An agent hangs up on what is longer than 4096 bytes.
                prop_assert!(said.len() < 4_096 && !said.contains('\n'), "{}", said);
            }
        }
    }

    #[test]
    fn answers_are_as_agents_read_them() {
        let mut book = Book::default();
        let (answer, _) = book.judge(&act("a", 7));
        assert_eq!(serde_json::to_string(&answer).unwrap(), r#"{"ok":true,"max":7}"#);
        let answer = book.not_understood("why".to_owned());
        assert_eq!(serde_json::to_string(&answer).unwrap(), r#"{"ok":false,"error":"why","max":7}"#);
    }
}
