//! Columns of text.

use crate::output::shown;

const GAP: &str = "  ";

/// A table with one row for each of `rows` below its heads, without a line end behind the last.
pub(crate) fn table<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> String {
    let heads = heads.map(str::to_owned);
    let all: Vec<_> = [&heads].into_iter().chain(rows).map(<[String; N]>::as_slice).collect();
    columns(&all)
}

/// The same with any number of columns, with the heads as its first row.
pub(crate) fn columns(rows: &[impl AsRef<[String]>]) -> String {
    let shown = |row: &[String]| row.iter().map(|cell| shown(cell)).collect::<Vec<_>>();
    let all: Vec<_> = rows.iter().map(|row| shown(row.as_ref())).collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in &all {
        widths.resize(widths.len().max(row.len()), 0);
        row.iter().zip(&mut widths).for_each(|(cell, width)| *width = cell.chars().count().max(*width));
    }
    let line = |row: &Vec<String>| {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join(GAP).trim_end().to_owned()
    };
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// One row on its own.
pub(crate) fn line<const N: usize>(row: &[String; N]) -> String {
    row.each_ref().map(|cell| shown(cell)).join(GAP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_in_characters() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned);
        assert_eq!(table(["A", "B"], &[row(["äöü", "1"]), row(["x", ""])]), "A    B\näöü  1\nx");
        assert_eq!(table(["A", "B"], &[]), "A  B");
        let rows = [vec!["a".to_owned()], vec!["bc".to_owned(), "d".to_owned()]];
        assert_eq!(columns(&rows), "a\nbc  d");
        assert_eq!(line(&row(["a\nb", "c"])), "a\\nb  c");
    }
}
