//! What a scenario measured at one number of instances.

mod axis;
mod grid;
mod lines;
pub(crate) mod machine;
mod number;
pub(crate) mod page;
mod plot;
pub(crate) mod progress;
pub(crate) mod side_by_side;

pub(crate) use self::number::{grouped, median};
use anyhow::{Context as _, ensure};

use self::axis::Kind;
use self::number::{number, rounds};

/// The figures of one scenario at one size. Reports of several sizes stand side by side; see [the frame](super::scenarios).
pub(crate) struct Report {
    pub(crate) name: &'static str,
    pub(crate) title: String,
    /// What is measured, and how.
    pub(crate) about: String,
    pub(crate) server: String,
    pub(crate) rounds: u32,
    pub(crate) figures: Vec<Figure>,
    pub(crate) ratios: Vec<Ratio>,
}

/// What one way to do the work took, round by round. One without values is left out: not every server can be asked.
pub(crate) struct Figure {
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    pub(crate) values: Vec<f64>,
    pub(super) beside: Option<String>,
    /// Whether it is what the bare client took; plots draw that dashed.
    pub(super) is_bare: bool,
    /// How many values it has.
    pub(super) has: Values,
}

/// How many values a figure has that was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Values {
    /// One of each round.
    EachRound,
    /// One of each round in which it came about.
    SomeRounds,
    /// So many, however many rounds there are.
    Apart,
}

/// Two figures of the same round, divided; or one of them that is judged by itself.
pub(crate) struct Ratio {
    pub(crate) what: String,
    pub(crate) values: Vec<f64>,
    pub(crate) limit: Limit,
}

#[derive(Clone, Copy)]
pub(crate) enum Limit {
    AtLeast(f64),
    /// The same where it is known why some miss it, in a sentence.
    AtLeastBut(f64, &'static str),
    AtMost(f64),
    /// As well.
    AtMostBut(f64, &'static str),
    /// For what is counted and can be no other.
    Exactly(f64),
    /// For information.
    None,
}

impl Report {
    /// Figures and what is judged are told apart by their names: of two with the same one of a kind the second would be nowhere.
    ///
    /// # Errors
    ///
    /// Fails if two have the same name, or a figure is beside one that is not there or not the bare client's, or has a value of another number
    /// of rounds than it should: a round that was not measured would be in no table, and other rounds would be divided by each other. So
    /// it does if bytes are counted as if they were none.
    pub(super) fn checked(self) -> anyhow::Result<Self> {
        let name = self.name;
        for (index, figure) in self.figures.iter().enumerate() {
            let what = &figure.what;
            let (values, of) = (figure.values.len(), self.rounds);
            ensure!(figure.may_have(values, of), "{what:?} of {name} has {values} values of {}", rounds(of));
            ensure!(
                !what.split(|c: char| !c.is_alphanumeric()).any(|word| word == "bytes")
                    || Kind::of(figure.unit) == Kind::Bytes,
                "{what:?} of {name} is of bytes, and has the unit {:?}",
                figure.unit
            );
            ensure!(
                self.figures[..index].iter().all(|before| before.what != *what),
                "two figures of {name} are called {what:?}"
            );
            if let Some(beside) = &figure.beside {
                let bare = self.figures.iter().find(|other| other.is_bare && other.what == *beside);
                let bare = bare.with_context(|| {
                    format!("{what:?} of {name} is beside {beside:?}, which is no figure of the bare client")
                })?;
                let others = bare.values.len();
                ensure!(
                    values == others,
                    "{what:?} of {name} has {values} values beside {others} of {beside:?}"
                );
            }
        }
        for (index, ratio) in self.ratios.iter().enumerate() {
            let what = &ratio.what;
            ensure!(
                self.ratios[..index].iter().all(|before| before.what != *what),
                "two ratios of {name} are called {what:?}"
            );
        }
        Ok(self)
    }
}

impl Limit {
    pub(super) fn is_met(self, value: f64) -> Option<bool> {
        match self {
            Self::AtLeast(limit) | Self::AtLeastBut(limit, _) => Some(value >= limit),
            Self::AtMost(limit) | Self::AtMostBut(limit, _) => Some(value <= limit),
            Self::Exactly(limit) => Some(value.to_bits() == limit.to_bits()),
            Self::None => None,
        }
    }

    /// Why some are known to miss it.
    pub(super) fn why_missed(self) -> Option<&'static str> {
        match self {
            Self::AtLeastBut(_, why) | Self::AtMostBut(_, why) => Some(why),
            Self::AtLeast(_) | Self::AtMost(_) | Self::Exactly(_) | Self::None => None,
        }
    }

    pub(super) fn words(self) -> String {
        match self {
            Self::AtLeast(limit) | Self::AtLeastBut(limit, _) => format!("at least {}", number(limit)),
            Self::AtMost(limit) | Self::AtMostBut(limit, _) => format!("at most {}", number(limit)),
            Self::Exactly(limit) => format!("exactly {}", number(limit)),
            Self::None => String::new(),
        }
    }

    /// A value beside it.
    pub(super) fn judged(self, value: f64) -> String {
        let (limit, met, missed) = match self {
            Self::AtLeast(limit) | Self::AtLeastBut(limit, _) => (limit, '≥', '<'),
            Self::AtMost(limit) | Self::AtMostBut(limit, _) => (limit, '≤', '>'),
            Self::Exactly(limit) => (limit, '=', '≠'),
            Self::None => return number(value),
        };
        let sign = if self.is_met(value) == Some(true) { met } else { missed };
        format!("{} {sign} {}", number(value), number(limit))
    }
}

impl Figure {
    pub(crate) fn new(what: impl Into<String>, unit: &'static str) -> Self {
        Self {
            what: what.into(),
            unit,
            values: Vec::new(),
            beside: None,
            is_bare: false,
            has: Values::EachRound,
        }
    }

    /// One that not every round has a value of: it did not come about there, and something else says so.
    pub(crate) fn of_some_rounds(self) -> Self {
        Self { has: Values::SomeRounds, ..self }
    }

    /// One whose values are not those of rounds: several of each, or one of all.
    pub(crate) fn apart_from_rounds(self) -> Self {
        Self { has: Values::Apart, ..self }
    }

    /// Whether so many values are as many as they should be; one that was not measured at all is none the less one.
    fn may_have(&self, values: usize, rounds: u32) -> bool {
        let each = u32::try_from(values) == Ok(rounds);
        match self.has {
            Values::EachRound => values == 0 || each,
            Values::SomeRounds => each || u32::try_from(values).is_ok_and(|values| values < rounds),
            Values::Apart => true,
        }
    }

    /// The same of the bare client.
    pub(crate) fn bare(self) -> Self {
        Self { is_bare: true, ..self }
    }

    /// Names the bare client's figure of the same report for the same work.
    pub(crate) fn beside(self, bare: impl Into<String>) -> Self {
        Self { beside: Some(bare.into()), ..self }
    }

    pub(crate) fn push(&mut self, value: f64) {
        self.values.push(value);
    }

    /// The same where there is a value.
    pub(crate) fn push_known(&mut self, value: Option<f64>) {
        self.values.extend(value);
    }

    /// This one, judged by itself; nothing where it was not measured.
    pub(crate) fn judged(&self, what: &str, limit: Limit) -> Option<Ratio> {
        (!self.values.is_empty()).then(|| Ratio::new(what, self.values.clone(), limit))
    }

    /// This one divided by another, round by round. Nothing where one of the values cannot be divided so: a time that is not above zero is
    /// one from another moment than it was meant to be, and would be a good one as a ratio.
    pub(crate) fn per(&self, other: &Self) -> Vec<f64> {
        let is_time = |figure: &Self| Kind::of(figure.unit) == Kind::Time;
        let divides =
            |(this, other): (&f64, &f64)| *other > 0.0 && (*this > 0.0 || *this == 0.0 && !is_time(self));
        let pairs = || self.values.iter().zip(&other.values);
        let all = self.values.len() == other.values.len() && pairs().all(divides);
        if all { pairs().map(|(this, other)| this / other).collect() } else { Vec::new() }
    }
}

impl Ratio {
    pub(crate) fn new(what: impl Into<String>, values: Vec<f64>, limit: Limit) -> Self {
        Self { what: what.into(), values, limit }
    }

    /// Whether its median is within the limit, where there is one.
    pub(super) fn is_met(&self) -> Option<bool> {
        if self.values.is_empty() { None } else { self.limit.is_met(median(&self.values)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_judged_by_its_limit_and_says_so() {
        for (limit, value, met, text) in [
            (Limit::AtLeast(0.8), 0.8, Some(true), "0.80 ≥ 0.80"),
            (Limit::AtLeast(0.8), 0.79, Some(false), "0.79 < 0.80"),
            (Limit::AtMost(110.0), 105.0, Some(true), "105 ≤ 110"),
            (Limit::AtMost(1.2), 4.42, Some(false), "4.42 > 1.20"),
            (Limit::AtMostBut(1.2, "why"), 1.2, Some(true), "1.20 ≤ 1.20"),
            (Limit::AtMostBut(1.2, "why"), 4.42, Some(false), "4.42 > 1.20"),
            (Limit::AtLeastBut(0.8, "why"), 0.9, Some(true), "0.90 ≥ 0.80"),
            (Limit::AtLeastBut(0.8, "why"), 0.7, Some(false), "0.70 < 0.80"),
            (Limit::Exactly(3.0), 3.0, Some(true), "3 = 3"),
            (Limit::Exactly(3.0), 2.0, Some(false), "2 ≠ 3"),
            (Limit::Exactly(3.0), 4.0, Some(false), "4 ≠ 3"),
            (Limit::None, 4.42, None, "4.42"),
        ] {
            assert_eq!((limit.is_met(value), &*limit.judged(value)), (met, text));
        }
        assert_eq!(Ratio::new("", Vec::new(), Limit::AtMost(1.0)).is_met(), None);
    }

    #[test]
    fn figures_are_divided_within_rounds() {
        let figure = |values: &[f64]| Figure { values: values.to_vec(), ..Figure::new("", "") };
        assert_eq!(figure(&[4.0, 9.0]).per(&figure(&[2.0, 3.0])), [2.0, 3.0]);
    }

    #[test]
    fn what_cannot_be_divided_has_no_ratio_that_would_be_within_a_limit() {
        let times = |values: &[f64]| Figure { values: values.to_vec(), ..Figure::new("", "ms") };
        let counts = |values: &[f64]| Figure { unit: "", ..times(values) };
        for (ours, bare) in [
            // Before the moment that it is told from.
            (times(&[4.0, -9.0]), times(&[2.0, 3.0])),
            (times(&[4.0, 0.0]), times(&[2.0, 3.0])),
            (times(&[4.0, 9.0]), times(&[2.0, -3.0])),
            (times(&[4.0, 9.0]), times(&[2.0, 0.0])),
            (counts(&[4.0, -9.0]), counts(&[2.0, 3.0])),
            (counts(&[4.0, 9.0]), counts(&[0.0, 3.0])),
            // Of which round each is, is not known.
            (times(&[4.0]), times(&[2.0, 3.0])),
        ] {
            assert!(ours.per(&bare).is_empty(), "{:?} / {:?}", ours.values, bare.values);
        }
        assert_eq!(counts(&[0.0, 9.0]).per(&counts(&[2.0, 3.0])), [0.0, 3.0], "nothing is a good count");
    }

    #[test]
    fn a_report_is_refused_of_which_a_round_is_missing_or_bytes_are_none() {
        let figure =
            |what: &str, values: &[f64]| Figure { values: values.to_vec(), ..Figure::new(what, "ms") };
        let checked = |figures: Vec<Figure>| {
            let [title, about, server] = [const { String::new() }; 3];
            let report =
                Report { name: "example", title, about, server, rounds: 2, figures, ratios: Vec::new() };
            report.checked().map(|_| ()).map_err(|error| error.to_string())
        };
        let some = |values| figure("some", values).of_some_rounds();
        for good in [
            figure("ours", &[]),
            figure("ours", &[1.0, 2.0]),
            some(&[]),
            some(&[1.0]),
            some(&[1.0, 2.0]),
            figure("apart", &[1.0]).apart_from_rounds(),
            figure("apart", &[1.0; 6]).apart_from_rounds(),
            Figure { unit: "B", ..figure("bytes received", &[1.0, 2.0]) },
            Figure { unit: "MiB", ..figure("bytes: all", &[1.0, 2.0]) },
            figure("kilobytes, whatever these are", &[1.0, 2.0]),
        ] {
            assert_eq!(checked(vec![good]), Ok(()));
        }
        for (figures, says) in [
            (vec![figure("ours", &[1.0])], r#""ours" of example has 1 values of 2 rounds"#),
            (vec![figure("ours", &[1.0; 3])], r#""ours" of example has 3 values of 2 rounds"#),
            (vec![some(&[1.0; 3])], r#""some" of example has 3 values of 2 rounds"#),
            (
                vec![some(&[1.0]).beside("bare"), figure("bare", &[1.0, 2.0]).bare()],
                r#""some" of example has 1 values beside 2 of "bare""#,
            ),
            (
                vec![Figure { unit: "", ..figure("new ids: bytes received", &[1.0, 2.0]) }],
                r#""new ids: bytes received" of example is of bytes, and has the unit """#,
            ),
        ] {
            assert_eq!(checked(figures), Err(says.to_owned()));
        }
    }

    #[test]
    fn a_report_is_refused_of_which_a_name_would_hide_a_figure_or_find_none() {
        let [ours, bare] = ["ours", "bare client"].map(|what| move || Figure::new(what, "ms"));
        let ratio = || Ratio::new("ours / bare client", vec![1.0], Limit::None);
        let checked = |figures, ratios| {
            let [title, about, server] = [const { String::new() }; 3];
            let report = Report { name: "example", title, about, server, rounds: 1, figures, ratios };
            report.checked().map(|report| report.figures.len()).map_err(|error| error.to_string())
        };
        let beside = || ours().beside("bare client");
        assert_eq!(checked(vec![beside(), bare().bare()], vec![ratio()]), Ok(2));
        for (figures, ratios, says) in [
            (vec![ours(), bare(), ours()], vec![], r#"two figures of example are called "ours""#),
            // One that was not measured is none the less one: it may be at another size.
            (
                vec![ours(), Figure { values: vec![1.0], ..ours() }],
                vec![],
                r#"two figures of example are called "ours""#,
            ),
            (vec![], vec![ratio(), ratio()], r#"two ratios of example are called "ours / bare client""#),
            (
                vec![beside()],
                vec![],
                r#""ours" of example is beside "bare client", which is no figure of the bare client"#,
            ),
            (
                vec![beside(), bare()],
                vec![],
                r#""ours" of example is beside "bare client", which is no figure of the bare client"#,
            ),
        ] {
            assert_eq!(checked(figures, ratios), Err(says.to_owned()));
        }
    }
}
