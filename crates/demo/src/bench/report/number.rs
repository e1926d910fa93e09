//! Numbers as people read them.

/// Three digits tell all that such a measurement can.
pub(super) fn number(value: f64) -> String {
    let digits = match value.abs() {
        large if large >= 100.0 || value.fract() == 0.0 => 0,
        middle if middle >= 10.0 => 1,
        small if small >= 0.1 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    match text.parse::<i64>() {
        Ok(whole) => grouped(whole),
        Err(_) => text,
    }
}

/// A whole number, with a comma before each three digits from ten thousand on.
pub(crate) fn grouped(whole: i64) -> String {
    let digits = whole.unsigned_abs().to_string();
    if digits.len() < 5 {
        return whole.to_string();
    }
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if whole < 0 { format!("-{text}") } else { text }
}

/// What stands behind a number.
pub(super) fn unit(unit: &str) -> String {
    match unit {
        "" => String::new(),
        "us" => " µs".to_owned(),
        other => format!(" {other}"),
    }
}

/// How many rounds.
pub(super) fn rounds(count: u32) -> String {
    if count == 1 { "1 round".to_owned() } else { format!("{count} rounds") }
}

/// The middle one, or what is between the two in the middle; not a number when there are none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => f64::midpoint(sorted[even / 2 - 1], sorted[even / 2]),
    }
}

pub(super) fn range(values: &[f64]) -> (f64, f64) {
    values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &value| (low.min(value), high.max(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_large_ones_commas() {
        for (value, text) in [
            (0.0, "0"),
            (0.0123, "0.012"),
            (0.5, "0.50"),
            (1.0, "1"),
            (1.234, "1.23"),
            (99.94, "99.9"),
            (123.4, "123"),
            (9_999.0, "9999"),
            (9_999.6, "10,000"),
            (1_234_567.0, "1,234,567"),
            (-12_345.6, "-12,346"),
            (-0.25, "-0.25"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(number(value), text, "{value}");
        }
    }

    #[test]
    fn a_median_is_in_the_middle_whatever_the_order() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
        assert_eq!(range(&[3.0, 1.0, 2.0]), (1.0, 3.0));
    }
}
