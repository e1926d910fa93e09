//! A table of figures, as text for a terminal and as Markdown.

use crate::table::columns;

/// Rows with a name each and a cell for each size.
pub(super) struct Grid {
    heads: Vec<String>,
    rows: Vec<(String, Vec<(String, Mark)>)>,
}

/// Whether a cell is within its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    None,
    Met,
    Missed,
}

impl Mark {
    pub(super) fn of(met: Option<bool>) -> Self {
        match met {
            None => Self::None,
            Some(true) => Self::Met,
            Some(false) => Self::Missed,
        }
    }
}

impl Grid {
    pub(super) fn new(heads: Vec<String>) -> Self {
        Self { heads, rows: Vec::new() }
    }

    pub(super) fn push(&mut self, what: String, cells: impl IntoIterator<Item = (String, Mark)>) {
        self.rows.push((what, cells.into_iter().collect()));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn text(&self) -> String {
        let cell = |(text, mark): &(String, Mark)| match mark {
            Mark::None => text.clone(),
            Mark::Met => format!("{text} yes"),
            Mark::Missed => format!("{text} NO"),
        };
        let row = |(what, cells): &(String, Vec<_>)| {
            [what.clone()].into_iter().chain(cells.iter().map(cell)).collect()
        };
        let rows: Vec<Vec<String>> =
            [self.heads.clone()].into_iter().chain(self.rows.iter().map(row)).collect();
        columns(&rows)
    }

    /// What is missed stands out; names that are set in keep that.
    pub(super) fn markdown(&self) -> String {
        let cell = |(text, mark): &(String, Mark)| match mark {
            Mark::Missed => format!("**{}**", escaped(text)),
            Mark::None | Mark::Met => escaped(text),
        };
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut text = line(self.heads.iter().map(|head| escaped(head)).collect());
        text += &format!("| --- |{}\n", " ---: |".repeat(self.heads.len().saturating_sub(1)));
        for (what, cells) in &self.rows {
            let what = escaped(what).replacen("  ", "&emsp;", 1);
            text += &line([what].into_iter().chain(cells.iter().map(cell)).collect());
        }
        text
    }
}

/// What would be markup in a cell. Backticks are left: figures are named after functions.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missed_stands_out_and_nothing_breaks_the_table() {
        let mut grid = Grid::new(["judged", "3"].map(str::to_owned).to_vec());
        grid.push("a|b <c>".to_owned(), [("2 > 1".to_owned(), Mark::Missed)]);
        grid.push("  below".to_owned(), [("1 < 2".to_owned(), Mark::of(Some(true)))]);
        assert_eq!(grid.text(), "judged   3\na|b <c>  2 > 1 NO\n  below  1 < 2 yes");
        let markdown = "\
| judged | 3 |
| --- | ---: |
| a\\|b &lt;c> | **2 > 1** |
| &emsp;below | 1 &lt; 2 |
";
        assert_eq!(grid.markdown(), markdown);
    }
}
