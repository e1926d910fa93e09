//! Which answer is the one that is waited for.

use std::collections::VecDeque;

use proto::{MAX_CODE, accepts};
use serde::Serialize;

use super::super::message::Answer;

/// So many of the ids that were answered are kept, to tell doubled answers from late ones.
const KEPT: usize = 256;

/// What is waited for, and what came besides.
#[derive(Debug)]
pub(super) struct Answers {
    client: String,
    /// The number of the last id that was made.
    last: u64,
    answered: VecDeque<u64>,
    ignored: Ignored,
}

/// How many answers were not what was waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Ignored {
    /// To something that was given up.
    pub(super) late: u64,
    /// To something that was answered before.
    pub(super) doubled: u64,
    /// To something that we never asked, or from somebody whom we did not ask, or nothing that can be read.
    pub(super) foreign: u64,
}

/// Who was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked<'a> {
    /// The instance with this code.
    Instance(&'a str),
    /// Whoever says hello.
    Anybody,
    /// Nothing is waited for: the last one was answered or given up.
    Nobody,
}

/// What an answer is.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Awaited,
    Late,
    Doubled,
    Foreign,
}

impl Answers {
    pub(super) fn new(client: String) -> Self {
        Self { client, last: 0, answered: VecDeque::new(), ignored: Ignored::default() }
    }

    /// An id that nothing had before. Answers to it are waited for from now on, and to earlier ones no more.
    pub(super) fn next_id(&mut self) -> String {
        self.last += 1;
        format!("{}-{}", self.client, self.last)
    }

    /// Whether this is what is waited for; otherwise it is counted.
    pub(super) fn take(&mut self, answer: &Answer, asked: Asked<'_>) -> bool {
        match self.kind(answer, asked) {
            Kind::Awaited => {
                self.answered.push_back(self.last);
                if self.answered.len() > KEPT {
                    self.answered.pop_front();
                }
                return true;
            }
            Kind::Late => self.ignored.late += 1,
            Kind::Doubled => self.ignored.doubled += 1,
            Kind::Foreign => self.ignored.foreign += 1,
        }
        false
    }

    /// Counts what is no answer at all.
    pub(super) fn not_understood(&mut self) {
        self.ignored.foreign += 1;
    }

    pub(super) fn ignored(&self) -> Ignored {
        self.ignored
    }

    fn kind(&self, answer: &Answer, asked: Asked<'_>) -> Kind {
        let number = answer.id.strip_prefix(&*self.client).and_then(|rest| rest.strip_prefix('-'));
        // As it was written: 7 is not +7 or 07.
        let number =
            number.and_then(|text| text.parse().ok().filter(|number: &u64| number.to_string() == text));
        let Some(number) = number.filter(|number| (1..=self.last).contains(number)) else {
            return Kind::Foreign;
        };
        let from_whom = match asked {
            Asked::Instance(code) => accepts(code, &answer.code),
            // Nothing could be sent to any other code.
            Asked::Anybody => (1..=MAX_CODE).contains(&answer.code.len()),
            Asked::Nobody => false,
        };
        match () {
            () if self.answered.contains(&number) => Kind::Doubled,
            () if number < self.last || asked == Asked::Nobody => Kind::Late,
            () if from_whom => Kind::Awaited,
            () => Kind::Foreign,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(id: &str, code: &str) -> Answer {
        Answer { code: code.to_owned(), id: id.to_owned(), body: String::new() }
    }

    #[test]
    fn an_answer_counts_once_by_its_id_and_from_whom_it_was_asked() {
        let mut answers = Answers::new("c".to_owned());
        assert!(!answers.take(&answer("c-0", "a"), Asked::Instance("a")), "nothing was asked");
        assert_eq!((answers.next_id(), answers.next_id()), ("c-1".to_owned(), "c-2".to_owned()));
        for (id, code, kind) in [
            ("c-1", "a", Kind::Late),
            ("c-2", "b", Kind::Foreign),
            ("c-2", "", Kind::Foreign),
            ("c-3", "a", Kind::Foreign),
            ("c-02", "a", Kind::Foreign),
            ("c-+2", "a", Kind::Foreign),
            ("d-2", "a", Kind::Foreign),
            ("cc-2", "a", Kind::Foreign),
            ("2", "a", Kind::Foreign),
            ("", "a", Kind::Foreign),
            ("c-99999999999999999999", "a", Kind::Foreign),
            ("c-2", "a", Kind::Awaited),
        ] {
            assert_eq!(answers.kind(&answer(id, code), Asked::Instance("a")), kind, "{id} {code}");
        }
        assert!(answers.take(&answer("c-2", "a"), Asked::Instance("a")));
        assert!(!answers.take(&answer("c-2", "a"), Asked::Instance("a")));
        assert!(!answers.take(&answer("c-1", "a"), Asked::Instance("a")));
        assert!(!answers.take(&answer("c-9", "a"), Asked::Instance("a")));
        assert_eq!(answers.ignored(), Ignored { late: 1, doubled: 1, foreign: 2 });
        answers.next_id();
        assert_eq!(answers.kind(&answer("c-3", "a"), Asked::Nobody), Kind::Late, "it was given up");
        assert_eq!(answers.kind(&answer("c-3", ""), Asked::Anybody), Kind::Foreign);
        let long = "c".repeat(MAX_CODE);
        assert_eq!(answers.kind(&answer("c-3", &long), Asked::Anybody), Kind::Awaited);
        assert_eq!(answers.kind(&answer("c-3", &format!("{long}c")), Asked::Anybody), Kind::Foreign);
        assert!(answers.take(&answer("c-3", "anybody"), Asked::Anybody));
    }

    #[test]
    fn what_was_answered_long_ago_is_forgotten() {
        let mut answers = Answers::new("c".to_owned());
        for _ in 0..2 * KEPT {
            let id = answers.next_id();
            assert!(answers.take(&answer(&id, "a"), Asked::Instance("a")));
        }
        assert_eq!(answers.answered.len(), KEPT);
        assert_eq!(answers.kind(&answer("c-1", "a"), Asked::Instance("a")), Kind::Late);
    }
}
