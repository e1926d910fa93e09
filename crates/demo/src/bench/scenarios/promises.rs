//! What is promised of every round. A median would hide that it was broken in one of them.

use crate::bench::report::{Figure, Limit, Ratio};

/// There must be nothing of this, in all rounds together; no ratio where it was not measured.
pub(super) fn none(what: &str, figure: &Figure) -> Option<Ratio> {
    let all = (!figure.values.is_empty()).then(|| figure.values.iter().sum())?;
    Some(Ratio::new(format!("{what}, all rounds together"), vec![all], Limit::AtMost(0.0)))
}

/// No round may have more than this; no ratio where nothing was measured.
pub(super) fn never_above(what: &str, values: &[f64], most: f64) -> Option<Ratio> {
    let worst = values.iter().copied().reduce(f64::max)?;
    Some(Ratio::new(format!("{what}, in the worst round"), vec![worst], Limit::AtMost(most)))
}

/// Every value must be this; no ratio where nothing was measured. What is told is the value that is farthest from it.
pub(super) fn always(what: &str, figure: &Figure, exactly: f64) -> Option<Ratio> {
    let off = |value: &f64| (value - exactly).abs();
    let worst = figure.values.iter().copied().max_by(|a, b| off(a).total_cmp(&off(b)))?;
    Some(Ratio::new(format!("{what}, each time"), vec![worst], Limit::Exactly(exactly)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_round_of_many_breaks_a_promise() {
        let mut lost = Figure::new("lost", "");
        assert!(none("lost", &lost).is_none() && never_above("under", &[], 0.1).is_none());
        for value in [0.0, 2.0, 0.0, 1.0, 0.0] {
            lost.push(value);
        }
        let broken = none("lost", &lost).unwrap();
        assert_eq!((&*broken.what, &broken.values[..]), ("lost, all rounds together", &[3.0][..]));
        assert!(matches!(broken.limit, Limit::AtMost(0.0)));
        let broken = never_above("under", &[0.0, 0.97, 0.0], 0.1).unwrap();
        assert_eq!((&*broken.what, &broken.values[..]), ("under, in the worst round", &[0.97][..]));
        assert!(matches!(broken.limit, Limit::AtMost(0.1)));
    }

    #[test]
    fn what_must_always_be_so_is_broken_by_less_as_by_more() {
        let of = |values: &[f64]| {
            let figure = Figure { values: values.to_vec(), ..Figure::new("requests", "") };
            always("requests", &figure, 3.0)
                .map(|ratio| (ratio.what.clone(), ratio.values[0], ratio.is_met()))
        };
        let told = |worst, met| Some(("requests, each time".to_owned(), worst, Some(met)));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[3.0, 3.0]), told(3.0, true));
        assert_eq!(of(&[3.0, 2.0, 3.0]), told(2.0, false));
        assert_eq!(of(&[3.0, 5.0, 3.0]), told(5.0, false));
    }
}
