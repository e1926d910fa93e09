//! Figures of several rounds, as people read them.

/// The middle one; not a number when there is none.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut figures = figures.to_vec();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The middle one with the least and the most.
pub(crate) fn shown(figures: &[f64]) -> String {
    let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
    let most = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let middle = number(median(figures));
    if figures.len() < 2 { middle } else { format!("{middle} ({}..{})", number(least), number(most)) }
}

/// Three digits tell all that such a measurement can.
pub(crate) fn number(value: f64) -> String {
    let digits = match value.abs() {
        large if large >= 100.0 || value.fract() == 0.0 => 0,
        middle if middle >= 10.0 => 1,
        small if small >= 0.1 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

/// Whether a figure is within its limit; what is not stands out.
pub(crate) fn judged(value: f64, limit: Limit) -> String {
    let (met, missed, bound) = match limit {
        Limit::AtLeast(bound) => ('\u{2265}', '<', bound),
        Limit::AtMost(bound) => ('\u{2264}', '>', bound),
    };
    let (shown, bound) = (number(value), number(bound));
    if limit.is_met(value) {
        format!("{shown} {met} {bound}")
    } else {
        format!("**{shown} {missed} {bound}**")
    }
}

/// What was promised of a figure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

impl Limit {
    pub(crate) fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(limit) => value >= limit,
            Self::AtMost(limit) => value <= limit,
        }
    }
}
