//! A table, for a page or for a terminal.

/// The first so many columns are words, the others figures.
pub(super) struct Table {
    pub(super) words: usize,
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule = (0..self.head.len()).map(|at| if at < self.words { "---" } else { "---:" }.to_owned());
        let rule: Vec<_> = rule.collect();
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!("{}{}{rows}", line(&self.head), line(&rule))
    }

    pub(super) fn text(&self) -> String {
        let plain = |cell: &String| cell.replace(['*', '`'], "");
        let all: Vec<Vec<_>> = std::iter::once(&self.head)
            .chain(&self.rows)
            .map(|row| row.iter().map(plain).collect())
            .collect();
        let width = |at: usize| all.iter().map(|row| row[at].chars().count()).max().unwrap_or_default();
        let widths: Vec<_> = (0..self.head.len()).map(width).collect();
        let cell = |(at, text): (usize, &String)| {
            let width = widths[at];
            if at < self.words { format!("{text:<width$}") } else { format!("{text:>width$}") }
        };
        let line = |row: &Vec<String>| row.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ");
        all.iter().map(|row| line(row).trim_end().to_owned() + "\n").collect()
    }
}

/// Three digits tell all that such a measurement can.
pub(super) fn number(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        large if large >= 100.0 => 0,
        middle if middle >= 10.0 => 1,
        small if small >= 0.2 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

pub(super) fn time(nanos: f64) -> String {
    match nanos {
        short if short < 1000.0 => format!("{} ns", number(short)),
        middle if middle < 1e6 => format!("{} µs", number(middle / 1e3)),
        long if long < 1e9 => format!("{} ms", number(long / 1e6)),
        longer => format!("{} s", number(longer / 1e9)),
    }
}

pub(super) fn bytes(bytes: f64) -> String {
    match bytes {
        few if few < 1024.0 => format!("{} B", number(few)),
        some if some < 1024.0 * 1024.0 => format!("{} KiB", number(some / 1024.0)),
        many => format!("{} MiB", number(many / 1024.0 / 1024.0)),
    }
}

/// A figure beside its limit; what is missed stands out.
pub(super) fn beside(value: f64, at_most: Option<f64>) -> String {
    match at_most {
        Some(limit) if value <= limit => format!("{} ≤ {}", number(value), number(limit)),
        Some(limit) => format!("**{} > {}**", number(value), number(limit)),
        None => number(value),
    }
}
