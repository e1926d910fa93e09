//! Axes by powers of ten, and of 1024 for bytes, and what is written beside them.

use super::number::{grouped, number};

const KIB: f64 = 1024.0;
const MIB: f64 = KIB * KIB;
const GIB: f64 = KIB * MIB;

/// Values that are drawn on one axis: those of different units are, if they are of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Time,
    Rate,
    Bytes,
    Count,
    Other(&'static str),
}

impl Kind {
    pub(super) fn of(unit: &'static str) -> Self {
        match unit {
            "s" | "ms" | "us" | "ns" => Self::Time,
            "/s" => Self::Rate,
            "B" | "bytes" | "KiB" | "MiB" | "GiB" => Self::Bytes,
            "" => Self::Count,
            other => Self::Other(other),
        }
    }

    /// What is along the axis.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Rate => "per second",
            Self::Bytes => "bytes",
            Self::Count => "count",
            Self::Other(unit) => unit,
        }
    }

    /// A value beside the axis.
    pub(super) fn words(self, value: f64) -> String {
        let (per, unit) = match self {
            Self::Time => match value {
                short if short < 1e-6 => (1e-9, " ns"),
                middle if middle < 1e-3 => (1e-6, " µs"),
                long if long < 1.0 => (1e-3, " ms"),
                _ => (1.0, " s"),
            },
            Self::Bytes => match value {
                few if few < KIB => (1.0, " B"),
                some if some < MIB => (KIB, " KiB"),
                many if many < GIB => (MIB, " MiB"),
                _ => (GIB, " GiB"),
            },
            Self::Rate => (1.0, "/s"),
            Self::Count | Self::Other(_) => (1.0, ""),
        };
        format!("{}{unit}", plain(value / per))
    }

    /// Ten to a power; of bytes every third step is one of 1024 and not of ten, so that 1, 10 and 100 MiB are steps as well.
    fn power(self, power: i32) -> f64 {
        match self {
            Self::Bytes if power >= 0 => 10f64.powi(power % 3) * KIB.powi(power / 3),
            _ => 10f64.powi(power),
        }
    }
}

/// How many of what its kind is reckoned in are one of a unit.
pub(super) fn factor(unit: &str) -> f64 {
    match unit {
        "ms" => 1e-3,
        "us" => 1e-6,
        "ns" => 1e-9,
        "KiB" => KIB,
        "MiB" => MIB,
        "GiB" => GIB,
        _ => 1.0,
    }
}

/// Up to so many powers there is room for lines between them.
const CLOSE: f64 = 2.0;

/// Where lines go across from the first to the last, which enclose all values: at 1, 2 and 5 of each power, or at the powers
/// alone where those would be too many.
pub(super) fn ticks(kind: Kind, least: f64, most: f64) -> Vec<f64> {
    // What is at a tick is not beyond it for an error of reckoning.
    let (low, high) = (least * (1.0 + 1e-9), most * (1.0 - 1e-9));
    // One of bytes is a little more than one of ten.
    let powers = low.log10().floor() as i32 - 1..=high.log10().ceil().max(low.log10().floor()) as i32;
    let steps: &[f64] = if (high / low).log10() <= CLOSE { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let at = |power: i32| steps.iter().map(move |step| round(step * kind.power(power)));
    let all: Vec<f64> = powers.flat_map(at).collect();
    let from = all.iter().rposition(|tick| *tick <= low).unwrap_or(0);
    let to = all.iter().position(|tick| *tick >= high).unwrap_or(all.len() - 1);
    // A single value gets room above it.
    all[from..=to.max(from + 1).min(all.len() - 1)].to_vec()
}

/// Ten to a negative power is not a number that prints well.
fn round(value: f64) -> f64 {
    if value >= 1.0 { value } else { format!("{value:.0e}").parse().unwrap_or(value) }
}

fn plain(value: f64) -> String {
    // Ticks are whole or round, but for what a division left.
    let near = value.round();
    if near >= 1.0 && (value / near - 1.0).abs() < 1e-6 { grouped(near as i64) } else { number(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_enclose_all_values_and_are_few() {
        for (kind, least, most, expected) in [
            (Kind::Time, 2.1e-4, 4.2e-4, &[2e-4, 5e-4][..]),
            (Kind::Time, 7.0, 140.0, &[5.0, 10.0, 20.0, 50.0, 100.0, 200.0]),
            (Kind::Count, 1.0, 1.0, &[1.0, 2.0]),
            (Kind::Count, 100.0, 1000.0, &[100.0, 200.0, 500.0, 1000.0]),
            (Kind::Time, 3e-5, 0.5, &[1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0]),
            (Kind::Bytes, 1e6, 3e6, &[500.0 * KIB, MIB, 2.0 * MIB, 5.0 * MIB]),
            (
                Kind::Bytes,
                600.0,
                80.0 * MIB,
                &[100.0, KIB, 10.0 * KIB, 100.0 * KIB, MIB, 10.0 * MIB, 100.0 * MIB],
            ),
            (Kind::Bytes, GIB, GIB, &[GIB, 2.0 * GIB]),
        ] {
            assert_eq!(ticks(kind, least, most), expected, "{least} to {most}");
        }
    }

    #[test]
    fn an_axis_of_bytes_says_round_numbers_of_the_unit_that_tables_have() {
        let said: Vec<_> =
            ticks(Kind::Bytes, 600.0, 80.0 * MIB).into_iter().map(|tick| Kind::Bytes.words(tick)).collect();
        assert_eq!(said, ["100 B", "1 KiB", "10 KiB", "100 KiB", "1 MiB", "10 MiB", "100 MiB"]);
    }

    #[test]
    fn a_tick_says_its_unit() {
        for (kind, value, text) in [
            (Kind::Time, 1e-4, "100 µs"),
            (Kind::Time, 0.002, "2 ms"),
            (Kind::Time, 1.0, "1 s"),
            (Kind::Time, 5e-9, "5 ns"),
            (Kind::Rate, 50_000.0, "50,000/s"),
            (Kind::Bytes, 200.0 * MIB, "200 MiB"),
            (Kind::Bytes, 500.0, "500 B"),
            (Kind::Count, 0.5, "0.50"),
            (Kind::Other("%"), 20.0, "20"),
        ] {
            assert_eq!(kind.words(value), text);
        }
    }

    #[test]
    fn units_of_one_kind_are_reckoned_in_one() {
        for (unit, kind, one) in [
            ("us", Kind::Time, 1e-6),
            ("/s", Kind::Rate, 1.0),
            ("MiB", Kind::Bytes, 1_048_576.0),
            ("%", Kind::Other("%"), 1.0),
        ] {
            assert_eq!((Kind::of(unit), factor(unit)), (kind, one));
        }
    }
}
